"""Compare fp32, bf16 and int8 students on a CPU: documents per second and nDCG@10, and the int8 quality gate.

    python -m benchmarks.quantization [FOLDER ...] [--model STUDENT] [--queries N] [--candidates N] [--threads N]

The student is `minilm-cross` without training, or a saved student. It is quantized as in `ray_jobs.train`: calibrated
on the recorded teacher's lists of pydoc's log queries that have 50 documents, and accepted or rejected on them. Then
each precision re-ranks the best candidates of pydoc's test questions and of each FOLDER in BEIR format: those of
runs/retrieve.BM25.trec if there is one, else by BM25. All precisions take turns query by query in one process. Times
are CPU times of the process, so other processes on the machine change them little; only their ratios matter.
An int8 model is measured even if it was rejected.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bm25s
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.long_documents import save_student
from ranking.collections import beir, pydoc
from ranking.collections.qrels import Qrels, read_qrels
from ranking.evaluation import measures
from ranking.evaluation.significance import compare
from ranking.evaluation.trec_runs import order_of, read_trec
from ranking.labels.recorded_rankings import read_answers
from ranking.records import Document, Query
from students import onnx_file, quantization_gate
from students.precision import has_native_bf16
from students.quantization_gate import JudgedList
from students.scoring import Scorer

MEASURE, PERMUTATIONS, SEED = "nDCG@10", 10_000, 13
VALIDATION_DOCUMENTS = 40
"""Minimum documents of a recorded list to be used for calibration: those of pydoc's validation queries."""


@dataclass(frozen=True)
class RankedCollection:
    """Test queries with their candidates, {query_id: (text, [document id])}, texts and judgements."""

    name: str
    candidates: dict[str, tuple[str, list[str]]]
    texts: Mapping[str, str]
    qrels: Qrels


def validation_lists(queries: int) -> list[JudgedList]:
    """Return recorded lists of the teacher over pydoc's log queries. Targets are its order; others have 0."""
    collection = pydoc.read()
    documents = {document.doc_id: document for document in collection.documents}
    texts = {query.query_id: query.text for query in collection.log}
    lists = []
    for query_id, (first, *_) in read_answers(pydoc.RANKINGS).items():
        shown = [doc_id for doc_id in first.shown or () if doc_id in documents]
        if query_id in texts and len(shown) >= VALIDATION_DOCUMENTS:
            place = {doc_id: rank for rank, doc_id in enumerate(first.order)}
            targets = [float(len(place) - place[doc_id]) if doc_id in place else 0.0 for doc_id in shown]
            pairs = [(documents[doc_id].title, documents[doc_id].text) for doc_id in shown]
            lists.append(JudgedList(query_id, texts[query_id], pairs, targets))
    return [row for row in lists if row.has_preference][:queries]


def pydoc_questions(queries: int, candidates: int) -> RankedCollection:
    """Return the first test questions of pydoc with their candidates by BM25."""
    collection = pydoc.read()
    return _by_bm25("pydoc", collection.documents, collection.test[:queries], collection.qrels, candidates)


def beir_queries(folder: Path, queries: int, candidates: int) -> RankedCollection:
    """Return the first judged queries of a BEIR folder with their candidates."""
    documents, qrels = beir.read_documents(folder / "corpus.jsonl"), read_qrels(folder / "qrels.tsv")
    chosen = [query for query in beir.read_queries(folder / "queries.jsonl") if query.query_id in qrels][:queries]
    run = folder / "runs" / "retrieve.BM25.trec"
    if not run.is_file():
        return _by_bm25(folder.name, documents, chosen, qrels, candidates)
    ranked, texts = read_trec(run), {document.doc_id: document.content for document in documents}
    lists = {query.query_id: (query.text, order_of(ranked[query.query_id])[:candidates]) for query in chosen}
    return RankedCollection(folder.name, lists, texts, {query_id: qrels[query_id] for query_id in lists})


