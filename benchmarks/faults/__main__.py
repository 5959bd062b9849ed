"""Inject faults at random times into labelling, training and serving on a cluster of three nodes.

    python -m benchmarks.faults [--faults 100] [--work labelling training serving] [--places disk bucket]
        [--out faults.json]

Drivers, nodes, workers, engines, replicas and promotions are killed with SIGKILL. The disk runs full for a while. The
S3 service returns errors, responds late, or is cut off. After each fault, storage is checked and work must continue. At
the end, the results must equal those of the same work without faults. Prints one line per fault and a table. Exits with
code 1 if an invariant was violated. The disk is a tmpfs, which only root can mount.
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

from benchmarks.faults.campaign import InjectedFault, run_campaign
from benchmarks.faults.generated_run import make_run
from benchmarks.faults.job_work import ROOT, JobWork, job_command
from benchmarks.faults.labelling_invariants import take_snapshot
from benchmarks.faults.labelling_work import LabellingWork
from benchmarks.faults.serving_work import ServingWork
from benchmarks.faults.storage_places import Place, bucket, small_disk
from benchmarks.faults.training_work import TrainingWork, scores_of
from ranking.records import CandidateList
from ranking.storage.folder import Folder
from tools.local_cluster.nodes import LocalCluster
from tools.untrained_student import untrained_student

SHARES = {"labelling": 0.3, "training": 0.37, "serving": 0.33}
"""Share of the faults per work."""

PLACES = ("disk", "bucket")


class UndisturbedRun:
    """Labels and trains once without faults.

    Args:
        settings: Run file.

    Attributes:
        labelled: Folder of a run with labels.
        snapshot: Storage of that run.
        queries: IDs of its queries.
        scores: Scores of the student trained on the labels.
    """

    def __init__(self, settings: Path) -> None:
        self._settings, self._storage = settings, Folder(settings.parent / "undisturbed")
        self.labelled, trained = self._storage / "labelled", self._storage / "trained"
        with LocalCluster(settings.parent, workers=2, cpus=2) as cluster:
            self._run_job("ray_jobs.label", "labelled", cluster)
            self.labelled.copy_to(trained)
            self._run_job("ray_jobs.train", "trained", cluster)
        self.snapshot = take_snapshot(self.labelled)
        self.queries = {row.query_id for row in (self.labelled / "candidates").read_rows(CandidateList)}
        self.scores = scores_of(trained)

    def _run_job(self, module: str, run: str, cluster: LocalCluster) -> None:
        arguments = job_command(module, self._settings, run=run, storage=self._storage.uri)
        job = subprocess.run(arguments, cwd=ROOT, env=cluster.driver_environment, capture_output=True, text=True)
        if job.returncode:
            raise RuntimeError(f"{module} failed without faults: {job.stdout}{job.stderr}")


def main(arguments: argparse.Namespace, folder: Path) -> int:
    """Run the campaign.

    Args:
        arguments: Command-line arguments.
        folder: Folder for runs and logs.

    Returns:
        Exit code: 1 if an invariant was violated.
    """
    settings, injected = make_run(folder, arguments.queries), list[InjectedFault]()
    undisturbed = UndisturbedRun(settings) if set(arguments.work) - {"serving"} else None
    if undisturbed is not None:
        snapshot = undisturbed.snapshot
        print(f"undisturbed: {len(snapshot.labels)} labels, {snapshot.rejected.total()} rejections", flush=True)
    print(_HEADER, flush=True)
    models = {name: Path(untrained_student(folder / name, seed).path) for name, seed in (("a", 1), ("b", 2))}
    for kind in arguments.places:
        with small_disk(folder / "disk") if kind == "disk" else bucket(folder / "s3.log") as place:
            for name in arguments.work:
                generator = random.Random(f"{arguments.seed} {kind} {name}")
                with LocalCluster(folder, workers=2, cpus=2) as cluster:
                    work = _work(name, cluster, settings, place, undisturbed, models, generator)
                    _run_campaign(work, round(arguments.faults * SHARES[name] / len(PLACES)), generator, injected)
    print(f"\n{table(injected)}")
    violations = [
        f"{fault.work} on {fault.place}, {fault.fault}: {line}" for fault in injected for line in fault.violations
    ]
    print(f"\n{len(injected)} faults, {len(violations)} violations", *violations, sep="\n")
    if arguments.out:
        Path(arguments.out).write_text(json.dumps([asdict(fault) for fault in injected], indent=2))
    return 1 if violations else 0


def _work(
    name: str,
    cluster: LocalCluster,
    settings: Path,
    place: Place,
    undisturbed: UndisturbedRun | None,
    models: dict[str, Path],
    generator: random.Random,
) -> JobWork:
    if name == "serving" or undisturbed is None:
        return ServingWork(cluster, settings, place, models, generator)
    if name == "labelling":
        return LabellingWork(cluster, settings, place, undisturbed.snapshot, undisturbed.queries)
    return TrainingWork(cluster, settings, place, undisturbed.labelled, undisturbed.scores)


def _run_campaign(work: JobWork, count: int, generator: random.Random, injected: list[InjectedFault]) -> None:
    """Inject faults into work. Work that stops progressing is a violation and ends its part of the campaign."""
    try:
        run_campaign(work, count, generator, injected, lambda fault: print(_line(fault), flush=True))
    except RuntimeError as error:
        last = (
            injected[-1]
            if injected and injected[-1].work == work.name
            else InjectedFault(work.name, work.place, "none", 0.0, False)
        )
        last.violations.append(str(error))
        print(_line(last), flush=True)


_HEADER = f"{'work':<10} {'place':<7} {'at':>6} {'fault':<26} {'recovery':>8}  violations"


def _line(fault: InjectedFault) -> str:
    """Format a fault, followed by one indented line per failed job."""
    recovery = "-" if fault.seconds is None else f"{fault.seconds:.0f} s"
    name = f"{fault.fault}{', early' if fault.early else ''}"
    violations = "; ".join(fault.violations) or "none"
    errors = "".join(f"\n    {line}" for line in fault.job_errors)
    return f"{fault.work:<10} {fault.place:<7} {fault.at:>5.0f}s {name:<26} {recovery:>8}  {violations}{errors}"


def table(injected: list[InjectedFault]) -> str:
    """Format the numbers of faults, recovery times, restarted jobs and violations per work and fault, as Markdown."""
    by_kind = defaultdict(list)
    for fault in injected:
        by_kind[fault.work, fault.fault].append(fault)
    rows = [
        "| work | fault | times | recovery: median, longest | jobs that failed and were restarted | violations |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for (work, kind), faults in by_kind.items():
        seconds = [fault.seconds for fault in faults if fault.seconds is not None]
        recovery = f"{statistics.median(seconds):.0f} s, {max(seconds):.0f} s" if seconds else "-"
        restarts = sum(line.startswith("exit") for fault in faults for line in fault.job_errors)
        violations = sum(len(fault.violations) for fault in faults)
        rows.append(f"| {work} | {kind} | {len(faults)} | {recovery} | {restarts} | {violations} |")
    return "\n".join(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=104, help="number of faults over all works and both places")
    parser.add_argument(
        "--work",
        nargs="+",
        choices=SHARES,
        default=list(SHARES),
        help="works to run, each with its share of the faults",
    )
    parser.add_argument(
        "--places",
        nargs="+",
        choices=PLACES,
        default=list(PLACES),
        help="storage places to use, each with half of the faults",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the order and times of the faults")
    parser.add_argument(
        "--queries", type=int, default=600, help="queries of the generated collection; more make jobs longer"
    )
    parser.add_argument("--folder", help="new folder for runs and logs; default: a temporary folder")
    parser.add_argument("--out", help="JSON file for the faults")
    options = parser.parse_args()
    if options.folder:
        Path(options.folder).mkdir(parents=True)
        sys.exit(main(options, Path(options.folder).absolute()))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(options, Path(temporary)))
