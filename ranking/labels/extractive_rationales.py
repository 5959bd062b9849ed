"""Rationales without a model: the sentence of a passage that shares most with the query.

The measure is this project's: the sum of the inverse document frequencies of the query's terms that a
sentence holds. It is no judgement: the sentence says what the passage and the query have in common.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import Stemmer
from bm25s.stopwords import STOPWORDS_EN_PLUS

from ranking import unsegmented
from ranking.labels.relevance import relevance
from ranking.records import Label, Rationale

_STOP_WORDS = frozenset(STOPWORDS_EN_PLUS)
LONGEST_SENTENCE = 300
"""Characters; what goes on for longer is cut into pieces of at most so many, between words where there are spaces."""

_BREAK = re.compile(r"""\n\s*\n|(?<=[.!?…])["'”’»)\]]*\s++(?![a-z])|(?<=[。！？｡।॥۔؟])[」』”’]*""")


def extracted_rationales(label: Label) -> list[Rationale]:
    """The best sentence of each candidate of a label. Frequencies are counted over the label's own passages.

    A passage that shares no term with the query has the status unmatched and no text.
    """
    weights = term_weights([candidate.text for candidate in label.candidates])
    rationales = []
    for candidate, relevant in zip(label.candidates, relevance(label), strict=True):
        sentence = best_sentence(label.query, candidate.text, weights)
        status, text = ("ok", sentence) if sentence else ("unmatched", "")
        rationales.append(Rationale(doc_id=candidate.doc_id, relevant=relevant, status=status, text=text))
    return rationales


def best_sentence(query: str, passage: str, weights: Mapping[str, float]) -> str | None:
    """The sentence whose distinct terms that the query has too weigh most; of equal ones the earlier.

    weights: of terms; one that it lacks weighs nothing. None where no sentence weighs anything.
    """
    wanted = set(terms(query))
    best, most = None, 0.0
    for sentence in sentences(passage):
        weight = math.fsum(weights.get(term, 0.0) for term in wanted & set(terms(sentence)))
        if weight > most:
            best, most = sentence, weight
    return best


def term_weights(passages: Sequence[str]) -> dict[str, float]:
    """Weigh terms by rarity: log(1 + (N - n + 1/2) / (n + 1/2)), n of N passages hold the term. This is BM25's, in Lucene's form."""
    held = Counter(term for passage in passages for term in set(terms(passage)))
    return {term: math.log(1 + (len(passages) - count + 0.5) / (count + 0.5)) for term, count in held.items()}


def terms(text: str) -> list[str]:
    """Divide a text into terms: stems of words by the English Snowball stemmer, without case and without English stop words.

    In scripts that put no spaces between words (Han, kana, Thai, Lao, Khmer, Burmese) a term is two neighbouring
    characters; one that stands alone is a term of its own.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = "".join(character if unicodedata.category(character)[0] in "LMN" else " " for character in folded)
    found = []
    for run in unsegmented.RUN.sub(r" \1 ", spaced).split():
        if unsegmented.RUN.fullmatch(run):
            found += unsegmented.pairs(run)
        elif run not in _STOP_WORDS:
            found.append(_stemmer().stemWord(run))
    return found


def sentences(text: str) -> list[str]:
    """Divide a text into sentences, white space joined.

    A sentence ends behind its mark, with closing quotes and brackets, or at an empty line. Before a small Latin
    letter a full stop ends none ("e.g. this"); abbreviations before a capital do.
    """
    starts = [0, *(found.end() for found in _BREAK.finditer(text)), len(text)]
    pieces = [" ".join(text[start:end].split()) for start, end in itertools.pairwise(starts)]
    return [part for piece in pieces for part in textwrap.wrap(piece, LONGEST_SENTENCE, break_on_hyphens=False)]


@functools.cache
def _stemmer() -> Stemmer.Stemmer:
    return Stemmer.Stemmer("english")
