"""Make training lists without labels: queries from passages, BM25 candidates, targets from a bi-encoder and BM25."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
import Stemmer
import torch
from sentence_transformers import SentenceTransformer

from ranking.model_paths import model_path
from students.precision import dtype_of
from tools.texts import Passage, sentences

Encode = Callable[[Sequence[str]], np.ndarray]
"""A function that encodes texts as unit vectors, [texts, dimensions]."""

_LEXICAL_WEIGHT = 0.2
_MIN_WORDS = 6
_STOPWORDS = frozenset(
    "a an and are as at be been but by can do does for from had has have he her his how if in into is it its may more "
    "most no not of on or other over she should so some such than that the their them then there these they this to "
    "under use used using was were what when where which who will with would you your".split()
)


@dataclass(frozen=True)
class Depths:
    """Which BM25 results of a query become candidates.

    Attributes:
        near: Number of top results.
        far: Number of results drawn at random from those below the top results.
        rank: Maximum rank of a result.
    """

    near: int = 3
    far: int = 3
    rank: int = 30


@dataclass(frozen=True)
class TrainingList:
    """A query with candidates and targets.

    Attributes:
        query: The query.
        passages: Indices of the candidates, the query's source first.
        targets: Relevance of the candidates, about 0 to 1.2, higher is better.
    """

    query: str
    passages: list[int]
    targets: list[float]


def query_of(passage: Passage, rng: random.Random) -> tuple[str, str]:
    """Make a query from a passage: from its title, from one of its sentences, or from three to six content words.

    Returns:
        The query and the text of the passage, without the sentence that became the query. A passage that would become
        too short keeps the sentence.
    """
    form = rng.choice(("title", "first sentence", "sentence", "words", "words"))
    parts = sentences(passage.text)
    if form == "title" and len(passage.title.split()) > 1:
        return rng.choice(("", "", "what is ", "definition of ", "how to ")) + passage.title, passage.text
    if form.endswith("sentence") and len(parts) > 1:
        number = 0 if form == "first sentence" else rng.randrange(len(parts))
        rest = [part for position, part in enumerate(parts) if position != number]
        query = " ".join(parts[number].split()[: rng.randint(5, 16)]).rstrip(".")
        return query, " ".join(rest) if len(" ".join(rest).split()) >= _MIN_WORDS else passage.text
    words = list(
        dict.fromkeys(
            word for word in re.findall(r"[A-Za-z][A-Za-z-]+", passage.text) if word.lower() not in _STOPWORDS
        )
    )
    positions = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(3, 6))))
    return " ".join(words[position].lower() for position in positions), passage.text


def candidates_of(
    queries: Sequence[str], sources: Sequence[int], texts: Sequence[str], seed: int, depths: Depths = Depths()
) -> list[tuple[list[int], list[float]]]:
    """Choose candidates for each query: its source passage, top BM25 results, some lower results and a random passage.

    Args:
        queries: The queries.
        sources: Index of the passage that each query was made from.
        texts: The passages.
        seed: Random seed.
        depths: Which BM25 results to use.

    Returns:
        For each query, the indices of the candidates and their BM25 scores relative to the query's highest. Candidates
        that are not in the BM25 results have the score 0.
    """
    stemmer = Stemmer.Stemmer("english")
    retriever = bm25s.BM25(method="lucene")
    retriever.index(bm25s.tokenize(list(texts), stemmer=stemmer, show_progress=False), show_progress=False)
    query_tokens = bm25s.tokenize(list(queries), stemmer=stemmer, show_progress=False)
    results, scores = retriever.retrieve(query_tokens, k=min(depths.rank, len(texts)), show_progress=False)
    candidates = []
    for number, (rows, row_scores, source) in enumerate(zip(results, scores, sources, strict=True)):
        rng = random.Random(f"{seed} {number}")
        known = {int(row): float(score) for row, score in zip(rows, row_scores, strict=True) if score > 0}
        others = [row for row in known if row != source]
        lower = rng.sample(others[depths.near :], min(depths.far, len(others[depths.near :])))
        chosen = list(dict.fromkeys([source, *others[: depths.near], *lower, rng.randrange(len(texts))]))
        top = max(known.values(), default=1.0)
        candidates.append((chosen, [known.get(row, 0.0) / top for row in chosen]))
    return candidates


def target_of(cosine: float, lexical: float) -> float:
    """Return the target of a pair: cosine + 0.2 * BM25 score relative to the query's highest."""
    return cosine + _LEXICAL_WEIGHT * lexical


def lists_of(
    passages: Sequence[Passage], count: int, encode: Encode, seed: int, depths: Depths = Depths()
) -> tuple[list[str], list[TrainingList]]:
    """Make training lists.

    Args:
        passages: Passages to make queries and candidates from.
        count: Maximum number of lists.
        encode: Function that encodes texts as unit vectors, [texts, dimensions].
        seed: Random seed.
        depths: Which BM25 results to use.

    Returns:
        The candidate texts, to which the lists' indices refer, and the lists. A passage whose sentence became the query
        is in the texts without that sentence.
    """
    rng = random.Random(seed)
    sources = rng.sample(range(len(passages)), min(count, len(passages)))
    texts = [passage.text for passage in passages]
    queries = []
    for source in sources:
        query, texts[source] = query_of(passages[source], rng)
        queries.append(query)
    candidates = candidates_of(queries, sources, texts, seed, depths)
    used = sorted({row for rows, _ in candidates for row in rows})
    index = {row: number for number, row in enumerate(used)}
    query_vectors, text_vectors = encode(queries), encode([texts[row] for row in used])
    lists = []
    for vector, query, (rows, lexical) in zip(query_vectors, queries, candidates, strict=True):
        numbers = [index[row] for row in rows]
        cosines = text_vectors[numbers] @ vector
        lists.append(
            TrainingList(query, numbers, [target_of(float(c), part) for c, part in zip(cosines, lexical, strict=True)])
        )
    return [texts[row] for row in used], lists


def bi_encoder() -> Encode:
    """Return a function that encodes texts with the model `minilm` through sentence-transformers."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = SentenceTransformer(
        model_path("minilm"),
        device=device,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype_of("auto", device)},
    )
    return lambda texts: np.asarray(model.encode(list(texts), normalize_embeddings=True), dtype=np.float32)
