"""Extract rationales from passages without a model: the sentence that best matches the query.

The weight of a sentence is the sum of the inverse document frequencies of the query terms in it. The sentence with the
highest weight is the rationale. This measure was designed for this project. It does not judge relevance: the sentence
only shows terms that passage and query share.
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
from ranking.languages import ENGLISH, analyzer_for
from ranking.records import Label, Rationale

_STOP_WORDS = frozenset(STOPWORDS_EN_PLUS)
MAX_SENTENCE_LENGTH = 300
"""Maximum sentence length in characters. Longer sentences are split, at spaces where possible."""

_BREAK = re.compile(r"""\n\s*\n|(?<=[.!?…])["'”’»)\]]*\s++(?![a-z])|(?<=[。！？｡।॥۔؟])[」』”’]*""")


def extracted_rationales(label: Label, language: str = ENGLISH) -> list[Rationale]:
    """Return a rationale for each candidate of a label: the best sentence of its passage.

    Document frequencies are counted over the passages of this label only. The rationale of a passage that shares no
    term with the query has the status `unmatched` and an empty text.
    """
    weights = term_weights([candidate.text for candidate in label.candidates], language)
    rationales = []
    for candidate, relevant in zip(label.candidates, relevance(label), strict=True):
        sentence = best_sentence(label.query, candidate.text, weights, language)
        status, text = ("ok", sentence) if sentence else ("unmatched", "")
        rationales.append(Rationale(doc_id=candidate.doc_id, relevant=relevant, status=status, text=text))
    return rationales


def best_sentence(query: str, passage: str, weights: Mapping[str, float], language: str = ENGLISH) -> str | None:
    """Return the sentence of a passage whose distinct terms in common with the query have the highest total weight.

    Args:
        query: Text of the query.
        passage: Text to choose a sentence from.
        weights: {term: weight}. A missing term has weight 0.
        language: Language of the texts.

    Returns:
        The best sentence, or the first of several equally good ones. None if every sentence has weight 0.
    """
    query_terms = set(terms(query, language))
    best, best_weight = None, 0.0
    for sentence in sentences(passage):
        weight = math.fsum(weights.get(term, 0.0) for term in query_terms & set(terms(sentence, language)))
        if weight > best_weight:
            best, best_weight = sentence, weight
    return best


def term_weights(passages: Sequence[str], language: str = ENGLISH) -> dict[str, float]:
    """Return {term: weight} for all terms of the passages. The weight is the idf of BM25 in Lucene.

        idf = log(1 + (N - n + 1/2) / (n + 1/2))

    idf is the inverse document frequency, N the number of passages, n the number of passages that contain the term.
    """
    frequencies = Counter(term for passage in passages for term in set(terms(passage, language)))
    return {term: math.log(1 + (len(passages) - count + 0.5) / (count + 0.5)) for term, count in frequencies.items()}


def terms(text: str, language: str = ENGLISH) -> list[str]:
    """Split a text into terms: lower-case stems without stop words.

    In scripts without spaces between words (Han, kana, Thai, Lao, Khmer, Burmese), terms are overlapping character
    bigrams. A run of a single such character is also a term. For languages other than English, see `ranking.languages`.
    """
    if language != ENGLISH:
        return analyzer_for(language).terms(text)
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = "".join(character if unicodedata.category(character)[0] in "LMN" else " " for character in folded)
    result = []
    for run in unsegmented.RUN.sub(r" \1 ", spaced).split():
        if unsegmented.RUN.fullmatch(run):
            result += unsegmented.pairs(run)
        elif run not in _STOP_WORDS:
            result.append(_stemmer().stemWord(run))
    return result


def sentences(text: str) -> list[str]:
    """Split a text into sentences and collapse white space.

    A sentence ends after its final punctuation mark and any closing quotes and brackets, or at an empty line. A full
    stop before a lower-case Latin letter does not end a sentence ("e.g. this"). A full stop after an abbreviation does
    if a capital letter follows ("Dr. Smith"), although it should not. Sentences of more than `MAX_SENTENCE_LENGTH`
    characters are split.
    """
    starts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    pieces = [" ".join(text[start:end].split()) for start, end in itertools.pairwise(starts)]
    return [part for piece in pieces for part in textwrap.wrap(piece, MAX_SENTENCE_LENGTH, break_on_hyphens=False)]


@functools.cache
def _stemmer() -> Stemmer.Stemmer:
    return Stemmer.Stemmer("english")
