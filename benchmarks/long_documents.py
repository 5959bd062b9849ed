"""Measure what passages bring for long documents, and what they cost: nDCG@10, and time per document.

    python -m benchmarks.long_documents [--queries N] [--candidates N] [--tokens N] [--stride N] [--behind N]

The documents are those of the pydoc collection, made longer on purpose: each candidate of a test question follows
`--behind` tokens of other documents, without a title, so a model that reads the beginning reads nothing of it. The
candidates are judged documents of the question, up to a quarter of them relevant. `minilm-cross` and `minilm`,
the bundled cross-encoder and bi-encoder, rank them with and without passages. The row "alone" has the same documents
without the other texts, the best that passages can reach. All models run on all cores.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from actors.retrieval.pre_ranking import PreRanker
from ranking.collections import pydoc
from ranking.collections.collection import Collection
from ranking.evaluation import measures
from ranking.evaluation.significance import compare
from ranking.model_paths import model_path
from ranking.passage_settings import PassageSettings
from ranking.records import Candidate
from ranking.settings import PreRankerSettings
from ranking.storage.folder import Folder
from students import export, kinds
from students.passage_splitting import score_documents, split_documents
from students.scoring import Scorer
from students.student_settings import RraBertSettings

MEASURE, SEED, PERMUTATIONS = "nDCG@10", 13, 10_000
CROSS, BI = "minilm-cross", "minilm"

Score = Callable[[str, Sequence[Candidate]], list[float]]


@dataclass(frozen=True)
class Lists:
    """Candidate lists: {query id: (text of the query, candidates)}, alone and behind other texts."""

    alone: dict[str, tuple[str, list[Candidate]]]
    long: dict[str, tuple[str, list[Candidate]]]


@dataclass(frozen=True)
class Measured:
    """Result of one system: nDCG@10 of each query, and milliseconds per document."""

    values: Mapping[str, float]
    milliseconds: float


def make_lists(collection: Collection, tokenizer: Any, queries: int, candidates: int, behind: int) -> Lists:
    """Make the candidate lists of the first test questions that have a relevant document."""
    generator = random.Random(SEED)
    texts = {document.doc_id: document.content for document in collection.documents if document.text.strip()}
    ids = sorted(texts)
    lists = Lists({}, {})
    for query in collection.test:
        grades = {doc_id: grade for doc_id, grade in collection.qrels[query.query_id].items() if doc_id in texts}
        if len(lists.alone) == queries or max(grades.values(), default=0) < 1:
            continue
        relevant = sorted((d for d in grades if grades[d] >= 1), key=lambda d: (-grades[d], d))[: candidates // 4]
        judged = [*relevant, *sorted(d for d in grades if grades[d] < 1)[: candidates - len(relevant)]]
        others = [doc_id for doc_id in ids if doc_id not in grades]
        alone = [_candidate(doc_id, texts[doc_id]) for doc_id in judged]
        generator.shuffle(alone)
        fillers = [_filler(tokenizer, generator, [texts[doc_id] for doc_id in others], behind) for _ in alone]
        long = [_candidate(c.doc_id, f"{filler}\n\n{c.text}") for c, filler in zip(alone, fillers, strict=True)]
        lists.alone[query.query_id], lists.long[query.query_id] = (query.text, alone), (query.text, long)
    return lists


def _candidate(doc_id: str, text: str) -> Candidate:
    return Candidate(doc_id=doc_id, title="", text=text, rank=1, score=0.0, retriever="judged")


def _filler(tokenizer: Any, generator: random.Random, texts: Sequence[str], tokens: int) -> str:
    """Join random texts until they have at least a number of tokens."""
    chosen: list[str] = []
    count = 0
    while count < tokens:
        chosen.append(generator.choice(texts))
        count += len(tokenizer(chosen[-1], add_special_tokens=False, verbose=False)["input_ids"])
    return "\n\n".join(chosen)


def save_student(folder: Path, max_length: int) -> Path:
    """Save the cross-encoder as an untrained student, which is scored as in evaluation and serving."""
    settings = RraBertSettings(base=CROSS, max_length=max_length)
    base = model_path(CROSS)
    model = kinds.build(settings, base)
    export.save(model, kinds.tokenizer_of(settings, base), settings, folder, [("a query", "a document")])
    return folder


def cross_encoder(passages: PassageSettings | None, folder: Path) -> Score:
    """Return a function that scores a list with the cross-encoder."""
    scorer = Scorer(folder)
    scorer.passages = passages
    return lambda query, row: score_documents(scorer, query, [(c.title, c.text) for c in row]).scores


def bi_encoder(passages: PassageSettings | None, folder: str) -> Score:
    """Return a function that scores a list with the pre-ranker. Documents are encoded in each call."""
    ranker = PreRanker(Folder(folder), PreRankerSettings(model=BI), passages=passages)

    def score(query: str, row: Sequence[Candidate]) -> list[float]:
        torch.set_num_threads(os.cpu_count() or 1)
        ranker.vectors.encoded.clear()
        return ranker.scores(query, row)

    return score


def measured(score: Score, rows: Mapping[str, tuple[str, list[Candidate]]], collection: Collection) -> Measured:
    """Rank all lists. The first list is scored once before, to load the model."""
    text, candidates = next(iter(rows.values()))
    score(text, candidates[:2])
    started = time.perf_counter()
    run = {
        query_id: dict(zip((c.doc_id for c in row), score(text, row), strict=True))
        for query_id, (text, row) in rows.items()
    }
    seconds = time.perf_counter() - started
    qrels = {
        query_id: {c.doc_id: collection.qrels[query_id][c.doc_id] for c in row} for query_id, (_, row) in rows.items()
    }
    values = measures.per_query(qrels, run, [MEASURE])[MEASURE]
    return Measured(values, 1000 * seconds / sum(len(row) for _, row in rows.values()))


def main() -> None:
    """Measure both models, and print each result at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--candidates", type=int, default=8, help="maximum number of candidates per query")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--stride", type=int, default=96)
    parser.add_argument("--behind", type=int, default=2000, help="tokens of other texts in front of each document")
    parser.add_argument("--max-length", type=int, default=160, help="maximum tokens per pair of the cross-encoder")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    passages = PassageSettings(tokens=arguments.tokens, stride=arguments.stride, max_per_document=1000)
    collection = pydoc.read("test")
    tokenizer = AutoTokenizer.from_pretrained(model_path(CROSS), trust_remote_code=False)
    lists = make_lists(collection, tokenizer, arguments.queries, arguments.candidates, arguments.behind)
    documents = [("", c.text) for _, row in lists.long.values() for c in row]
    split = split_documents(tokenizer, documents, passages)
    print(
        f"{len(lists.long)} queries, {len(documents):,} documents, {len(split.texts) / len(documents):.1f} passages of "
        f"{passages.tokens} tokens per long document\n{'model':<14}{'documents':<11}{'read':<11}{MEASURE}  ms/document"
    )
    with tempfile.TemporaryDirectory() as folder:
        student = save_student(Path(folder) / "student", arguments.max_length)
        for name, make in (
            (CROSS, lambda settings: cross_encoder(settings, student)),
            (BI, lambda settings: bi_encoder(settings, str(Path(folder) / "vectors"))),
        ):
            results: dict[tuple[str, str], Measured] = {}
            for kind, read, rows in (
                ("alone", "beginning", lists.alone),
                ("long", "beginning", lists.long),
                ("long", "passages", lists.long),
            ):
                result = measured(make(passages if read == "passages" else None), rows, collection)
                results[kind, read] = result
                mean = statistics.mean(result.values.values())
                print(f"{name:<14}{kind:<11}{read:<11}{mean:<7.3f}  {result.milliseconds:.1f}", flush=True)
            gain = compare(results["long", "passages"].values, results["long", "beginning"].values, PERMUTATIONS, SEED)
            low, high = gain.interval
            print(f"{name}: passages {gain.delta:+.3f} ({low:+.3f} to {high:+.3f}), p {gain.p:.4f}", flush=True)


if __name__ == "__main__":
    main()
