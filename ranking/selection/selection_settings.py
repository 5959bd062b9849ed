"""Settings of the query log and of the selection of queries to label."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ranking.settings import Settings

LogFormatName = Literal["aol", "slow_log", "ubi_queries", "ubi_events", "ga4", "search_console", "algolia", "table"]


class LogColumns(Settings):
    """Column names of the query log."""

    text: str | None = Field(
        None,
        description="Column of the query, or its path in nested JSON, such as `_source.user_query`. Null: that of the "
        "format; `text` or `query` for `table`.",
    )
    frequency: str | None = Field(
        None,
        description="Column of the frequency. Null: that of the format; `frequency` or `count` for `table`. Without "
        "one, each row is one search.",
    )
    query_id: str | None = Field(
        None,
        description="Column of the id. Null: `_id`, `query_id` or `id` for `table`, none for other formats. Without "
        "one, ids are hashes of the texts.",
    )


class ScoreWeights(Settings):
    """Relative weights of the parts of the long-tail score."""

    length: float = Field(1.0, ge=0, description="Weight of the number of terms.")
    complexity: float = Field(1.0, ge=0, description="Weight of the complexity of phrasing.")
    rarity: float = Field(1.0, ge=0, description="Weight of the rarity, which is 1 for a query that was searched once.")

    @model_validator(mode="after")
    def _check_weights(self) -> ScoreWeights:
        """Raise ValueError if all weights are 0."""
        if not self.length + self.complexity + self.rarity:
            raise ValueError("one of the weights length, complexity and rarity must be greater than 0")
        return self


class LongTailSettings(Settings):
    """Thresholds for long-tail queries: rare, long, and of complex phrasing."""

    max_frequency: int = Field(2, ge=1, description="Maximum frequency of a query in the log.")
    min_terms: int = Field(4, ge=1, description="Minimum number of terms.")
    min_score: float = Field(0.0, ge=0, le=1, description="Minimum score, from 0 to 1.")
    full_length: int = Field(12, ge=2, description="Number of terms at which the length part of the score reaches 1.")
    weights: ScoreWeights = ScoreWeights()


class QuerySettings(Settings):
    """The query log and the selection of queries to label."""

    log: str | None = Field(
        None,
        description="Query log: a file, folder, glob or URI of .parquet, .jsonl, .ndjson, .json, .tsv, .txt or .csv; "
        "text files also with .gz. Null: queries of the collection.",
    )
    format: LogFormatName | None = Field(
        None,
        description="Format of the query log. Null: detected from the column names; `table` if `columns.text` is set.",
    )
    columns: LogColumns = LogColumns()
    long_tail: LongTailSettings = LongTailSettings()
    sample: int | None = Field(
        None, ge=1, description="Number of selected queries to label, sampled at random. Null: all."
    )
    seed: int = Field(13, description="Seed of the sample.")
