"""Token Selection: find the document tokens that also occur in the query.

Known from RRADistill (Choi et al., EMNLP 2024 Industry): the encoder student puts term-matching signals of selected
tokens into its dense representation. How tokens are selected is this project's reconstruction: each token gets an
integer key, and a document token is selected if a query token has the same key.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import Tensor

from ranking.languages import ENGLISH, PACKAGES, analyzer_for
from ranking.languages.stop_words import stop_words_of
from students.student_settings import Match

IGNORED = -1
"""Key of tokens that never match: special tokens, punctuation, stop words, padding."""

QUERY, DOCUMENT = 1, 2
"""Values of the model input `segments` for query and document tokens."""

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being but by can could did do does doing
    done for from get had has have having he her here him his how i if in into is it its just me more most my no nor
    not of off on once only or other our out over own same she should so some such than that the their them then there
    these they this those through to too under until up us very was we were what when where which while who whom why
    will with would you your
    은 는 이 가 을 를 의 에 에서 도 로 으로 와 과 만 하다 있다""".split()
)
"""English function words and Korean particles, for English collections."""

PARTICLES = {
    "korean": "은 는 이 가 을 를 의 에 에서 에게 께 도 로 으로 와 과 만 까지 부터 보다 처럼 하다 있다 되다",
    "japanese": "は が を に へ と で の も や から まで より か ね よ だ です ます た て する いる ある なる",
}
"""Particles and auxiliary words, which are tokens in many vocabularies. They never match in these languages."""

_SUBWORD_PREFIX = "##"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CACHED_WORDS = 65_536
_WORD_STARTS = "Ġ▁ "
"""Characters that mark the first token of a word in byte-level BPE and SentencePiece vocabularies."""


def select_tokens(keys: Tensor, segments: Tensor) -> Tensor:
    """Select the document tokens whose key is also the key of a query token.

    Args:
        keys: [pairs, tokens], long. Tokens with equal keys match; IGNORED never matches.
        segments: [pairs, tokens], 1 for query tokens, 2 for document tokens.

    Returns:
        [pairs, tokens], bool, True for selected tokens.
    """
    counts = keys != IGNORED
    query = counts & (segments == QUERY)
    columns = query.any(dim=0)
    same = (keys.unsqueeze(2) == keys[:, columns].unsqueeze(1)) & query[:, columns].unsqueeze(1)
    return counts & (segments == DOCUMENT) & same.any(dim=2)


def matched_words(tokenizer: Any, query: str, documents: Sequence[str], language: str = ENGLISH) -> list[list[str]]:
    """Return the distinct words of each document that match a word of the query, in the document's spelling.

    Serving calls this function, so it needs no optional extra: Korean, Japanese and Chinese words match if they are
    equal, whatever the training compares.

    Args:
        tokenizer: A fast tokenizer.
        query: The query.
        documents: The documents.
        language: Language of the texts.
    """
    keys = TokenKeys(tokenizer, "word", language=language, stems=language not in PACKAGES)
    matches = []
    for document in documents:
        encoded = tokenizer(query, document, return_offsets_mapping=True)
        segments, words = encoded.sequence_ids(), encoded.word_ids()
        token_keys = keys.compute(
            encoded["input_ids"], [0 if segment is None else segment + 1 for segment in segments], words
        )
        query_keys = {key for key, segment in zip(token_keys, segments, strict=True) if segment == 0 and key != IGNORED}
        spans: dict[int, tuple[int, int]] = {}
        for key, segment, word, (start, end) in zip(
            token_keys, segments, words, encoded["offset_mapping"], strict=True
        ):
            if segment == 1 and key in query_keys:
                first, last = spans.get(word, (start, end))
                spans[word] = (min(first, start), max(last, end))
        matches.append(list(dict.fromkeys(document[start:end] for start, end in spans.values())))
    return matches


def frequent_terms(
    tokenizer: Any, texts: Iterable[str], match: Match, max_document_frequency: float, language: str = ENGLISH
) -> set[int]:
    """Return the keys of terms that occur in more than a given fraction of the texts.

    Args:
        tokenizer: A fast tokenizer.
        texts: The texts.
        match: Whether terms are single tokens or whole words.
        max_document_frequency: The fraction, 0 to 1.
        language: Language of the texts.
    """
    keys = TokenKeys(tokenizer, match, language=language)
    documents = 0
    counts: Counter[int] = Counter()
    for text in texts:
        encoded = tokenizer(text, add_special_tokens=False)
        segments = [DOCUMENT] * len(encoded["input_ids"])
        counts.update(set(keys.compute(encoded["input_ids"], segments, encoded.word_ids())))
        documents += 1
    return {key for key, count in counts.items() if key != IGNORED and count > max_document_frequency * documents}


