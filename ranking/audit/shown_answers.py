"""What an audit reads: an answer together with the prompt that it was given to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ranking.labels.listwise_answers import ParsedAnswer


@dataclass(frozen=True)
class ShownAnswer:
    """A read answer and what its prompt showed.

    list_id: answers with the same list_id are about one list or one query, and are never counted as
    independent. documents: how many the prompt showed. doc_ids: their ids in prompt order, None where
    unknown; then nothing can be said of agreement and quality. grades: relevance by document id, of the
    whole judgement and not only of what was shown; None where unjudged. Raises ValueError where the three
    do not fit together.
    """

    list_id: str
    documents: int
    answer: ParsedAnswer
    doc_ids: tuple[str, ...] | None = None
    grades: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        order = self.answer.order
        if len(set(order)) != len(order) or not all(1 <= place <= self.documents for place in order):
            raise ValueError(
                f"list {self.list_id!r}: the answer must list distinct places from 1 to {self.documents}, not {order}"
            )
        if self.doc_ids is not None and (
            len(self.doc_ids) != self.documents or len(set(self.doc_ids)) != self.documents
        ):
            raise ValueError(
                f"list {self.list_id!r}: {self.documents} distinct document ids are expected, not {self.doc_ids}"
            )

    @property
    def usable(self) -> bool:
        """Whether the answer has an order that may become a label."""
        return self.answer.usable

    @property
    def ranked(self) -> list[str]:
        """Ids of the listed documents, best first; empty where ids are unknown."""
        return [self.doc_ids[place - 1] for place in self.answer.order] if self.doc_ids is not None else []
