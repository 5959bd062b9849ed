"""Keys of cached scores: digests of what determines the score of a (query, document) pair."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from actors.serving.scoring.tokenizing import TextsToTokenize

DIGEST_BYTES = 16
_WITHOUT_EFFECT = ("field",)


class PairKeys:
    """Computes 128-bit keyed BLAKE2b digests.

    The secret of the process is the key of the hash, so a caller can neither make two texts collide nor recognize a
    digest.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def of_texts(self, version: str, scope: str, texts: TextsToTokenize) -> list[bytes]:
        """Return one key per document of a request.

        Args:
            version: Version of the model.
            scope: Requests of different scopes have different keys. The name of the caller, or empty.
            texts: The texts. All its fields except `field` are part of the keys; of a field with one value per
                document, such as a list of lengths, only the document's own value.
        """
        per_document = _values_per_document(texts)
        names = [option.name for option in fields(texts)]
        shared = {name: getattr(texts, name) for name in names if name not in (*_WITHOUT_EFFECT, *per_document)}
        prefix = self._hash(repr((version, scope, shared)).encode())
        own = {name: values for name, values in per_document.items() if name != "documents"}
        return [
            self._of_document(prefix, document, [values[i] for values in own.values()])
            for i, document in enumerate(texts.documents)
        ]

    def of_document(self, document: str, scope: str) -> bytes:
        """Return the key of a document alone. `scope` is as in `of_texts`."""
        return self._of_document(self._hash(repr(scope).encode()), document, [])

    def _hash(self, content: bytes) -> hashlib.blake2b:
        return hashlib.blake2b(content, digest_size=DIGEST_BYTES, key=self._secret)

    @staticmethod
    def _of_document(prefix: hashlib.blake2b, document: str, options: Sequence[object]) -> bytes:
        digest = prefix.copy()
        # repr() escapes zero bytes and surrogates, so the parts cannot be confused
        digest.update(b"\0" + (repr(options).encode() if options else b"") + b"\0")
        digest.update(document.encode("utf-8", "surrogatepass"))
        return digest.digest()


def select_documents(texts: TextsToTokenize, indices: Sequence[int]) -> TextsToTokenize:
    """Return texts with some of the documents, and with their values of all fields with one value per document."""
    selected: dict[str, Any] = {
        name: [values[i] for i in indices] for name, values in _values_per_document(texts).items()
    }
    return replace(texts, **selected)


def _values_per_document(texts: TextsToTokenize) -> dict[str, Sequence[Any]]:
    """Return the fields with one value per document, `documents` included: all sequences that are not strings."""
    values = {option.name: getattr(texts, option.name) for option in fields(texts)}
    return {name: value for name, value in values.items() if isinstance(value, Sequence) and not isinstance(value, str)}
