"""The input of an audit: parsed answers with the documents in their prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ranking.labels.listwise_answers import ParsedAnswer


@dataclass(frozen=True)
class ShownAnswer:
    """A parsed answer and the documents in its prompt.

    Attributes:
        list_id: id of the list or query. Answers with the same id are not treated as independent.
        documents: number of documents in the prompt.
        answer: the parsed answer.
        doc_ids: document ids in prompt order. None if they are unknown; agreement and quality then ignore the answer.
        grades: relevance grade by document id, for all judged documents of the query; None if the query is not judged.

    Raises:
        ValueError: if the answer, `documents` and `doc_ids` do not match.
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
                f"list {self.list_id!r}: expected distinct positions from 1 to {self.documents}, not {order}"
            )
        if self.doc_ids is not None and (
            len(self.doc_ids) != self.documents or len(set(self.doc_ids)) != self.documents
        ):
            raise ValueError(
                f"list {self.list_id!r}: expected {self.documents} distinct document ids, not {self.doc_ids}"
            )

    @property
    def usable(self) -> bool:
        """Whether the answer lists a document and its parse status allows it to become a label."""
        return self.answer.usable

    @property
    def ranked(self) -> list[str]:
        """Ids of the listed documents, best first; empty if ids are unknown."""
        return [self.doc_ids[place - 1] for place in self.answer.order] if self.doc_ids is not None else []
