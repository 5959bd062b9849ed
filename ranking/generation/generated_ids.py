"""Ids of generated queries. They begin with a key of their document, so a split by key is a split by document."""

from __future__ import annotations

import hashlib
import re

_PREFIX = "generated"
_ID = re.compile(rf"({_PREFIX}-[0-9a-f]{{16}})-[0-9]+")


def document_key(doc_id: str) -> str:
    """Return the key of a document, for example `generated-5b1c2a9f00d13e77`."""
    return f"{_PREFIX}-{hashlib.sha256(doc_id.encode('utf-8')).hexdigest()[:16]}"


def generated_id(key: str, number: int) -> str:
    """Return the id of one of a document's queries.

    Args:
        key: Key of the document.
        number: Number of the query, from 1. 0 for an answer without usable queries.
    """
    return f"{key}-{number}"


def split_key(query_id: str) -> str:
    """Return what decides to which split a query belongs: the document's key for a generated query, else the id."""
    match = _ID.fullmatch(query_id)
    return match[1] if match else query_id