def token_stop_words(language: str) -> frozenset[str]:
    """Return the words that never match in a language. Empty for languages without a list."""
    if language == ENGLISH:
        return STOP_WORDS
    return stop_words_of(language) | frozenset(PARTICLES.get(language, "").split())


class TokenKeys:
    """Computes the keys by which Token Selection compares tokens.

    Keys ignore case and the character that marks the first token of a word. With `match="token"` a continuation piece
    only matches itself: "##ing" does not match "ing". With `match="word"` the tokenizer must be fast, and its
    pre-tokenizer determines what a word is.

    The language determines the stop words. Whole words in languages other than English match if their stems or content
    morphemes are equal (`ranking.languages`). Tokens and English words are not stemmed.
    """

    def __init__(
        self,
        tokenizer: Any,
        match: Match = "token",
        stop_words: Collection[str] | None = None,
        frequent: Collection[int] = (),
        language: str = ENGLISH,
        stems: bool = True,
    ) -> None:
        """Prepare to compute keys. For `match="token"`, compute the keys of the whole vocabulary now.

        Args:
            tokenizer: The tokenizer.
            match: Compare single tokens, or the whole words that they are part of.
            stop_words: Words that never match. None for those of the language.
            frequent: Keys of terms that never match, from `frequent_terms`.
            language: Language of the texts.
            stems: Compare stems instead of whole words, if the language is not English.

        Raises:
            InputError: The language's tokenizer is not installed, and stems of whole words are compared.
        """
        self.match = match
        self.tokenizer = tokenizer
        self.stop_words = token_stop_words(language) if stop_words is None else stop_words
        self.frequent = frozenset(frequent)
        self.special = set(tokenizer.all_special_ids)
        self._terms = analyzer_for(language).terms if match == "word" and stems and language != ENGLISH else None
        self._word_key = functools.lru_cache(_CACHED_WORDS)(self._key_of_word)
        self._token_keys = [self._key_of_token(i) for i in range(len(tokenizer))] if match == "token" else []

    def compute(self, input_ids: Sequence[int], segments: Sequence[int], words: Sequence[int | None]) -> list[int]:
        """Return the key of each token of a tokenized pair.

        Args:
            input_ids: Token IDs.
            segments: Segment of each token, 0 for special tokens.
            words: For each token, the index of its word within the query or the document; None for special tokens.
        """
        if self.match == "token":
            return [self._token_keys[i] if segment else IGNORED for i, segment in zip(input_ids, segments, strict=True)]
        positions = list(zip(segments, words, strict=True))
        parts: dict[tuple[int, int | None], tuple[int, ...]] = {}
        for i, position in zip(input_ids, positions, strict=True):
            parts[position] = (*parts.get(position, ()), i)
        keys = {position: IGNORED if position[1] is None else self._word_key(ids) for position, ids in parts.items()}
        return [keys[position] for position in positions]

    def _key_of_token(self, token_id: int) -> int:
        token = self.tokenizer.convert_ids_to_tokens(token_id)
        if token is None or token_id in self.special:
            return IGNORED
        if token.startswith(_SUBWORD_PREFIX):
            return self._key(token.casefold(), token.removeprefix(_SUBWORD_PREFIX).casefold())
        text = self.tokenizer.convert_tokens_to_string([token])
        # A token with only some of a character's bytes does not decode to text, so use the token itself as its name.
        name = token.strip(_WORD_STARTS) if _REPLACEMENT in text else text.strip(_WORD_STARTS).casefold()
        return self._key(name, name)

    def _key_of_word(self, ids: tuple[int, ...]) -> int:
        if not self.special.isdisjoint(ids):  # unknown words must not match each other
            return IGNORED
        text = self.tokenizer.convert_tokens_to_string(self.tokenizer.convert_ids_to_tokens(list(ids)))
        name = text.strip(_WORD_STARTS).casefold()
        if self._terms is None:
            return self._key(name, name)
        terms = self._terms(name)
        return self._key(" ".join(terms), name) if terms else IGNORED

    def _key(self, name: str, text: str) -> int:
        """Hash the name of a token or word. Returns IGNORED for stop words, frequent terms and punctuation.

        Args:
            name: What tokens or words must have in common to match.
            text: Text to look up in the stop words. Without letters or digits it is punctuation.
        """
        if text in self.stop_words or not any(character.isalnum() for character in text):
            return IGNORED
        key = int.from_bytes(hashlib.blake2b(name.encode("utf-8"), digest_size=7).digest(), "big")
        return IGNORED if key in self.frequent else key
