"""Our measures beside ir-measures' own command line, on the same files, query by query.

    python -m benchmarks.measure_parity COLLECTION RUN [RUN ...] [--measures NAME ...]

COLLECTION: a BEIR folder with qrels. RUN: TREC run files over its queries. Prints a line a measure: how many values were
compared, and the largest difference; exits with 1 where one is not equal. Rankings with equal scores have a column of
their own: ir-measures' providers do not agree on their order, and we take trec_eval's in every measure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ranking.collections import beir
from ranking.evaluation.comparison import as_written
from ranking.evaluation.measures import overall, parse, per_query
from ranking.evaluation.trec_runs import read_run

MEASURES = [
    "nDCG@10", "nDCG", "nDCG(dcg='exp-log2')@10", "RR", "RR@10", "RR(rel=2)@10", "AP", "AP(rel=2)@100", "P@5", "P(rel=2)@10", "R@50",
    "R(rel=2)@100", "Success@1", "Rprec", "Bpref", "infAP", "Judged@10", "ERR@20", "NumRel", "NumRet", "IPrec@0.2", "SetP", "SetF",
]  # fmt: skip


def of_command_line(qrels: Path, run: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """{measure: {query_id: value}} as the command line prints them."""
    command = [sys.executable, "-m", "ir_measures", str(qrels), str(run), *names, "-q", "-p", "17"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, dict[str, float]] = {}
    for line in done.stdout.splitlines():
        query_id, name, value = line.split("\t")
        found.setdefault(name, {})[query_id] = float(value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--measures", nargs="+", default=MEASURES)
    given = parser.parse_args()
    qrels = beir.read_qrels(
        _qrels_of(given.collection), {query.query_id for query in beir.read_queries(given.collection / "queries.jsonl")}
    )
    compared, worst = dict.fromkeys(given.measures, 0), dict.fromkeys(given.measures, 0.0)
    of_ties, rankings = dict.fromkeys(given.measures, 0.0), 0
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "qrels.txt"
        path.write_text("".join(f"{q} 0 {d} {grade}\n" for q, grades in qrels.items() for d, grade in grades.items()))
        for run in given.runs:
            found = as_written(read_run(run))
            tied = {
                query_id
                for query_id, scores in found.items()
                if len(set(scores.values())) < len(scores) and query_id in qrels
            }
            rankings += len(tied)
            ours = per_query(qrels, found, given.measures)
            theirs = of_command_line(path, run, given.measures)
            for name, values in ours.items():
                told = theirs[str(parse([name])[0])]
                compared[name] += len(values)
                for query_id, value in values.items():
                    column = of_ties if query_id in tied else worst
                    column[name] = max(column[name], abs(value - told.get(query_id, 0.0)))
                if not tied:
                    worst[name] = max(worst[name], abs(overall(name, values) - told["all"]))
    table = Table("measure", "values", "largest difference", f"with equal scores ({rankings:,} rankings)")
    for name in given.measures:
        table.add_row(name, f"{compared[name]:,}", f"{worst[name]:.1e}", f"{of_ties[name]:.1e}" if rankings else "")
    Console().print(table)
    sys.exit(any(difference > 1e-12 for difference in worst.values()))


def _qrels_of(collection: Path) -> Path:
    return next(path for path in (collection / "qrels" / "test.tsv", collection / "qrels.tsv") if path.is_file())


if __name__ == "__main__":
    main()
