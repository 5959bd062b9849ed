"""Limits on the number and length of the texts in a request."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import HTTPException

from actors.serving.serving_settings import LimitSettings


def check_count(documents: int, field: str, limits: LimitSettings) -> None:
    """Check the number of documents in a request.

    Args:
        documents: Number of documents.
        field: Name of their field, for the message.
        limits: The limits.

    Raises:
        HTTPException: Status 422 if there are too many.
    """
    limit = limits.max_documents
    if documents > limit:
        raise HTTPException(422, f"{field}: {documents:,} items exceed the limit of {limit:,}")


def check_texts(query: str, texts: Sequence[str], field: str, limits: LimitSettings) -> None:
    """Check the lengths of the query and the documents of a request.

    Args:
        query: Text of the query.
        texts: Texts of the documents.
        field: Name of the documents' field, for the message.
        limits: The limits.

    Raises:
        HTTPException: Status 422 if a text, or all documents together, are too long.
    """
    limit = limits.max_characters
    if len(query) > limit:
        raise HTTPException(422, f"query: {len(query):,} characters exceed the limit of {limit:,}")
    for i, text in enumerate(texts):
        if len(text) > limit:
            raise HTTPException(422, f"{field}[{i}]: {len(text):,} characters exceed the limit of {limit:,}")
    total = sum(map(len, texts))
    if total > limits.max_request_characters:
        raise HTTPException(
            422, f"{field}: {total:,} characters in all exceed the limit of {limits.max_request_characters:,}"
        )
