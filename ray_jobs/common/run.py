"""A run: its settings, its folder, and how a job starts and ends.

Every job is `python -m ray_jobs.<job> RUN.yaml [--key value ...]`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from pydantic import Field, model_validator

from actors.cluster.stall_report import why_waiting
from actors.data.rows import FUSED
from actors.serving.settings import ServingSettings
from actors.settings import (
    ComputeSettings,
    NoRationaleSettings,
    PointwiseTeacherSettings,
    RationaleSettings,
    RecordedTeacherSettings,
    TeacherSettings,
)
from ranking.ab_test.settings import AbSettings
from ranking.collections import read_collection
from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.evaluation.settings import EvaluationSettings
from ranking.registry import Registry
from ranking.runs.progress import Progress
from ranking.runs.stages import Manifest, Stage
from ranking.selection.settings import QuerySettings
from ranking.settings import (
    AblationSettings,
    AuditSettings,
    CandidateSettings,
    CollectionSettings,
    PreRankerSettings,
    Settings,
    load_settings,
)
from ranking.storage.folder import Folder
from ranking.storage.lease import leased
from ray_jobs.common.connection import check_workers_write, interrupt, start_ray
from ray_jobs.common.failures import reason_outside
from ray_jobs.common.job_logs import JobLogs
from students.settings import RraBertSettings, StudentSettings, TrainingSettings


class RunSettings(Settings):
    """The run file, whole."""

    run: str = Field(
        "quickstart", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run; its folder under storage."
    )
    storage: str = Field(
        "runs", description="Where runs and the registry live: a path or a URI such as s3://bucket/rra."
    )
    collection: CollectionSettings = CollectionSettings()
    queries: QuerySettings = QuerySettings()
    candidates: CandidateSettings = CandidateSettings()
    pre_ranker: PreRankerSettings | None = Field(
        default_factory=PreRankerSettings,
        description="What picks the documents that the teacher sees. Null: it sees every candidate.",
    )
    teacher: TeacherSettings = Field(default_factory=PointwiseTeacherSettings)
    audit: AuditSettings = AuditSettings()
    rationales: RationaleSettings = Field(default_factory=NoRationaleSettings)
    students: list[StudentSettings] = Field(
        default_factory=lambda: [RraBertSettings()], description="Students to train."
    )
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    ablation: AblationSettings = AblationSettings()
    serving: ServingSettings = ServingSettings()
    ab: AbSettings = AbSettings()
    compute: ComputeSettings = ComputeSettings()

    @model_validator(mode="after")
    def _first_stages_of_the_retrievers(self) -> RunSettings:
        """Fill in what evaluation re-ranks and compares with: the fused list, or that of the only retriever."""
        retrievers = self.candidates.retrievers
        evaluation = self.evaluation
        if not evaluation.first_stages:
            evaluation.first_stages = [FUSED if len(retrievers) > 1 else retrievers[0].called]
        if not evaluation.baseline:
            evaluation.baseline = evaluation.first_stages[0]
        return self


class Run:
    """One run: settings, storage, progress, and the collection once it is asked for."""

    def __init__(self, settings: RunSettings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self.storage = Folder(settings.storage)
        self.folder = self.storage / settings.run
        self.registry = Registry(self.storage)
        # a local folder for the log floods of Ray and vLLM too: logs/ of the run where it is on this disk
        place = Path(self.folder.path) / "logs" if self.folder.is_local else Path("logs") / settings.run
        self.logs = JobLogs(place, settings.run, lambda: progress.at)
        self._began_ray = False

    @cached_property
    def collection(self) -> Collection:
        """The collection, read when first asked for."""
        collection = read_collection(self.settings.collection, self.settings.evaluation.split)
        judged = len(collection.test)
        text = f"{collection.name}: {len(collection.documents):,} documents, {len(collection.log):,} queries, {judged:,} test queries"
        self.progress.stage("collection", text)
        if collection.halved:
            kept = len(collection.log_qrels)
            self.progress.stage(
                "", f"judged queries are divided: {judged:,} to test, {kept:,} to label; collection.use changes that"
            )
        for note in collection.notes:
            self.progress.stage("", note)
        return collection

    def check_judged(self) -> None:
        """Raise InputError where there is nothing to test on."""
        if not self.collection.test:
            raise InputError(
                f"{self.collection.name} has no judged queries to test on; labels can be made of it, and learned from"
            )

    def skipped(self, stage: Stage) -> Manifest | None:
        """The manifest of a stage that is done with these settings already, said in a line; else None."""
        manifest = stage.restore()
        if manifest is not None:
            self.progress.stage(stage.name, f"{manifest.rows_out:,} rows, unchanged, skipped")
        return manifest

    def done(self, manifest: Manifest, unit: str) -> None:
        """Say in a line what a stage made, and how fast."""
        rate = manifest.rows_out / max(manifest.seconds, 1e-9)
        rejected = f", {manifest.rejected:,} rejected" if manifest.rejected else ""
        tokens = f", {manifest.tokens.prompt:,} tokens read" if manifest.tokens.prompt else ""
        text = f"{manifest.rows_out:,} {unit}{rejected} in {manifest.seconds:.0f} s ({rate:.1f}/s){tokens}"
        self.progress.stage(manifest.stage, text)

    def start_ray(self) -> None:
        """Connect to the cluster of RAY_ADDRESS, or start Ray on this machine; once."""
        if self._began_ray:
            return
        self._began_ray = True
        start_ray(self.logs, self.settings.compute.dashboard)
        self.progress.explain, self.progress.quiet = why_waiting, self.settings.compute.stall_warning_seconds
        if not self.folder.is_local:
            check_workers_write(self.folder)


def open_run(arguments: Sequence[str]) -> Run:
    """Read the command line: a run file, then settings to lay over it. Writes run.yaml into the run's folder.

    Raises InputError for a run file, a setting or a storage root that is no good.
    """
    if not arguments or arguments[0].startswith("-"):
        raise InputError("a run file is missing, for example configs/quickstart.yaml")
    settings = load_settings(RunSettings, Path(arguments[0]), arguments[1:])
    names = [student.name for student in settings.students]
    if len(set(names)) != len(names):
        raise InputError(f"{arguments[0]}: setting 'students': each needs a name of its own, not {', '.join(names)}")
    first_stages = [*(retriever.called for retriever in settings.candidates.retrievers), FUSED]
    for name in settings.evaluation.first_stages:
        if name not in first_stages:
            raise InputError(
                f"{arguments[0]}: setting 'evaluation.first_stages': {name!r} is none of {', '.join(first_stages)}"
            )
    _check_names_apart(settings, [*first_stages, "pre-ranker", "teacher"], arguments[0])
    _check_recorded_for(settings, arguments[0])
    run = Run(settings, Progress())
    run.folder.check_writable()
    return run


def _check_recorded_for(settings: RunSettings, where: str) -> None:
    """Raise InputError if the recorded teacher's rankings are of another collection."""
    teacher, source = settings.teacher, settings.collection.source
    if settings.training.labels and not settings.evaluation.teacher:
        return  # the teacher is not asked
    if isinstance(teacher, RecordedTeacherSettings) and teacher.collection not in (None, source):
        raise InputError(
            f"{where}: setting 'collection.source': {source!r}, but the rankings in {teacher.path} were recorded for "
            f"{teacher.collection!r}; for your own collection use configs/collection.yaml, which has a live teacher"
        )


