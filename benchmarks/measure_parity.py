"""Compare our measures with the ir-measures command line, query by query on the same files.

    python -m benchmarks.measure_parity COLLECTION RUN [RUN ...] [--measures NAME ...]

COLLECTION is a BEIR folder with qrels. Each RUN is a TREC run file over its queries. Prints the number of compared
values and the largest difference for each measure. Exits with code 1 if a value differs. Rankings with tied scores have
a separate column and do not affect the exit code: the providers of ir-measures order ties differently, and our measures
always use trec_eval's order.
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
from ranking.collections.qrels import read_qrels
from ranking.evaluation.comparison import as_written
from ranking.evaluation.measures import overall, parse, per_query
from ranking.evaluation.trec_runs import read_run

MEASURES = [
    "nDCG@10", "nDCG", "nDCG(dcg='exp-log2')@10", "RR", "RR@10", "RR(rel=2)@10", "AP", "AP(rel=2)@100", "P@5",
    "P(rel=2)@10", "R@50", "R(rel=2)@100", "Success@1", "Rprec", "Bpref", "infAP", "Judged@10", "ERR@20", "NumRel",
    "NumRet", "IPrec@0.2", "SetP", "SetF",
]  # fmt: skip


def command_line_values(qrels: Path, run: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """Run the ir-measures command line.

    Args:
        qrels: TREC qrels file.
        run: TREC run file.
        names: Names of measures.

    Returns:
        {measure: {query_id: value}}, with the overall value as query_id `all`.

    Raises:
        SystemExit: The command line fails.
    """
    command = [sys.executable, "-m", "ir_measures", str(qrels), str(run), *names, "-q", "-p", "17"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(process.stderr[-2000:])
    values: dict[str, dict[str, float]] = {}
    for line in process.stdout.splitlines():
        query_id, name, value = line.split("\t")
        values.setdefault(name, {})[query_id] = float(value)
    return values


def main() -> None:
    """Compare all runs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--measures", nargs="+", default=MEASURES)
    arguments = parser.parse_args()
    query_ids = {query.query_id for query in beir.read_queries(arguments.collection / "queries.jsonl")}
    judged = read_qrels(_qrels_of(arguments.collection))
    qrels = {query_id: grades for query_id, grades in judged.items() if query_id in query_ids}
    compared = dict.fromkeys(arguments.measures, 0)
    differences = dict.fromkeys(arguments.measures, 0.0)
    tie_differences = dict.fromkeys(arguments.measures, 0.0)
    rankings_with_ties = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qrels.txt"
        path.write_text("".join(f"{q} 0 {d} {grade}\n" for q, grades in qrels.items() for d, grade in grades.items()))
        for run in arguments.runs:
            scores_of_run = as_written(read_run(run))
            tied = {
                query_id
                for query_id, scores in scores_of_run.items()
                if len(set(scores.values())) < len(scores) and query_id in qrels
            }
            rankings_with_ties += len(tied)
            ours = per_query(qrels, scores_of_run, arguments.measures)
            theirs = command_line_values(path, run, arguments.measures)
            for name, values in ours.items():
                reference = theirs[str(parse([name])[0])]
                compared[name] += len(values)
                for query_id, value in values.items():
                    column = tie_differences if query_id in tied else differences
                    column[name] = max(column[name], abs(value - reference.get(query_id, 0.0)))
                if not tied:
                    differences[name] = max(differences[name], abs(overall(name, values) - reference["all"]))
    table = Table("measure", "values", "largest difference", f"with tied scores ({rankings_with_ties:,} rankings)")
    for name in arguments.measures:
        ties = f"{tie_differences[name]:.1e}" if rankings_with_ties else ""
        table.add_row(name, f"{compared[name]:,}", f"{differences[name]:.1e}", ties)
    Console().print(table)
    sys.exit(any(difference > 1e-12 for difference in differences.values()))


def _qrels_of(collection: Path) -> Path:
    return next(path for path in (collection / "qrels" / "test.tsv", collection / "qrels.tsv") if path.is_file())


if __name__ == "__main__":
    main()
