"""Labelling on a cluster of three nodes whose parts are killed with SIGKILL at random moments.

    python -m benchmarks.kills --kills 20 --seed 1 --out kills.json

Labels a made collection once undisturbed and once under kills, and compares. Prints a line per kill and a verdict;
exits with 1 where a label was lost, stood twice, or differs from the undisturbed one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actors.rows import CandidateList
from benchmarks.kills.chase import Chase, Kill
from benchmarks.kills.cluster import LocalCluster
from benchmarks.kills.made import make_run, start_job
from benchmarks.kills.processes import ended
from benchmarks.kills.storage import Sight, look, manifest_of, other_than, wrong_at_the_end
from benchmarks.kills.victims import drawn_kinds, engines
from ranking.storage import Folder

_CALM = "calm"
_KILLED = "killed"


def main(arguments: argparse.Namespace, folder: Path) -> int:
    path = make_run(folder, arguments.queries)
    storage = Folder(folder / "runs")
    with LocalCluster(folder, workers=2, cpus=2) as cluster:
        began = time.monotonic()
        job = start_job(path, _CALM, cluster.driver_environment, folder / "calm.log")
        if job.wait():
            raise RuntimeError(f"the undisturbed run failed: {(folder / 'calm.log').read_text()[-500:]}")
        calm = look(storage / _CALM)
        print(f"undisturbed: {len(calm.labels)} labels, {calm.rejected.total()} rejected, {time.monotonic() - began:.0f} s", flush=True)
        queries = {row.query_id for row in (storage / _CALM / "candidates").read_rows(CandidateList)}
        chase = Chase(cluster, path, _KILLED, storage / _KILLED, queries, folder / "killed.log", random.Random(arguments.seed))
        print(_HEAD, flush=True)
        kills = chase.chase(drawn_kinds(arguments.kills, arguments.seed), lambda kill: print(_line(kill), flush=True))
        chase.finish()
        seconds = time.monotonic() - chase.began
        left = len(ended(engines(cluster)))
    sight = look(storage / _KILLED)
    wrong = [
        *(line for kill in kills for line in kill.wrong),
        *wrong_at_the_end(sight, queries, manifest_of(storage / _KILLED)),
        *other_than(calm, sight),
    ]
    verdict = _verdict(kills, sight, queries, seconds, left, chase.ended_by_itself, wrong)
    print("\n".join(f"{name}: {value}" for name, value in verdict.items()))
    if arguments.out:
        Path(arguments.out).write_text(json.dumps({"kills": [asdict(kill) for kill in kills], "verdict": verdict}, indent=2))
    return 1 if wrong or len(kills) < arguments.kills else 0


_HEAD = f"{'at':>6} {'killed':<22} {'labels':>6} {'rejected':>8} {'doubled':>7} {'left over':>9} {'went on after':>13}  wrong"


def _line(kill: Kill) -> str:
    went_on = "-" if kill.seconds is None else f"{kill.seconds:.0f} s"
    killed = f"{kill.kind}{', early' if kill.early else ''}"
    return (
        f"{kill.at:>5.0f}s {killed:<22} {kill.labels:>6} {kill.rejected:>8} {kill.doubled:>7} {kill.left_over:>9} {went_on:>13}  "
        f"{'; '.join(kill.wrong) or 'nothing'}"
    )


def _verdict(
    kills: list[Kill], sight: Sight, queries: set[str], seconds: float, left: int, ended_by_itself: list[str], wrong: list[str]
) -> dict[str, Any]:
    return {
        "kills": len(kills),
        "queries in, labels, rejected": [len(queries), len(sight.labels), len(sight.rejected)],
        "seconds": round(seconds),
        "answers that the teacher's memory holds twice": sight.paid_twice,
        "answers that it holds": len(sight.answers),
        "seconds of answers not yet written at the kills": round(sum(kill.unwritten for kill in kills)),
        "files begun and not finished": sight.partials,
        "processes of the engine left over": sum(kill.left_over for kill in kills) + left,
        "job ended by itself and was called again": ended_by_itself,
        "wrong": wrong or "nothing: no label lost, none twice, all as undisturbed",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of what is killed and when")
    parser.add_argument("--queries", type=int, default=1000, help="of the made collection; more make the job longer")
    parser.add_argument("--folder", help="where the runs and the logs are kept; else in a temporary folder")
    parser.add_argument("--out", help="JSON file for the kills and the verdict")
    chosen = parser.parse_args()
    if chosen.folder:
        Path(chosen.folder).mkdir(parents=True)
        sys.exit(main(chosen, Path(chosen.folder).absolute()))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(chosen, Path(temporary)))
