"""The pipeline without its teacher: memory of the driver and rows per second, from log to labels.

    python -m benchmarks.labelling.scale [--queries 10000 1000000] [--candidates 3] [--out FILE.json]

Queries arrive with their candidates in parquet, which is the log too; every list gets the same answer at once.
Each size runs in a process of its own, on a Ray of its own.
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

from actors.data.rows import Outcome, PreRankedList, records, table_of
from ranking.labels.targets import tiers_from_order
from ranking.records import Answer, Label, Provenance, Usage
from ranking.runs.progress import Progress
from ray_jobs import candidates, label, select
from ray_jobs.common.run import Run
from ray_jobs.common.run_settings import RunSettings

if TYPE_CHECKING:
    from ray.data import Dataset

_ROWS_PER_FILE = 50_000
_PROVENANCE = Provenance(teacher="fixed", fingerprint="fixed", engine="none", targets="tiers")


class FixedTeacher:
    """Lists the documents as they are shown."""

    actor = None

    def label(self, lists: Dataset) -> Dataset:
        """Label lists. lists: rows of PreRankedList. Returns rows of Outcome."""
        return lists.map_batches(_fixed, batch_format="pyarrow", batch_size=None)


def _fixed(batch: pa.Table) -> pa.Table:
    outcomes = []
    for row in records(batch, PreRankedList):
        listed = tiers_from_order(row.as_tuples(), [picked.candidate.doc_id for picked in row.picked])
        made = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=listed,
            answer=Answer(),
            provenance=_PROVENANCE,
            usage=Usage(),
        )
        outcomes.append(Outcome(query_id=row.query_id, row=made.model_dump_json()))
    return table_of(outcomes, Outcome)


def make_lists(folder: Path, queries: int, each: int) -> None:
    """Write queries with their candidates, no two queries alike, in files of 50,000 rows."""
    text = "a passage of some length that says little and stands for one that says more " * 2
    for start in range(0, queries, _ROWS_PER_FILE):
        rows = range(start, min(start + _ROWS_PER_FILE, queries))
        found = [[{"doc_id": f"d{row}-{n}", "text": f"{text}{row} {n}"} for n in range(each)] for row in rows]
        held = {
            "query_id": [f"q{row}" for row in rows],
            "text": [f"what is item number {row} for" for row in rows],
            "candidates": found,
        }
        pq.write_table(pa.table(held), folder / f"lists-{start:08}.parquet")


def measure(queries: int, each: int) -> dict[str, Any]:
    """Label so many queries; the driver's memory at its peak in MiB, and rows per second of each stage."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "lists").mkdir()
        maker = multiprocessing.get_context("spawn").Process(target=make_lists, args=(folder / "lists", queries, each))
        maker.start()  # in a process of its own: this one's memory is what is measured
        maker.join()
        (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "unused"}\n')
        (folder / "queries.jsonl").write_text('{"_id": "t", "text": "unused either"}\n')
        (folder / "qrels.tsv").write_text("t\td\t1\n")
        given: dict[str, Any] = {
            "run": "scale",
            "storage": str(folder / "runs"),
            "collection": {"source": f"beir:{folder}"},
            "queries": {"log": str(folder / "lists"), "long_tail": {"min_terms": 1}},
            "candidates": {"retrievers": [{"kind": "parquet", "path": str(folder / "lists")}]},
            "pre_ranker": None,
            "evaluation": {"first_stages": ["fused"], "baseline": "fused"},
        }
        run = Run(RunSettings.model_validate(given), Progress(terminal=False))
        run.start_ray()
        seconds, peaks = {}, {"start": _peak_mib()}
        for name, stage in (
            ("select", lambda: select.main(run)),
            ("candidates", lambda: candidates.main(run)),
            ("labels", lambda: label.ask_teacher(run, ["log"], FixedTeacher())),
        ):
            began = time.perf_counter()
            stage()
            seconds[name] = time.perf_counter() - began
            peaks[name] = _peak_mib()
        manifest = run.plan.labels.manifest
        assert manifest is not None
        assert manifest.rows_out == queries
    rates = {f"{name}_rows_per_second": queries / spent for name, spent in seconds.items()}
    return {"queries": queries, "peak_mib": peaks["labels"], "peaks_mib": peaks, **rates}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--candidates", type=int, default=3, help="candidates of each query")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measure(given.side, given.candidates)), file=sys.__stdout__)
        return
    sizes = []
    for queries in given.queries:
        command = [
            sys.executable,
            "-m",
            "benchmarks.labelling.scale",
            "--side",
            str(queries),
            "--candidates",
            str(given.candidates),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-3000:])
        sizes.append(json.loads(done.stdout.splitlines()[-1]))
    result = {
        "candidates": given.candidates,
        "sizes": sizes,
        "memory ratio": sizes[-1]["peak_mib"] / sizes[0]["peak_mib"],
    }
    if given.out:
        given.out.write_text(json.dumps(result, indent=2))
    table = Table("queries", "driver's peak, MiB", "select, rows/s", "candidates, rows/s", "labels, rows/s")
    for size in sizes:
        rates = [f"{size[f'{name}_rows_per_second']:,.0f}" for name in ("select", "candidates", "labels")]
        table.add_row(f"{size['queries']:,}", f"{size['peak_mib']:,.0f}", *rates)
    console = Console()
    console.print(table)
    console.print(f"memory, largest / smallest: {result['memory ratio']:.3f} (wanted: at most 1.2)")


if __name__ == "__main__":
    main()
