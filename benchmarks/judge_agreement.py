"""Compare an LLM judge's recorded grades with human grades on runs of other systems.

    python -m benchmarks.judge_agreement FOLDER --judge GRADES [--rerank RUN] [--keep 0.1] [--samples 20] [--seed 13]

FOLDER has human judgements of grades 0 to 3 in qrels.tsv, and TREC runs in runs/*.trec. GRADES is a qrels file with the
judge's grades of the same pairs. With --rerank, a further system, `minilm`, orders the documents of the run of that
name by cosine similarity, from the texts in corpus.jsonl and queries.jsonl. Prints in Markdown:

1. Agreement: Cohen's kappa on all pairs with both grades.
2. Systems: Kendall's tau between the order of all systems by the judge's grades alone and by human grades.
3. Holes: a random share of the human judgements is hidden, in several samples. Holes in the top 10 are then filled by
   the judge, count as not relevant, or are removed (condensed lists). Reports tau with the order by all human grades,
   and the mean absolute difference of nDCG@10 from its value with all human grades.

Hidden judgements also disappear from the ideal ranking, as in a collection with few judgements.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import kendalltau

from ranking.collections import beir
from ranking.collections.qrels import Qrels, read_qrels
from ranking.evaluation import measures
from ranking.evaluation.comparison import as_written
from ranking.evaluation.grade_agreement import GradedPair, agreement_of
from ranking.evaluation.grade_scale import scale_for
from ranking.evaluation.judging import fill_holes, holes_of
from ranking.evaluation.recorded_grades import read_recorded_grades
from ranking.evaluation.report.report_tables import markdown
from ranking.evaluation.trec_runs import TrecRun, read_run

MEASURE, DEPTH = "nDCG@10", 10
METHODS = ("with judge", "unjudged as not relevant", "condensed lists")


def values_of(qrels: Qrels, runs: Mapping[str, TrecRun]) -> list[float]:
    """Measure each run."""
    return [measures.overall(MEASURE, measures.per_query(qrels, run, [MEASURE])[MEASURE]) for run in runs.values()]


def tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Kendall's tau-b between two orders of the same systems."""
    return float(kendalltau(one, other).statistic)


def mean_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the mean absolute difference of the systems' values."""
    return mean(abs(a - b) for a, b in zip(one, other, strict=True))


def reranked_by_minilm(folder: Path, run: TrecRun) -> TrecRun:
    """Order the documents of a run by cosine similarity to the query."""
    from actors.retrieval.encoder import SentenceEncoder
    from ranking.model_paths import EMBEDDED

    queries = {query.query_id: query.text for query in beir.read_queries(folder / "queries.jsonl")}
    texts = {document.doc_id: document.content for document in beir.read_documents(folder / "corpus.jsonl")}
    needed = sorted({doc_id for scores in run.values() for doc_id in scores})
    encoder = SentenceEncoder(EMBEDDED)
    vectors = dict(zip(needed, encoder.encode([texts[doc_id] for doc_id in needed]), strict=True))
    query_vectors = dict(zip(run, encoder.encode([queries[query_id] for query_id in run]), strict=True))
    return {q: {doc_id: float(query_vectors[q] @ vectors[doc_id]) for doc_id in scores} for q, scores in run.items()}


def hidden(human: Qrels, keep: float, seed: int) -> Qrels:
    """Keep a random share of the judgements. Queries that lose all of them stay, without judgements."""
    pairs = sorted((query_id, doc_id) for query_id, grades in human.items() for doc_id in grades)
    kept = set(random.Random(seed).sample(pairs, round(keep * len(pairs))))
    return {q: {d: grade for d, grade in grades.items() if (q, d) in kept} for q, grades in human.items()}


def values_with_holes(few: Qrels, judge: Qrels, runs: Mapping[str, TrecRun]) -> dict[str, list[float]]:
    """Measure each run with few human judgements, for each way to treat documents without one."""
    holes = holes_of(few, runs.values(), DEPTH)
    grades = {(q, d): judge[q][d] for q, d in holes if d in judge.get(q, {})}
    filled = fill_holes(few, grades, scale_for({}, None))
    condensed = {name: measures.condensed_run(few, run) for name, run in runs.items()}
    return dict(zip(METHODS, (values_of(filled, runs), values_of(few, runs), values_of(few, condensed)), strict=True))


def agreement_rows(human: Qrels, judge: Qrels, seed: int) -> list[list[str]]:
    """Measure agreement on all pairs with both grades."""
    pairs = [GradedPair(q, h, judge[q][d]) for q, grades in human.items() for d, h in grades.items() if d in judge[q]]
    agreement = agreement_of(pairs, scale_for(human, None), seed)
    assert agreement is not None
    rows = []
    for name, kappa, interval in (
        ("four grades", agreement.kappa, agreement.kappa_interval),
        ("binary (2 and 3 are relevant)", agreement.binary_kappa, agreement.binary_interval),
    ):
        bounds = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        rows.append([name, f"{agreement.pairs:,}", f"{kappa:.3f}", bounds])
    return rows


def holes_rows(
    human: Qrels, judge: Qrels, runs: Mapping[str, TrecRun], keep: float, seeds: Sequence[int]
) -> list[list[str]]:
    """Measure each treatment of holes: means and standard deviations over the samples."""
    full = values_of(human, runs)
    taus: dict[str, list[float]] = {method: [] for method in METHODS}
    differences: dict[str, list[float]] = {method: [] for method in METHODS}
    for seed in seeds:
        for method, values in values_with_holes(hidden(human, keep, seed), judge, runs).items():
            taus[method].append(tau(values, full))
            differences[method].append(mean_difference(values, full))
    return [[method, _spread(taus[method]), _spread(differences[method])] for method in METHODS]


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    print(*markdown(columns, rows), "", sep="\n")


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--rerank", metavar="RUN")
    parser.add_argument("--keep", type=float, default=0.1)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=13)
    arguments = parser.parse_args()
    human, judge = read_qrels(arguments.folder / "qrels.tsv"), read_recorded_grades(str(arguments.judge))
    runs = {path.stem: as_written(read_run(path)) for path in sorted((arguments.folder / "runs").glob("*.trec"))}
    if arguments.rerank:
        runs["minilm"] = as_written(reranked_by_minilm(arguments.folder, runs[arguments.rerank]))
    show(["grades", "pairs", "kappa", "95% interval"], agreement_rows(human, judge, arguments.seed))
    by_human, by_judge = values_of(human, runs), values_of(judge, runs)
    rows = [[name, f"{h:.3f}", f"{j:.3f}"] for name, h, j in zip(runs, by_human, by_judge, strict=True)]
    show(["system", f"{MEASURE} by humans", f"{MEASURE} by the judge"], rows)
    print(f"Kendall's tau of {len(runs)} systems by judge and by humans: {tau(by_judge, by_human):.3f}\n")
    seeds = range(arguments.seed, arguments.seed + arguments.samples)
    rows = holes_rows(human, judge, runs, arguments.keep, seeds)
    show(["holes", "tau with all human grades", "mean absolute difference"], rows)


if __name__ == "__main__":
    main()
