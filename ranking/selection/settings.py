"""Settings of the query log and of the choice of the queries to label."""

from __future__ import annotations

from pydantic import Field, model_validator

from ranking.settings import Settings


class LogColumns(Settings):
    """What the columns of the query log are called."""

    text: str | None = Field(None, description="The query. Null: `text` or `query`, whichever is there.")
    frequency: str | None = Field(
        None, description="How often it was asked. Null: `frequency` or `count`, or each row is one search."
    )
    query_id: str | None = Field(
        None, description="Its id. Null: `_id`, `query_id` or `id`, or ids are made from the texts."
    )


class ScoreWeights(Settings):
    """How much each part of the score weighs, beside the others."""

    length: float = Field(1.0, ge=0, description="Weight of the number of terms.")
    complexity: float = Field(1.0, ge=0, description="Weight of the phrasing.")
    rarity: float = Field(1.0, ge=0, description="Weight of how seldom the query is asked.")

    @model_validator(mode="after")
    def _one_counts(self) -> ScoreWeights:
        if not self.length + self.complexity + self.rarity:
            raise ValueError("one of length, complexity and rarity must weigh more than 0")
        return self


class LongTailSettings(Settings):
    """Which queries of the log are long-tail: rare, long, and worded in a complex way."""

    max_frequency: int = Field(2, ge=1, description="Queries that the log holds more often are left out.")
    min_terms: int = Field(4, ge=1, description="Queries with fewer terms are left out.")
    min_score: float = Field(0.0, ge=0, le=1, description="Queries with a lower score are left out.")
    full_length: int = Field(12, ge=2, description="Terms from which on the length part of the score is 1.")
    weights: ScoreWeights = ScoreWeights()


class QuerySettings(Settings):
    """The query log and the choice of the queries to label."""

    log: str | None = Field(
        None,
        description="Query log: a file, folder, glob or URI of .parquet, .jsonl, .tsv or .csv. Null: the collection's own.",
    )
    columns: LogColumns = LogColumns()
    long_tail: LongTailSettings = LongTailSettings()
    sample: int | None = Field(None, ge=1, description="Label only this many of the selected queries. Null: all.")
    seed: int = Field(13, description="Seed of the sample.")
