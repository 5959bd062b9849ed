"""Measure the pipeline without a real teacher: driver memory and rows per second of each stage from log to labels.

    python -m benchmarks.labelling.scale [--queries 10000 1000000] [--candidates 3] [--out FILE.json]

Parquet files contain the query log and the candidates. The teacher labels every list in prompt order without delay.
Each size runs in a separate process with its own Ray instance.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from actors.data.rows import Outcome, records, table_of
from ranking.labels.targets import tiers_from_order
from ranking.records import Answer, Label, PreRankedList, Provenance, Usage
from ranking.runs.progress import Progress
from ray_jobs import candidates, label, select
from ray_jobs.common.run import Run
from ray_jobs.common.run_settings import RunSettings

if TYPE_CHECKING:
    from ray.data import Dataset

_ROWS_PER_FILE = 50_000
_PROVENANCE = Provenance(teacher="fixed", fingerprint="fixed", engine="none", targets="tiers")


class FixedTeacher:
    """Teacher that ranks the documents in prompt order."""

    actor = None

    def label(self, lists: Dataset) -> Dataset:
        """Label lists: rows of PreRankedList to rows of Outcome[Label]."""
        return lists.map_batches(_label_in_prompt_order, batch_format="pyarrow", batch_size=None)


def _label_in_prompt_order(batch: pa.Table) -> pa.Table:
    outcomes = []
    for row in records(batch, PreRankedList):
        ordered = tiers_from_order(row.as_tuples(), [shown.candidate.doc_id for shown in row.picked])
        labelled = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=ordered,
            answer=Answer(),
            provenance=_PROVENANCE,
            usage=Usage(),
        )
        outcomes.append(Outcome(query_id=row.query_id, row=labelled))
    return table_of(outcomes, Outcome[Label])


def make_lists(folder: Path, queries: int, candidates: int) -> None:
    """Write distinct queries with their candidates, in files of 50,000 rows.

    Args:
        folder: Folder of the files.
        queries: Number of queries.
        candidates: Number of candidates per query.
    """
    text = "a passage of some length that says little and stands for one that says more " * 2
    for start in range(0, queries, _ROWS_PER_FILE):
        rows = range(start, min(start + _ROWS_PER_FILE, queries))
        documents = [[{"doc_id": f"d{row}-{n}", "text": f"{text}{row} {n}"} for n in range(candidates)] for row in rows]
        columns = {
            "query_id": [f"q{row}" for row in rows],
            "text": [f"what is item number {row} for" for row in rows],
            "candidates": documents,
        }
        pq.write_table(pa.table(columns), folder / f"lists-{start:08}.parquet")


def measure(queries: int, candidates_per_query: int) -> dict[str, Any]:
    """Label a number of queries.

    Args:
        queries: Number of queries.
        candidates_per_query: Number of candidates per query.

    Returns:
        Peak memory of the driver in MiB after each stage, and rows per second of each stage.
    """
    with tempfile.TemporaryDirectory() as local:
        folder = Path(local)
        (folder / "lists").mkdir()
        writer = multiprocessing.get_context("spawn").Process(
            target=make_lists, args=(folder / "lists", queries, candidates_per_query)
        )
        writer.start()  # a separate process, because the memory of this one is measured
        writer.join()
        (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "unused"}\n')
        (folder / "queries.jsonl").write_text('{"_id": "t", "text": "unused either"}\n')
        (folder / "qrels.tsv").write_text("t\td\t1\n")
        settings: dict[str, Any] = {
            "run": "scale",
            "storage": str(folder / "runs"),
            "collection": {"source": f"beir:{folder}"},
            "queries": {"log": str(folder / "lists"), "long_tail": {"min_terms": 1}},
            "candidates": {"retrievers": [{"kind": "parquet", "path": str(folder / "lists")}]},
            "pre_ranker": None,
            "evaluation": {"first_stages": ["fused"], "baseline": "fused"},
        }
        run = Run(RunSettings.model_validate(settings), Progress(terminal=False))
        run.start_ray()
        seconds, peaks = {}, {"start": _peak_mib()}
        for name, stage in (
            ("select", lambda: select.main(run)),
            ("candidates", lambda: candidates.main(run)),
            ("labels", lambda: label.ask_teacher(run, ["log"], FixedTeacher())),
        ):
            start = time.perf_counter()
            stage()
            seconds[name] = time.perf_counter() - start
            peaks[name] = _peak_mib()
        manifest = run.plan.labels.manifest
        assert manifest is not None
        assert manifest.rows_out == queries
    rates = {f"{name}_rows_per_second": queries / elapsed for name, elapsed in seconds.items()}
    return {"queries": queries, "peak_mib": peaks["labels"], "peaks_mib": peaks, **rates}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure each size in a separate process and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, nargs="+", default=[10_000, 1_000_000], help="numbers of queries")
    parser.add_argument("--candidates", type=int, default=3, help="candidates per query")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.candidates)), file=sys.__stdout__)
        return
    sizes = []
    for queries in arguments.queries:
        command = [
            sys.executable,
            "-m",
            "benchmarks.labelling.scale",
            "--side",
            str(queries),
            "--candidates",
            str(arguments.candidates),
        ]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            raise SystemExit(process.stdout[-2000:] + process.stderr[-3000:])
        sizes.append(json.loads(process.stdout.splitlines()[-1]))
    result = {
        "candidates": arguments.candidates,
        "sizes": sizes,
        "memory ratio": sizes[-1]["peak_mib"] / sizes[0]["peak_mib"],
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2))
    table = Table("queries", "driver peak, MiB", "select, rows/s", "candidates, rows/s", "labels, rows/s")
    for size in sizes:
        rates = [f"{size[f'{name}_rows_per_second']:,.0f}" for name in ("select", "candidates", "labels")]
        table.add_row(f"{size['queries']:,}", f"{size['peak_mib']:,.0f}", *rates)
    console = Console()
    console.print(table)
    console.print(f"peak memory, last size / first size: {result['memory ratio']:.3f} (target: at most 1.2)")


if __name__ == "__main__":
    main()
