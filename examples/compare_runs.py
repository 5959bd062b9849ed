"""Compare two TREC runs on the same judgements: nDCG@10, difference, confidence interval and p-value.

    python examples/compare_runs.py qrels.txt baseline.trec system.trec

The files have the formats of trec_eval.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ranking.collections.qrels import read_qrels
from ranking.evaluation import measures, significance
from ranking.evaluation.trec_runs import read_run

MEASURE = "nDCG@10"


def main(qrels_file: str, baseline_file: str, system_file: str) -> None:
    """Print nDCG@10 of both runs and the result of a paired randomisation test."""
    qrels = read_qrels(Path(qrels_file))
    baseline, system = (
        measures.per_query(qrels, read_run(Path(name)), [MEASURE])[MEASURE] for name in (baseline_file, system_file)
    )
    result = significance.compare(system, baseline, permutations=10_000, seed=13)
    low, high = result.interval
    values = f"{measures.mean(baseline):.3f} (baseline), {measures.mean(system):.3f} (system)"
    print(f"{MEASURE}: {values}, {len(qrels)} queries")
    print(f"difference {result.delta:+.3f}, 95% interval {low:+.3f} to {high:+.3f}, p = {result.p:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
