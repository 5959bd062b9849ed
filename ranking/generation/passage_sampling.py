"""Sample the documents that queries are written for."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Container, Iterable

from ranking.generation.generated_ids import document_key
from ranking.generation.generation_settings import GenerationSettings
from ranking.records import Document, SourcePassage
from ranking.selection.query_text import count_terms, normalise


def sample_passages(
    documents: Iterable[Document], settings: GenerationSettings, seed: int, only: Container[str] | None = None
) -> list[SourcePassage]:
    """Sample documents with enough text. The sample does not depend on the order of the documents.

    Of several documents with the same text, only the one with the lowest id can be in the sample. Their queries would
    be the same, and one of the documents could be for training and another one for testing.

    Args:
        documents: Documents of the collection.
        settings: Size of the sample, and the minimum length of a document.
        seed: Seed of the sample.
        only: Ids of the documents to choose from. None allows all.

    Returns:
        The documents in the order of their keys.
    """
    first: dict[str, Document] = {}
    for document in documents:
        if only is None or document.doc_id in only:
            known = first.setdefault(document.content, document)
            if document.doc_id < known.doc_id:
                first[document.content] = document
    eligible = [one for one in first.values() if count_terms(normalise(one.content)) >= settings.min_document_terms]
    if settings.documents is not None:
        eligible = heapq.nsmallest(settings.documents, eligible, key=lambda one: _sampling_key(one.doc_id, seed))
    passages = (
        SourcePassage(query_id=document_key(one.doc_id), doc_id=one.doc_id, text=one.content) for one in eligible
    )
    return sorted(passages, key=lambda passage: passage.query_id)


def _sampling_key(doc_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{doc_id}".encode()).hexdigest()
