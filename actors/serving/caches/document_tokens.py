"""A cache of the tokens of documents, for all models whose pairs can be assembled from them exactly."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from actors.serving.caches.bounded_cache import BoundedCache
from actors.serving.caches.lookups import Lookups
from actors.serving.caches.pair_keys import PairKeys
from students.batches import tokenize
from students.pair_assembly import PairAssembler, Row, assembler_of
from students.scoring import Scorer

_ARRAY_BYTES, _TOKEN_BYTES = 112, 4


class DocumentTokens:
    """Caches the tokens of documents by content.

    Versions with the same tokenizer and maximum length share tokens, so the cache is still warm after a promotion.
    """

    def __init__(self, max_bytes: int, on_lookup: Callable[[Lookups], None]) -> None:
        """Create an empty cache.

        Args:
            max_bytes: Maximum size in bytes.
            on_lookup: Called after each lookup of some documents.
        """
        self.entries: BoundedCache[array[int]] = BoundedCache(
            max_bytes, lambda ids: _ARRAY_BYTES + _TOKEN_BYTES * len(ids)
        )
        self._keys = PairKeys()
        self._on_lookup = on_lookup

    def attach(self, scorer: Scorer) -> bool:
        """Let a scorer tokenize with this cache if its pairs can be assembled exactly. Returns whether they can."""
        assembler = assembler_of(scorer.tokenizer, scorer.max_length)
        if assembler is None:
            return False
        cached = _CachedTokenizer(self, scorer, assembler)
        scorer.pair_tokenizer = cached.rows
        return True

    def tokens(self, documents: Sequence[str], scope: str, assembler: PairAssembler) -> list[array[int]]:
        """Return the tokens of documents.

        Args:
            documents: Texts of the documents.
            scope: Fingerprint of the tokenizer.
            assembler: Tokenizes documents that are not cached.
        """
        keys = [self._keys.of_document(document, scope) for document in documents]
        found = self.entries.get(dict.fromkeys(keys))
        missing = {key: text for key, text in zip(keys, documents, strict=True) if key not in found}
        self._on_lookup(Lookups(len(found), len(missing)))
        new = list(zip(missing, assembler.documents(list(missing.values())), strict=True))
        self.entries.put(new)
        found.update(new)
        return [found[key] for key in keys]


class _CachedTokenizer:
    """Tokenizes the pairs of one scorer."""

    def __init__(self, cache: DocumentTokens, scorer: Scorer, assembler: PairAssembler) -> None:
        self._cache, self._assembler = cache, assembler
        self._tokenizer, self._max_length = scorer.tokenizer, scorer.max_length
        self._scope = f"{_fingerprint(scorer.tokenizer)} {scorer.max_length}"

    def rows(self, pairs: Sequence[tuple[str, str]]) -> list[Row]:
        """Return the same rows as `students.batches.tokenize`. Uses no cache if a query is too long for that."""
        queries: dict[str, Sequence[int]] = {}
        for text in dict.fromkeys(query for query, _ in pairs):
            tokens = self._assembler.query(text)
            if tokens is None:
                return tokenize(self._tokenizer, pairs, self._max_length)
            queries[text] = tokens
        documents = self._cache.tokens([document for _, document in pairs], self._scope, self._assembler)
        return [self._assembler.row(queries[pair[0]], tokens) for pair, tokens in zip(pairs, documents, strict=True)]


def _fingerprint(tokenizer: Any) -> str:
    """Return a digest of a tokenizer without its truncation and padding, which each call sets."""
    content = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
