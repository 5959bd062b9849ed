"""Token Selection: which document tokens also stand in the query.

Known from RRADistill (Choi et al., EMNLP 2024 Industry): the encoder student puts term-matching signals of
selected tokens into its dense representation. Which tokens those are, is this project's reconstruction.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import Tensor

from students.settings import Match

IGNORED = -1
"""The key of a token that matches nothing: special, punctuation, a stop word, padding."""

QUERY, DOCUMENT = 1, 2

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being but by can could did do does doing
    done for from get had has have having he her here him his how i if in into is it its just me more most my no nor
    not of off on once only or other our out over own same she should so some such than that the their them then there
    these they this those through to too under until up us very was we were what when where which while who whom why
    will with would you your
    은 는 이 가 을 를 의 에 에서 도 로 으로 와 과 만 하다 있다""".split()
)
"""English function words and Korean particles."""

_CONTINUED = "##"
_BROKEN = "\N{REPLACEMENT CHARACTER}"
_WORDS_HELD = 65_536
_WORD_STARTS = "Ġ▁ "


def select_tokens(keys: Tensor, segments: Tensor) -> Tensor:
    """Select the document tokens whose key is also a query token's.

    keys: [pairs, tokens], long, equal where two tokens match, IGNORED where a token matches nothing. segments: same
    shape, 1 for the query's tokens, 2 for the document's. Returns [pairs, tokens], bool.
    """
    counts = keys != IGNORED
    query = counts & (segments == QUERY)
    columns = query.any(dim=0)
    same = (keys.unsqueeze(2) == keys[:, columns].unsqueeze(1)) & query[:, columns].unsqueeze(1)
    return counts & (segments == DOCUMENT) & same.any(dim=2)


def matched_words(tokenizer: Any, query: str, documents: Sequence[str]) -> list[list[str]]:
    """The words of each document that the whole-word form selects, as they stand there, each once. A fast tokenizer is needed."""
    keys = TokenKeys(tokenizer, "word")
    found = []
    for document in documents:
        encoded = tokenizer(query, document, return_offsets_mapping=True)
        sides, words = encoded.sequence_ids(), encoded.word_ids()
        held = keys.of(encoded["input_ids"], [0 if side is None else side + 1 for side in sides], words)
        asked = {key for key, side in zip(held, sides, strict=True) if side == 0 and key != IGNORED}
        spans: dict[int, tuple[int, int]] = {}
        for key, side, word, (start, end) in zip(held, sides, words, encoded["offset_mapping"], strict=True):
            if side == 1 and key in asked:
                begin, last = spans.get(word, (start, end))
                spans[word] = (min(begin, start), max(last, end))
        found.append(list(dict.fromkeys(document[start:end] for start, end in spans.values())))
    return found


def frequent_terms(tokenizer: Any, texts: Iterable[str], match: Match, max_document_frequency: float) -> set[int]:
    """The keys of terms that occur in more than this share of the texts."""
    keys = TokenKeys(tokenizer, match)
    documents = 0
    counts: Counter[int] = Counter()
    for text in texts:
        encoded = tokenizer(text, add_special_tokens=False)
        counts.update(set(keys.of(encoded["input_ids"], [DOCUMENT] * len(encoded["input_ids"]), encoded.word_ids())))
        documents += 1
    return {key for key, count in counts.items() if key != IGNORED and count > max_document_frequency * documents}


class TokenKeys:
    """What a tokenizer's tokens are compared by. match: `token` by token, or by the whole `word` that it is part of.

    frequent: keys of terms that match nothing, from `frequent_terms`.

    Case and the mark of a word's beginning do not count. In token form a continued piece matches only itself ("##ing"
    is not "ing"). Words need a fast tokenizer, whose words are what its pre-tokenizer divides a text into.
    """

    def __init__(
        self,
        tokenizer: Any,
        match: Match = "token",
        stop_words: Collection[str] = STOP_WORDS,
        frequent: Collection[int] = (),
    ) -> None:
        self.match = match
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.frequent = frozenset(frequent)
        self.special = set(tokenizer.all_special_ids)
        self._word_key = functools.lru_cache(_WORDS_HELD)(self._key_of_word)
        self._token_keys = [self._key_of_token(i) for i in range(len(tokenizer))] if match == "token" else []

    def of(self, input_ids: Sequence[int], segments: Sequence[int], words: Sequence[int | None]) -> list[int]:
        """The keys of one tokenised pair. words: which word of its text each token is part of, None for none."""
        if self.match == "token":
            return [self._token_keys[i] if segment else IGNORED for i, segment in zip(input_ids, segments, strict=True)]
        places = list(zip(segments, words, strict=True))
        parts: dict[tuple[int, int | None], tuple[int, ...]] = {}
        for i, place in zip(input_ids, places, strict=True):
            parts[place] = (*parts.get(place, ()), i)
        keys = {place: IGNORED if place[1] is None else self._word_key(ids) for place, ids in parts.items()}
        return [keys[place] for place in places]

    def _key_of_token(self, token_id: int) -> int:
        token = self.tokenizer.convert_ids_to_tokens(token_id)
        if token is None or token_id in self.special:
            return IGNORED
        if token.startswith(_CONTINUED):
            return self._key(token.casefold(), token.removeprefix(_CONTINUED).casefold())
        text = self.tokenizer.convert_tokens_to_string([token])
        # a token of some bytes of a character has no text of its own
        read = token.strip(_WORD_STARTS) if _BROKEN in text else text.strip(_WORD_STARTS).casefold()
        return self._key(read, read)

    def _key_of_word(self, ids: tuple[int, ...]) -> int:
        if not self.special.isdisjoint(ids):  # a word that the vocabulary lacks is not the same as another such word
            return IGNORED
        text = self.tokenizer.convert_tokens_to_string(self.tokenizer.convert_ids_to_tokens(list(ids)))
        read = text.strip(_WORD_STARTS).casefold()
        return self._key(read, read)

    def _key(self, name: str, text: str) -> int:
        """The key of what is called so, IGNORED where its text tells nothing."""
        if text in self.stop_words or not any(character.isalnum() for character in text):
            return IGNORED
        key = int.from_bytes(hashlib.blake2b(name.encode("utf-8"), digest_size=7).digest(), "big")
        return IGNORED if key in self.frequent else key
