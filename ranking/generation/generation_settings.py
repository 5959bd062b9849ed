"""Settings of queries that are generated from documents, for all kinds of generators."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ranking.settings import Settings

FILTER_SETTINGS = {"round_trip_depth", "test_fraction"}
"""Settings that decide which of the written queries are used, but not what is written."""


class GenerationSettings(Settings):
    """Sampling of documents, and limits and checks of the queries that are written for them."""

    kind: str
    documents: int | None = Field(
        1000, ge=1, description="Number of documents to write queries for, sampled at random. Null: all."
    )
    min_document_terms: int = Field(8, ge=1, description="Minimum number of terms of a document with queries.")
    queries_per_document: int = Field(3, ge=1, le=20, description="Maximum number of queries per document.")
    max_terms: int = Field(30, ge=1, description="Maximum number of terms of a query.")
    max_copied_terms: int = Field(
        8, ge=1, description="Maximum number of consecutive terms that a query may have in common with its document."
    )
    round_trip_depth: int | None = Field(
        20,
        ge=1,
        description="Round-trip filter: keeps a query only if its document is among this many first candidates that "
        "the retrievers find for it. Null: no filter.",
    )
    test_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the documents whose queries are test queries instead of training queries, chosen by a "
        "hash of the document id. Ignored if the collection has judged test queries.",
    )

    def writing_limits(self) -> dict[str, Any]:
        """Return the settings of this class that the written queries depend on."""
        return self.model_dump(include=set(GenerationSettings.model_fields) - FILTER_SETTINGS)


class RecordedGenerationSettings(GenerationSettings):
    """Queries that were generated elsewhere, read from a file."""

    kind: Literal["recorded"] = "recorded"
    documents: int | None = Field(
        None, ge=1, description="Number of documents of the file to use, sampled at random. Null: all."
    )
    queries_per_document: int = Field(20, ge=1, le=20, description="Maximum number of queries per document.")
    path: str = Field(
        description="JSONL file, as a path or URI. Each row has `doc_id`, `text`, and optionally `style` (`question`, "
        "`problem`, `keywords` or `example`)."
    )
    generator: str | None = Field(
        None, description="Name of what generated the queries, for the report. Null: the name of the file."
    )