def _check_names_apart(settings: RunSettings, reserved: list[str], where: str) -> None:
    """Raise InputError where two systems of an evaluation would have one name."""
    evaluation = settings.evaluation
    students = [student.name for student in settings.students]
    taken = [*reserved, *students, *(f"{name}.{form}" for name in students for form in ("base", "blended"))]
    for kind, name in [
        *(("runs", held.name) for held in evaluation.runs),
        *(("models", held.name) for held in evaluation.models),
    ]:
        if name in taken:
            raise InputError(
                f"{where}: setting 'evaluation.{kind}': the name {name!r} is taken by another system; choose another"
            )
        taken.append(name)
    for name in students:
        if name in reserved or any(name in (f"{other}.base", f"{other}.blended") for other in students):
            raise InputError(
                f"{where}: setting 'students': the name {name!r} is taken by another system; choose another"
            )


def job(main: Callable[[Run], None], arguments: Sequence[str] | None = None, alone: bool = True) -> None:
    """Run a job from the command line and exit: 0 done, 2 bad input in one line, 1 anything else with the place of its trace.

    alone: whether it writes into the run's folder, so that no other such job may be at work there.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in ("-h", "--help"):
        print((sys.modules["__main__"].__doc__ or "").strip())
        sys.exit(0)
    run: Run | None = None
    taken_over: list[bool] = []
    signal.signal(signal.SIGTERM, interrupt)
    try:
        run = open_run(arguments)
        if alone:
            with leased(run.folder, _name(), lambda: _stop(taken_over), lambda text: run.progress.stage("run", text)):
                write_settings(run)
                main(run)
        else:
            main(run)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        if taken_over:
            print(
                f"error: {run.folder.uri if run else ''}: another job took this run over while this one stood still",
                file=sys.stderr,
            )
            _leave(2)
        print(f"interrupted; to go on from here: {shlex.join(['python', '-m', _name(), *arguments])}", file=sys.stderr)
        _leave(130)
    except Exception as error:
        stage = f" in {run.progress.at}" if run is not None and run.progress.at else ""
        kept = f"what was done is kept in {run.folder.uri}" if run is not None else "nothing was done"
        rest = f"{kept}; to go on: {shlex.join(['python', '-m', _name(), *arguments])}"
        outside = reason_outside(error)
        where = _write_trace(run, shown=outside is None)
        if outside is not None:
            print(f"error{stage}: {outside}; {rest}", file=sys.stderr)
            sys.exit(2)
        first = str(error).strip().splitlines()[:1] or [""]
        print(f"failed{stage}: {type(error).__name__}: {first[0][:300]} (trace: {where}); {rest}", file=sys.stderr)
        sys.exit(1)


def _leave(code: int) -> NoReturn:
    """End the process with threads still at work: one that waits for Ray as it shuts down may end the process with a code of Ray's own."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _name() -> str:
    """What is run, as it is called."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return str(spec.name) if spec else Path(sys.argv[0]).name


def _stop(taken_over: list[bool]) -> None:
    taken_over.append(True)
    os.kill(os.getpid(), signal.SIGTERM)


def write_settings(run: Run) -> None:
    """Write the settings as resolved to run.yaml."""
    import yaml

    run.folder.write_text("run.yaml", yaml.safe_dump(run.settings.model_dump(), sort_keys=False, allow_unicode=True))


def _write_trace(run: Run | None, shown: bool) -> str:
    """Write the trace to the run's logs; returns where. shown: print it where it cannot be written."""
    if run is not None:
        with contextlib.suppress(OSError):
            run.logs.folder.mkdir(parents=True, exist_ok=True)
            path = run.logs.folder / "trace.txt"
            path.write_text(traceback.format_exc(), encoding="utf-8")
            return str(path)
    if shown:
        traceback.print_exc()
    return "above"
