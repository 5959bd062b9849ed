"""Lists to learn from without a label: queries made of passages, candidates by BM25, the bi-encoder's scores mixed with BM25's."""

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
_LEXICAL = 0.2
_SHORTEST = 6
_COMMON = frozenset(
    "a an and are as at be been but by can do does for from had has have he her his how if in into is it its may more most no not of on or "
    "other over she should so some such than that the their them then there these they this to under use used using was were what when "
    "where which who will with would you your".split()
)


@dataclass(frozen=True)
class Depths:
    """Which of BM25's results are candidates: so many of the best, and so many of the others down to a rank."""

    near: int = 3
    far: int = 3
    rank: int = 30


@dataclass(frozen=True)
class TrainingList:
    """passages: their numbers, the query's own first. targets: about 0 to 1.2, higher is better; minilm-cross learns them."""

    query: str
    passages: list[int]
    targets: list[float]


def query_of(passage: Passage, drawn: random.Random) -> tuple[str, str]:
    """Make a query of a passage; returns it with what is left of the passage.

    Of its title; its first sentence or another one, which is then taken out of the passage where two or more stay;
    or three to six of its content words in their order.
    """
    form = drawn.choice(("title", "first sentence", "sentence", "words", "words"))
    parts = sentences(passage.text)
    if form == "title" and len(passage.title.split()) > 1:
        return drawn.choice(("", "", "what is ", "definition of ", "how to ")) + passage.title, passage.text
    if form.endswith("sentence") and len(parts) > 1:
        number = 0 if form == "first sentence" else drawn.randrange(len(parts))
        rest = [part for place, part in enumerate(parts) if place != number]
        query = " ".join(parts[number].split()[: drawn.randint(5, 16)]).rstrip(".")
        return query, " ".join(rest) if len(" ".join(rest).split()) >= _SHORTEST else passage.text
    words = list(
        dict.fromkeys(word for word in re.findall(r"[A-Za-z][A-Za-z-]+", passage.text) if word.lower() not in _COMMON)
    )
    places = sorted(drawn.sample(range(len(words)), min(len(words), drawn.randint(3, 6))))
    return " ".join(words[place].lower() for place in places), passage.text


def candidates_of(
    queries: Sequence[str], sources: Sequence[int], texts: Sequence[str], seed: int, depths: Depths = Depths()
) -> list[tuple[list[int], list[float]]]:
    """Candidates of each query and their BM25 scores, as a part of the query's highest: its own passage, of BM25's the next few and
    some further down, and a random one, which has none.

    sources: the passage that each query was made of.
    """
    stemmer = Stemmer.Stemmer("english")
    retriever = bm25s.BM25(method="lucene")
    retriever.index(bm25s.tokenize(list(texts), stemmer=stemmer, show_progress=False), show_progress=False)
    asked = bm25s.tokenize(list(queries), stemmer=stemmer, show_progress=False)
    found, scores = retriever.retrieve(asked, k=min(depths.rank, len(texts)), show_progress=False)
    made = []
    for number, (rows, held, source) in enumerate(zip(found, scores, sources, strict=True)):
        drawn = random.Random(f"{seed} {number}")
        known = {int(row): float(score) for row, score in zip(rows, held, strict=True) if score > 0}
        others = [row for row in known if row != source]
        further = drawn.sample(others[depths.near :], min(depths.far, len(others[depths.near :])))
        chosen = list(dict.fromkeys([source, *others[: depths.near], *further, drawn.randrange(len(texts))]))
        top = max(known.values(), default=1.0)
        made.append((chosen, [known.get(row, 0.0) / top for row in chosen]))
    return made


def target_of(cosine: float, lexical: float) -> float:
    """What is learned of a pair: the bi-encoder's cosine, and a fifth of BM25's part of the highest score."""
    return cosine + _LEXICAL * lexical


def lists_of(
    passages: Sequence[Passage], count: int, encode: Encode, seed: int, depths: Depths = Depths()
) -> tuple[list[str], list[TrainingList]]:
    """Make so many lists. encode: texts into unit vectors, [texts, dimensions].

    Returns the texts that candidates are numbers of, and the lists.

    A passage that a sentence was taken out of stands among the texts as it is then.
    """
    drawn = random.Random(seed)
    sources = drawn.sample(range(len(passages)), min(count, len(passages)))
    texts = [passage.text for passage in passages]
    queries = []
    for source in sources:
        query, texts[source] = query_of(passages[source], drawn)
        queries.append(query)
    made = candidates_of(queries, sources, texts, seed, depths)
    used = sorted({row for rows, _ in made for row in rows})
    place = {row: number for number, row in enumerate(used)}
    of_queries, of_texts = encode(queries), encode([texts[row] for row in used])
    lists = []
    for vector, query, (rows, lexical) in zip(of_queries, queries, made, strict=True):
        numbers = [place[row] for row in rows]
        cosines = of_texts[numbers] @ vector
        lists.append(
            TrainingList(query, numbers, [target_of(float(c), part) for c, part in zip(cosines, lexical, strict=True)])
        )
    return [texts[row] for row in used], lists


def bi_encoder() -> Encode:
    """`minilm` as sentence-transformers runs it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = SentenceTransformer(model_path("minilm"), device=device, model_kwargs={"dtype": dtype_of("auto", device)})
    return lambda given: np.asarray(model.encode(list(given), normalize_embeddings=True), dtype=np.float32)
