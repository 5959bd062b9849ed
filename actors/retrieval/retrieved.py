"""The documents that all retrievers of a run found for one query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.retrieval.engine_retriever import EngineResult
from ranking.records import Document, IncompleteList
from ranking.retrieval.engine_hits import EngineHit, usable_scores
from ranking.retrieval.fusion import reciprocal_rank_fusion

FusedDocument = tuple[str, float, str]
"""Document id, score, and the names of the retrievers that returned the document, joined with "+"."""


@dataclass
class RetrievedDocuments:
    """The documents that the retrievers found for one query.

    Attributes:
        query_id: Id of the query.
        lists: {retriever: document ids, best first}.
        scores: {search engine: {document id: score}}. Other retrievers have no entry.
        documents: Documents with the texts of a search engine. The other documents are those of the collection.
        incomplete: What the lists of search engines lack.
    """

    query_id: str
    lists: dict[str, list[str]] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    incomplete: list[IncompleteList] = field(default_factory=list)

    def add_texts(self, result: EngineResult, collection: Mapping[str, Document]) -> None:
        """Add the texts that a search engine returned. If several engines return one, the first is kept.

        Args:
            result: Result of the engine.
            collection: {document id: document of the collection}.
        """
        for hit in result.hits:
            if hit.text is not None:
                self.documents.setdefault(hit.doc_id, _document(hit, hit.text, collection))

    def add_engine(self, name: str, result: EngineResult, collection: Mapping[str, Document]) -> None:
        """Add the list of a search engine, without the documents that no engine and no collection has a text for.

        Args:
            name: Name of the engine's list.
            result: Result of the engine.
            collection: {document id: document of the collection}.
        """
        usable = [hit for hit in result.hits if hit.doc_id in self.documents or hit.doc_id in collection]
        self.lists[name] = [hit.doc_id for hit in usable]
        self.scores[name] = dict(zip(self.lists[name], usable_scores([hit.score for hit in usable]), strict=True))
        missing = [hit.doc_id for hit in result.hits if hit.doc_id not in self.scores[name]]
        if missing or result.refusal is not None:
            self.incomplete.append(
                IncompleteList(query_id=self.query_id, retriever=name, doc_ids=missing, refusal=result.refusal)
            )

    def fused(self, depth: int) -> list[FusedDocument]:
        """Fuse all lists by reciprocal rank. A single list of a search engine keeps its scores."""
        if len(self.lists) == 1:
            (name,) = self.lists
            return self.of(name)[:depth]
        return reciprocal_rank_fusion(self.lists, depth)

    def of(self, name: str) -> list[FusedDocument]:
        """Return the list of one retriever: with the scores of a search engine, else with reciprocal rank scores."""
        ids = self.lists[name]
        if name in self.scores:
            return [(doc_id, self.scores[name][doc_id], name) for doc_id in ids]
        return reciprocal_rank_fusion({name: ids}, len(ids))

    def problem(self) -> str | None:
        """Explain why a log query cannot have a candidate list; None if it can."""
        for incomplete in self.incomplete:
            if incomplete.refusal is not None:
                return f"{incomplete.retriever}: {incomplete.refusal}"
        if any(self.lists.values()):
            return None
        for incomplete in self.incomplete:
            return (
                f"{incomplete.retriever}: none of the {len(incomplete.doc_ids)} documents has a text, and the "
                f"collection has none of them, such as {incomplete.doc_ids[0]!r}"
            )
        return "no retriever found a document"


def _document(hit: EngineHit, text: str, collection: Mapping[str, Document]) -> Document:
    """Make a document with the text of a search engine. A missing title is that of the collection's document."""
    known = collection.get(hit.doc_id)
    title = hit.title if hit.title is not None else known.title if known is not None else ""
    return Document(doc_id=hit.doc_id, title=title, text=text)
