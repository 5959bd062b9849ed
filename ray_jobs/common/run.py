"""A run with its settings and folder, and how a job starts and ends.

Every job is called as `python -m ray_jobs.<job> RUN.yaml [--key value ...]`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import yaml

from actors.cluster.stall_report import why_waiting
from ranking import usage_statistics
from ranking.collections import read_collection
from ranking.collections.collection import Collection
from ranking.collections.generated import before_generation
from ranking.errors import InputError
from ranking.evaluation.recorded_grades import with_judged_queries
from ranking.external_ends import WaitingError
from ranking.records import FUSED
from ranking.registry import Registry
from ranking.run_file import load_settings
from ranking.runs.progress import Progress
from ranking.runs.stages import Manifest, Stage
from ranking.storage.folder import Folder
from ranking.storage.lease import leased
from ranking.storage.pointer import check_conditional_writes
from ray_jobs.common.command_line import AddOptions, CommandLine, parse
from ray_jobs.common.connection import check_workers_write, interrupt, start_ray
from ray_jobs.common.failures import external_cause, input_error
from ray_jobs.common.generated_collection import check_generation, read_generated, used_collection
from ray_jobs.common.job_errors import exit_now, print_error, write_trace
from ray_jobs.common.job_logs import JobLogs
from ray_jobs.common.plan import Plan
from ray_jobs.common.run_settings import RunSettings
from ray_jobs.common.setting_checks import check_distinct_names, check_passages, check_recorded_collection
from ray_jobs.common.student_order import training_order


class Run:
    """A run: settings, storage, progress, logs, and the collection, which is read on first use."""

    def __init__(self, settings: RunSettings, progress: Progress) -> None:
        """Initialise the run. Nothing is read or written yet."""
        self.settings = settings
        self.progress = progress
        self.storage = Folder(settings.storage)
        self.folder = self.storage / settings.run
        self.registry = Registry(self.storage)
        # always local, because Ray and vLLM log a lot
        logs = Path(self.folder.path) / "logs" if self.folder.is_local else Path("logs") / settings.run
        self.logs = JobLogs(logs, settings.run, lambda: progress.current_stage)
        self._ray_started = False

    @cached_property
    def collection(self) -> Collection:
        """The collection. With `queries.generate`, its queries are the generated ones.

        Raises:
            InputError: If the queries are not generated yet.
        """
        return self.source if self.settings.queries.generate is None else read_generated(self)

    @cached_property
    def source(self) -> Collection:
        """The collection without generated queries. On first use, it is read, and its size and notes are printed."""
        collection = read_collection(used_collection(self.settings), self.settings.evaluation.split)
        if self.settings.queries.generate is None:
            collection = with_judged_queries(collection, self.settings.evaluation.judge)
        else:
            collection = before_generation(collection)
        judged = len(collection.test)
        sizes = f"{len(collection.documents):,} documents, {len(collection.log):,} queries, {judged:,} test queries"
        self.progress.stage("collection", f"{collection.name}: {sizes}")
        for note in collection.notes:
            self.progress.stage("", note)
        return collection

    @cached_property
    def plan(self) -> Plan:
        """The stages of this run."""
        return Plan(self.settings, self.folder, lambda: self.source)

    def test_all_judged(self) -> None:
        """Test all judged queries, unless `collection.use` is set. Call it before the collection is read."""
        collection = self.settings.collection
        if collection.use == "both":
            tested = collection.model_copy(update={"use": "test"})
            self.settings = self.settings.model_copy(update={"collection": tested})

    def check_judged(self, by_judge: bool = False) -> None:
        """Raise InputError if the collection has no judged test queries.

        Args:
            by_judge: Whether test queries that only the judge grades are sufficient.
        """
        if not self.collection.test or not (by_judge or any(self.collection.qrels.values())):
            raise InputError(
                f"{self.collection.name} has no judged test queries; only labelling and training are possible"
            )

    def skip_if_finished(self, stage: Stage) -> Manifest | None:
        """Check whether a stage is already finished with these settings. If so, print that it is skipped.

        Returns:
            The manifest of the finished stage; None if the stage must run.
        """
        manifest = stage.restore()
        if manifest is not None:
            self.progress.stage(stage.name, f"{manifest.rows_out:,} rows, unchanged, skipped")
        return manifest

    def report_stage(self, manifest: Manifest, unit: str) -> None:
        """Print a finished stage's number of rows, duration and throughput.

        Args:
            manifest: Manifest of the stage.
            unit: What the rows are, for example `labels`.
        """
        rate = manifest.rows_out / max(manifest.seconds, 1e-9)
        rejected = f", {manifest.rejected:,} rejected" if manifest.rejected else ""
        tokens = f", {manifest.tokens.prompt:,} tokens read" if manifest.tokens.prompt else ""
        spend = f", spent {manifest.spend:,.2f}" if manifest.spend is not None else ""
        text = f"{manifest.rows_out:,} {unit}{rejected} in {manifest.seconds:.0f} s ({rate:.1f}/s){tokens}{spend}"
        self.progress.stage(manifest.stage, text)

    def start_ray(self) -> None:
        """Connect to the cluster at RAY_ADDRESS, or start Ray on this machine. Later calls do nothing."""
        if self._ray_started:
            return
        self._ray_started = True
        start_ray(self.logs, self.settings.compute.dashboard)
        self.progress.explain, self.progress.stall_warning_seconds = (
            why_waiting,
            self.settings.compute.stall_warning_seconds,
        )
        if not self.folder.is_local:
            check_workers_write(self.folder)


def open_run(arguments: Sequence[str]) -> Run:
    """Open the run that a command line describes, without running a job.

    Args:
        arguments: A run file, then flags for settings that override it.

    Raises:
        InputError: If the run file or a setting is invalid, or the storage root is not writable.
    """
    return _open(resolve(parse(RunSettings, arguments, "rradistill", "")))


def resolve(command: CommandLine) -> RunSettings:
    """Read the run file of a command line, apply the overrides, and check the result.

    Raises:
        InputError: If the run file or a setting is invalid.
    """
    where = str(command.run_file)
    settings = load_settings(RunSettings, command.run_file, command.overrides)
    names = [student.name for student in settings.students]
    if len(set(names)) != len(names):
        raise InputError(f"{where}: setting 'students': names must be distinct, not {', '.join(names)}")
    training_order(settings.students, f"{where}: ")
    first_stages = [*(retriever.list_name for retriever in settings.candidates.retrievers), FUSED]
    for name in settings.evaluation.first_stages:
        if name not in first_stages:
            raise InputError(
                f"{where}: setting 'evaluation.first_stages': unknown first stage {name!r}; "
                f"use one of {', '.join(first_stages)}"
            )
    check_distinct_names(settings, [*first_stages, "pre-ranker", "teacher"], where)
    check_recorded_collection(settings, where)
    check_passages(settings, where)
    check_generation(settings, where)
    return settings


def _open(settings: RunSettings) -> Run:
    run = Run(settings, Progress())
    run.folder.check_writable()
    check_conditional_writes(run.folder)
    return run


def job(
    main: Callable[[Run], None],
    reads: Sequence[str] | None = None,
    arguments: Sequence[str] | None = None,
    exclusive: bool = True,
    add_options: AddOptions | None = None,
    action_of: Callable[[argparse.Namespace], Callable[[Run], None]] | None = None,
) -> None:
    """Run a job from the command line of the process and exit.

    Exit codes: 0 for success, 2 for bad input or an external cause, 3 if the job waits for results of batch files, 130
    for an interruption, and 1 for any other error, whose traceback goes to the run's logs. Errors are printed to stderr
    in one line.

    Args:
        main: The job.
        reads: Top-level settings that the job reads, for `--help`. None lists all.
        arguments: The command line; None for that of the process.
        exclusive: Whether the job writes to the run's folder. If so, it takes the run's lease, which excludes other
            such jobs.
        add_options: Function that adds options that only this job has to the command line.
        action_of: Function that chooses from the values of these options what to run instead of `main`.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    run: Run | None = None
    taken_over: list[bool] = []
    signal.signal(signal.SIGTERM, interrupt)
    usage_statistics.turn_off()
    try:
        description = (sys.modules["__main__"].__doc__ or "").strip()
        command = parse(RunSettings, arguments, f"python -m {_job_name()}", description, reads, add_options)
        settings = resolve(command)
        if command.print_config:
            print(_to_yaml(settings), end="")
            return
        if action_of is not None:
            main = action_of(command.options)
        run = _open(settings)
        if exclusive:
            with leased(
                run.folder, _job_name(), lambda: _stop(taken_over), lambda text: run.progress.stage("run", text)
            ):
                write_settings(run)
                main(run)
        else:
            main(run)
    except KeyboardInterrupt:
        if taken_over:
            print_error(
                f"error: {run.folder.uri if run else ''}: another job took over this run while this job was stalled"
            )
            exit_now(2)
        print_error(f"interrupted; to resume: {shlex.join(['python', '-m', _job_name(), *arguments])}")
        exit_now(130)
    except WaitingError as waiting:
        print_error(f"waiting: {waiting}; to continue: {shlex.join(['python', '-m', _job_name(), *arguments])}")
        sys.exit(3)
    except Exception as error:
        if (problem := input_error(error)) is not None:
            print_error(f"error: {problem}")
            sys.exit(2)
        stage = f" in {run.progress.current_stage}" if run is not None and run.progress.current_stage else ""
        saved = f"finished work is saved in {run.folder.uri}" if run is not None else "no work was done"
        advice = f"{saved}; to resume: {shlex.join(['python', '-m', _job_name(), *arguments])}"
        cause = external_cause(error)
        trace = write_trace(run.logs.folder if run else None, print_fallback=cause is None)
        if cause is not None:
            print_error(f"error{stage}: {cause}; {advice}")
            sys.exit(2)
        first = str(error).strip().splitlines()[:1] or [""]
        print_error(f"failed{stage}: {type(error).__name__}: {first[0][:300]} (trace: {trace}); {advice}")
        sys.exit(1)


def _job_name() -> str:
    """Return the module of the job, for example `ray_jobs.train`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return str(spec.name) if spec else Path(sys.argv[0]).name


def _stop(taken_over: list[bool]) -> None:
    """Interrupt the job because another job took over its lease."""
    taken_over.append(True)
    os.kill(os.getpid(), signal.SIGTERM)


def write_settings(run: Run) -> None:
    """Write the resolved settings to run.yaml."""
    run.folder.write_text("run.yaml", _to_yaml(run.settings))


def _to_yaml(settings: RunSettings) -> str:
    return yaml.safe_dump(settings.model_dump(), sort_keys=False, allow_unicode=True)
