"""Documents of a request, strings or objects, and the text of each document that the model reads."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_ID_CHARACTERS = 200
MAX_DOCUMENTS = 10_000
"""Upper bound of the setting `serving.limits.max_documents`."""


class TextDocument(BaseModel):
    """A document as an object. The model reads the title before the text, or the request's `rank_fields`.

    `id` is recorded in an experiment. `score` is the first-stage score, used for blending if it is a finite number.
    """

    model_config = ConfigDict(extra="allow")

    text: str | None = None
    title: str | None = None
    id: str | int | float | None = None
    score: bool | int | float | str | None = None


Documents = Annotated[list[str | TextDocument], Field(max_length=MAX_DOCUMENTS, fail_fast=True)]


def read_texts(documents: Sequence[str | TextDocument], rank_fields: Sequence[str] | None) -> list[str]:
    """Return the text of each document, as the model reads it.

    Args:
        documents: The documents. A string is an object whose only field is `text`.
        rank_fields: Fields whose values are joined by line breaks, in this order. A document need not have all of them.
            None for the title, if any, and the text.

    Raises:
        ValueError: A document has none of the fields, or a value of a field is not a string or a number.
    """
    if rank_fields is None:
        return [_title_and_text(document, i) for i, document in enumerate(documents)]
    return [_joined_fields(document, rank_fields, i) for i, document in enumerate(documents)]


def heading_lengths(documents: Sequence[str | TextDocument], rank_fields: Sequence[str] | None) -> list[int]:
    """Return how many characters of each text of `read_texts` are the title and its line break.

    0 for a document without a title, and for all documents if `rank_fields` are given.
    """
    titles = [None if isinstance(document, str) or rank_fields else document.title for document in documents]
    return [len(readable(title)) + 1 if title else 0 for title in titles]


def ids_of(documents: Sequence[str | TextDocument]) -> list[str]:
    """Return the `id` of each document, truncated to 200 characters. A document without one gets its index."""
    ids = [None if isinstance(document, str) else document.id for document in documents]
    return [readable(str(i if doc_id is None else doc_id))[:MAX_ID_CHARACTERS] for i, doc_id in enumerate(ids)]


def score_of(document: str | TextDocument) -> float | None:
    """Return the first-stage score of a document, or None if it has no finite score."""
    score = None if isinstance(document, str) else document.score
    if isinstance(score, bool) or not isinstance(score, int | float):
        return None
    try:
        value = float(score)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def readable(text: str) -> str:
    """Replace lone surrogates, which JSON strings may contain but UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _title_and_text(document: str | TextDocument, i: int) -> str:
    if isinstance(document, str):
        return readable(document)
    if document.text is None:
        raise ValueError(f"documents[{i}].text: missing; add it, or name the fields to read in rank_fields")
    return readable(f"{document.title}\n{document.text}" if document.title else document.text)


def _joined_fields(document: str | TextDocument, names: Sequence[str], i: int) -> str:
    values = [(name, _value(document, name)) for name in names]
    texts = [_as_text(value, name, i) for name, value in values if value is not None]
    if not texts:
        raise ValueError(f"documents[{i}]: has none of the fields in rank_fields")
    return readable("\n".join(texts))


def _value(document: str | TextDocument, name: str) -> Any:
    if isinstance(document, str):
        return document if name == "text" else None
    if name in TextDocument.model_fields:
        return getattr(document, name)
    return (document.model_extra or {}).get(name)


def _as_text(value: Any, name: str, i: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return json.dumps(value)
    raise ValueError(f"documents[{i}]: the field {name[:50]!r} in rank_fields is not a string or a number")
