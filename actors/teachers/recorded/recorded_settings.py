"""Settings of recorded teachers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ranking.settings import Settings


class RecordedTeacherSettings(Settings):
    """Rankings recorded elsewhere, over the query and document ids of the collection."""

    kind: Literal["recorded"] = "recorded"
    path: str = Field(
        description=(
            "Answers of a listwise LLM with the documents of each prompt (.jsonl, see docs/teachers.md), a TREC run "
            "file, RankLLM's JSON, or qrels with the teacher's grades. `pydoc`: the answers that come with the pydoc "
            "collection."
        )
    )
    collection: str | None = Field(
        None,
        description=(
            "The collection.source that the file was recorded for; any other source is an error. Null: no check."
        ),
    )
    unlisted: Literal["negative", "unseen"] = Field(
        "negative",
        description=(
            "How to treat candidates that a run does not list: `negative`, or `unseen`, which excludes them from "
            "training. Ignored for answers and grades, which show which documents the teacher saw."
        ),
    )

    @property
    def location(self) -> str:
        """Path or URI of the file."""
        from ranking.collections.pydoc import RANKINGS

        return str(RANKINGS) if self.path == "pydoc" else self.path
