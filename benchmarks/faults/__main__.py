"""Faults at random moments in labelling, training and serving on a cluster of three nodes, on a small disk and on a bucket.

    python -m benchmarks.faults [--faults 100] [--work labelling training serving] [--places disk bucket] [--out faults.json]

Driver, nodes, workers, engine, replicas and promotions are killed with SIGKILL; the disk is full for a while; the S3 service
answers with errors, late, or not at all. After each fault storage is looked at, and work must go on; at the end it must have
come to what the same work undisturbed came to. Prints a line a fault and a table; exits with 1 where anything was wrong. The
disk is a file system in memory, to be mounted by root.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.campaign import InjectedFault, disturb
from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.jobs import ROOT, JobWork, command
from benchmarks.faults.labelling_work import Labelling
from benchmarks.faults.labels import look
from benchmarks.faults.made import make_run
from benchmarks.faults.storage_places import Place, bucket, small_disk
from benchmarks.faults.serving_work import Serving
from benchmarks.faults.training_work import Training, scores_of
from ranking.records import CandidateList
from ranking.storage.folder import Folder
from tests.testing.serving import student

SHARES = {"labelling": 0.3, "training": 0.37, "serving": 0.33}
"""Of all faults, by work."""

PLACES = ("disk", "bucket")


class UndisturbedRun:
    """All of it once undisturbed. labelled: a run with labels. scores: of the student that was trained on them."""

    def __init__(self, settings: Path) -> None:
        self._settings, self._storage = settings, Folder(settings.parent / "calm")
        self.labelled, trained = self._storage / "labelled", self._storage / "trained"
        with LocalCluster(settings.parent, workers=2, cpus=2) as cluster:
            self._call("ray_jobs.label", "labelled", cluster)
            self.labelled.copy_to(trained)
            self._call("ray_jobs.train", "trained", cluster)
        self.sight = look(self.labelled)
        self.queries = {row.query_id for row in (self.labelled / "candidates").read_rows(CandidateList)}
        self.scores = scores_of(trained)

    def _call(self, module: str, run: str, cluster: LocalCluster) -> None:
        call = command(module, self._settings, run=run, storage=self._storage.uri)
        done = subprocess.run(call, cwd=ROOT, env=cluster.driver_environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{module} failed undisturbed: {done.stdout}{done.stderr}")


def main(given: argparse.Namespace, folder: Path) -> int:
    settings, struck = make_run(folder, given.queries), list[InjectedFault]()
    calm = UndisturbedRun(settings) if set(given.work) - {"serving"} else None
    if calm is not None:
        print(f"undisturbed: {len(calm.sight.labels)} labels, {calm.sight.rejected.total()} rejected", flush=True)
    print(_HEAD, flush=True)
    models = {name: Path(student(folder / name, seed).path) for name, seed in (("a", 1), ("b", 2))}
    for at in given.places:
        with small_disk(folder / "disk") if at == "disk" else bucket(folder / "s3.log") as place:
            for name in given.work:
                drawn = random.Random(f"{given.seed} {at} {name}")
                with LocalCluster(folder, workers=2, cpus=2) as cluster:
                    work = _work(name, cluster, settings, place, calm, models, drawn)
                    _disturb(work, round(given.faults * SHARES[name] / len(PLACES)), drawn, struck)
    print(f"\n{table(struck)}")
    wrong = [f"{one.work} on {one.place}, {one.fault}: {line}" for one in struck for line in one.wrong]
    print(f"\n{len(struck)} faults; wrong: {len(wrong)}", *wrong, sep="\n")
    if given.out:
        Path(given.out).write_text(json.dumps([asdict(one) for one in struck], indent=2))
    return 1 if wrong else 0


def _work(
    name: str,
    cluster: LocalCluster,
    settings: Path,
    place: Place,
    calm: UndisturbedRun | None,
    models: dict[str, Path],
    drawn: random.Random,
) -> JobWork:
    if name == "serving" or calm is None:
        return Serving(cluster, settings, place, models, drawn)
    if name == "labelling":
        return Labelling(cluster, settings, place, calm.sight, calm.queries)
    return Training(cluster, settings, place, calm.labelled, calm.scores)


def _disturb(work: JobWork, count: int, drawn: random.Random, struck: list[InjectedFault]) -> None:
    """Work that does not go on is wrong, and the next one has its turn."""
    try:
        disturb(work, count, drawn, struck, lambda one: print(_line(one), flush=True))
    except RuntimeError as error:
        last = (
            struck[-1]
            if struck and struck[-1].work == work.name
            else InjectedFault(work.name, work.place, "none", 0.0, False)
        )
        last.wrong.append(str(error))
        print(_line(last), flush=True)


_HEAD = f"{'work':<10} {'place':<7} {'at':>6} {'fault':<26} {'went on after':>13}  wrong; said"


def _line(one: InjectedFault) -> str:
    went_on = "-" if one.seconds is None else f"{one.seconds:.0f} s"
    fault = f"{one.fault}{', early' if one.early else ''}"
    said = "".join(f"\n    {line}" for line in one.said)
    return f"{one.work:<10} {one.place:<7} {one.at:>5.0f}s {fault:<26} {went_on:>13}  {'; '.join(one.wrong) or 'nothing'}{said}"


def table(struck: list[InjectedFault]) -> str:
    """By work and fault: how often, seconds until work went on, how many jobs ended and were called again, what was wrong."""
    by_kind = defaultdict(list)
    for one in struck:
        by_kind[one.work, one.fault].append(one)
    rows = [
        "| work | fault | times | went on after: median, longest | jobs that ended, called again | wrong |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for (work, fault), held in by_kind.items():
        seconds = [one.seconds for one in held if one.seconds is not None]
        took = f"{statistics.median(seconds):.0f} s, {max(seconds):.0f} s" if seconds else "-"
        ended = sum(line.startswith("exit") for one in held for line in one.said)
        rows.append(f"| {work} | {fault} | {len(held)} | {took} | {ended} | {sum(len(one.wrong) for one in held)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=104, help="how many, over all works and both places")
    parser.add_argument(
        "--work", nargs="+", choices=SHARES, default=list(SHARES), help="only these, with their share of the faults"
    )
    parser.add_argument(
        "--places", nargs="+", choices=PLACES, default=list(PLACES), help="only these, with half of the faults each"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what is struck and when")
    parser.add_argument("--queries", type=int, default=600, help="of the made collection; more make the jobs longer")
    parser.add_argument("--folder", help="where the runs and the logs are kept; else in a temporary folder")
    parser.add_argument("--out", help="JSON file for all faults")
    chosen = parser.parse_args()
    if chosen.folder:
        Path(chosen.folder).mkdir(parents=True)
        sys.exit(main(chosen, Path(chosen.folder).absolute()))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(chosen, Path(temporary)))