def _by_bm25(
    name: str, documents: Sequence[Document], queries: Sequence[Query], qrels: Qrels, candidates: int
) -> RankedCollection:
    documents = [document for document in documents if document.text.strip()]
    index = bm25s.BM25()
    index.index(bm25s.tokenize([document.content for document in documents], show_progress=False), show_progress=False)
    tokens = bm25s.tokenize([query.text for query in queries], show_progress=False)
    rows, _ = index.retrieve(tokens, k=candidates, show_progress=False)
    lists = {
        query.query_id: (query.text, [documents[i].doc_id for i in row])
        for query, row in zip(queries, rows.tolist(), strict=True)
    }
    texts = {document.doc_id: document.content for document in documents}
    return RankedCollection(name, lists, texts, {query_id: qrels[query_id] for query_id in lists})


def scorers_of(model: Path, int8: Path) -> dict[str, Scorer]:
    """Load a student in each precision of this machine. The int8 file may be a rejected one."""
    scorers = {name: Scorer(model, name) for name in (["fp32", "bf16"] if has_native_bf16() else ["fp32"])}
    scorers["int8"] = copy.copy(list(scorers.values())[-1])
    scorers["int8"].model = onnx_file.OpenVinoStudent(int8, scorers["int8"].dtype)
    return scorers


def measure(collection: RankedCollection, scorers: Mapping[str, Scorer]) -> Table:
    """Re-rank a collection's candidates with every precision and return the table of results."""
    seconds = dict.fromkeys(scorers, 0.0)
    runs: dict[str, dict[str, dict[str, float]]] = {name: {} for name in scorers}
    for query_id, (query, doc_ids) in collection.candidates.items():
        pairs = [(query, collection.texts[doc_id]) for doc_id in doc_ids]
        for name, scorer in scorers.items():
            start = time.process_time()
            scores = scorer.score(pairs)
            seconds[name] += time.process_time() - start
            runs[name][query_id] = dict(zip(doc_ids, scores, strict=True))
    values = {name: measures.per_query(collection.qrels, run, [MEASURE])[MEASURE] for name, run in runs.items()}
    count = sum(len(doc_ids) for _, doc_ids in collection.candidates.values())
    title = f"{collection.name}: {len(collection.candidates)} queries, {count:,} documents"
    table = Table("precision", "documents per CPU second", "ratio", MEASURE, "difference", "p", title=title)
    for name, by_query in values.items():
        result = compare(by_query, values["fp32"], PERMUTATIONS, SEED)
        table.add_row(
            name,
            f"{count / seconds[name]:.0f}",
            f"{seconds['fp32'] / seconds[name]:.2f}",
            f"{measures.mean(by_query):.4f}",
            f"{result.delta:+.4f} [{result.interval[0]:+.4f}, {result.interval[1]:+.4f}]",
            f"{result.p:.2f}",
        )
    return table


def main() -> None:
    """Quantize the student, measure all precisions and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="collection in BEIR format")
    parser.add_argument("--model", type=Path, help="folder of a saved student")
    parser.add_argument("--queries", type=int, default=225, help="maximum number of queries per collection")
    parser.add_argument("--candidates", type=int, default=50, help="documents per query")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-length", type=int, default=128, help="maximum tokens per pair")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sizes = (arguments.queries, arguments.candidates)
    with tempfile.TemporaryDirectory() as local:
        model = Path(local) / "model"
        if arguments.model:
            model.symlink_to(arguments.model.resolve())
        else:
            save_student(model, arguments.max_length)
        start = time.process_time()
        int8, result = quantization_gate.trial(model, validation_lists(arguments.queries), Path(local))
        print(
            f"{'accepted' if result.accepted else 'rejected'}: {result.numbers}; {result.int8_matmuls} of "
            f"{result.matmuls} matrix products; {time.process_time() - start:.0f} CPU seconds",
            flush=True,
        )
        scorers = scorers_of(model, int8)
        for collection in (pydoc_questions(*sizes), *(beir_queries(folder, *sizes) for folder in arguments.folders)):
            Console().print(measure(collection, scorers))


if __name__ == "__main__":
    main()
