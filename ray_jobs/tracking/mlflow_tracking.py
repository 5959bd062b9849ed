"""Log a run to MLflow: settings as parameters, training curves and metrics, reports and models as artifacts.

A run has one MLflow run per combination of settings, with the tags `rradistill.run` and `rradistill.fingerprint`.
Results that it already has are not logged again. A failing tracking server does not stop a job: the results are on
storage, and the next call logs what is missing.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranking import usage_statistics
from ranking.errors import InputError
from ranking.evaluation.judge_results import JudgeResult
from ranking.evaluation.results import Metrics
from ranking.runs.stages import fingerprint_of
from ranking.storage.folder import Folder
from ranking.storage.sources import fetched
from ray_jobs.common.run import Run
from ray_jobs.common.run_settings import PIPELINE_SETTINGS
from ray_jobs.training.monitoring import CURVES
from students.student_settings import StudentSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN, FINGERPRINT = "rradistill.run", "rradistill.fingerprint"
"""Tags that identify the MLflow run of a run with certain settings."""

_MAX_PARAMETER_CHARACTERS, _MAX_TAG_CHARACTERS = 6000, 5000
_PARAMETERS_PER_CALL, _METRICS_PER_CALL = 100, 1000


def check(run: Run) -> None:
    """Check that MLflow can be used, if the settings ask for it. Call this before any long work.

    Raises:
        InputError: MLflow is not installed, or the tracking server does not answer.
    """
    if run.settings.mlflow is None:
        return
    _check_installed()
    uri = _tracking_uri(run)
    try:
        _experiment_id(_client(uri), run)
    except _errors() as error:
        raise InputError(f"setting 'mlflow.uri': {without_password(uri)}: {_first_line(error)}") from None


def log_student(run: Run, student: StudentSettings) -> None:
    """Log a trained student's curves and model, unless they are logged already."""
    stage = run.plan.student(student)

    def log(client: MlflowClient, run_id: str) -> None:
        _log_metrics(client, run_id, _curves(student.name, stage.folder))
        if run.settings.mlflow is not None and run.settings.mlflow.models:
            _upload(client, run_id, (stage.folder / "model").uri, f"students/{student.name}")

    _log_once(run, stage.name, stage.fingerprint, log)


def log_evaluation(run: Run, metrics: Metrics) -> None:
    """Log the metrics, the promotion decision and the report of an evaluation, unless they are logged already.

    With a judge, logs its agreement with human grades too, and its name and warnings as tags.
    """
    stage = run.plan.evaluation

    def log(client: MlflowClient, run_id: str) -> None:
        _log_metrics(client, run_id, ((name, value, 0) for name, value in _results(metrics)))
        decision = metrics.promotion
        tags = {"promoted": str(decision.promoted).lower(), "deploy": decision.deploy or "", "reason": decision.reason}
        for name, value in (tags | _judge_tags(metrics.judge)).items():
            client.set_tag(run_id, name, value[:_MAX_TAG_CHARACTERS])
        for name in ("report.html", "report.md", "metrics.json"):
            _upload(client, run_id, stage.folder.address(name), "evaluation")

    _log_once(run, stage.name, stage.fingerprint, log)


def _log_once(run: Run, stage: str, fingerprint: str, log: Callable[[MlflowClient, str], None]) -> None:
    """Call `log` unless the MLflow run has this stage's results already. Prints errors of the server as a note."""
    if run.settings.mlflow is None:
        return
    _check_installed()
    tag, uri = f"rradistill.{stage}", _tracking_uri(run)
    try:
        client = _client(uri)
        run_id, tags = _find_or_create(client, run)
        if tags.get(tag) == fingerprint:
            return
        log(client, run_id)
        client.set_tag(run_id, tag, fingerprint)
        run.progress.stage("mlflow", f"{stage} logged to {without_password(uri)}, run {run_id}")
    except _errors() as error:
        run.progress.stage("mlflow", f"{stage} not logged ({_first_line(error)}); run the job again to log it")


def _check_installed() -> None:
    """Raise InputError if MLflow is not installed."""
    if any(importlib.util.find_spec(package) is None for package in ("mlflow", "alembic", "sqlalchemy")):
        raise InputError("setting 'mlflow': MLflow is not installed; pip install 'rradistill[mlflow]'")


def _client(uri: str) -> MlflowClient:
    usage_statistics.turn_off()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # they report every table that they create
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri)


def without_password(uri: str) -> str:
    """Remove user name and password from a URI, for messages."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _tracking_uri(run: Run) -> str:
    assert run.settings.mlflow is not None
    if uri := run.settings.mlflow.uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    if run.storage.is_local:
        return f"sqlite:///{Path(run.storage.path) / 'mlflow.db'}"
    raise InputError(
        f"setting 'mlflow.uri': must be set, because the default, a SQLite file, cannot be in {run.storage.uri}"
    )


def _find_or_create(client: MlflowClient, run: Run) -> tuple[str, Mapping[str, str]]:
    """Return the id and tags of the MLflow run with this run's name and settings. Creates it if needed."""
    settings = {key: value for key, value in run.settings.model_dump().items() if key in PIPELINE_SETTINGS}
    fingerprint = fingerprint_of(run.storage.uri, settings)
    experiment = _experiment_id(client, run)
    found = client.search_runs(
        [experiment], f"tags.`{RUN}` = '{run.settings.run}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
    )
    if found:
        return found[0].info.run_id, found[0].data.tags
    tags = {RUN: run.settings.run, FINGERPRINT: fingerprint}
    created = client.create_run(experiment, run_name=run.settings.run, tags=tags)
    _log_parameters(client, created.info.run_id, settings)
    client.set_terminated(created.info.run_id)  # later calls can still add results
    return created.info.run_id, tags


def _experiment_id(client: MlflowClient, run: Run) -> str:
    assert run.settings.mlflow is not None
    name = run.settings.mlflow.experiment
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    # MLflow's own default for a database is ./mlruns
    own_folder = _tracking_uri(run).startswith("sqlite:") and run.storage.is_local
    artifacts = str(Path(run.storage.path) / "mlflow-artifacts") if own_folder else None
    return str(client.create_experiment(name, artifact_location=artifacts))


def _log_parameters(client: MlflowClient, run_id: str, settings: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    parameters = [Param(name, str(value)[:_MAX_PARAMETER_CHARACTERS]) for name, value in flatten(settings)]
    for start in range(0, len(parameters), _PARAMETERS_PER_CALL):
        client.log_batch(run_id, params=parameters[start : start + _PARAMETERS_PER_CALL])


def _log_metrics(client: MlflowClient, run_id: str, points: Iterable[tuple[str, float, int]]) -> None:
    """Log (name, value, step) points."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(metric_name(name), value, now, step) for name, value, step in points]
    for start in range(0, len(metrics), _METRICS_PER_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_PER_CALL])


def _upload(client: MlflowClient, run_id: str, location: str, target: str) -> None:
    """Upload a file or folder, given by path or URI, to a folder of the run's artifacts."""
    with fetched(location) as path:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), f"{target}/{path.name}")
        else:
            client.log_artifact(run_id, str(path), target)


def _curves(student: str, folder: Folder) -> Iterator[tuple[str, float, int]]:
    """Yield the points of a student's training curves: name, value, step."""
    if folder.exists(CURVES):
        for name, points in folder.read_json(CURVES).items():
            yield from ((f"{student}/{name}", value, int(step)) for step, value in points)


def _results(metrics: Metrics) -> Iterator[tuple[str, float]]:
    """Yield measures and latency of each system, its difference from the baseline, and the judge's agreement."""
    for key, result in metrics.systems.items():
        yield from ((f"{key}/{measure}", value) for measure, value in result.measures.items())
        yield from ((f"{key}/with_judge/{measure}", value) for measure, value in (result.with_judge or {}).items())
        if result.latency_ms is not None:
            yield f"{key}/latency_ms_p50", result.latency_ms.p50
            yield f"{key}/latency_ms_p95", result.latency_ms.p95
    for comparison in metrics.comparisons:
        yield f"{comparison.system}/{comparison.measure}/delta", comparison.delta
        yield f"{comparison.system}/{comparison.measure}/p", comparison.p
    if metrics.judge is not None:
        yield from _judge_results(metrics.judge)


def _judge_results(judge: JudgeResult) -> Iterator[tuple[str, float]]:
    """Yield what the judge graded and its agreement with human grades. Leaves out kappas that are undefined."""
    yield "judge/holes", judge.holes
    yield "judge/filled", judge.filled
    if judge.agreement is None:
        return
    agreement = judge.agreement
    yield "judge/agreement/pairs", agreement.pairs
    for name, value, interval in (
        ("kappa", agreement.kappa, agreement.kappa_interval),
        ("binary_kappa", agreement.binary_kappa, agreement.binary_interval),
    ):
        bounds = interval or (None, None)
        points = zip((name, f"{name}_lower", f"{name}_upper"), (value, *bounds), strict=True)
        yield from ((f"judge/agreement/{point}", number) for point, number in points if number is not None)


def _judge_tags(judge: JudgeResult | None) -> dict[str, str]:
    """Return the judge's name and whether it is the teacher or the only source of grades. Empty without a judge."""
    if judge is None:
        return {}
    return {
        "judge": judge.name,
        "judge.same_as_teacher": str(judge.same_as_teacher).lower(),
        "judge.alone": str(judge.alone).lower(),
    }


def metric_name(name: str) -> str:
    """Replace characters that MLflow does not allow in names: "nDCG@10" becomes "nDCG_at_10".

    MLflow allows letters, digits, underscores, dashes, periods, spaces, colons and slashes.
    """
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name.replace("@", "_at_"))


def flatten(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings with dotted names, such as ("training.loss", "ranknet") and ("students.0.kind", ...)."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(settings, Mapping):
        items = settings.items()
    elif isinstance(settings, list):
        items = enumerate(settings)
    else:
        yield prefix, settings
    for key, value in items:
        yield from flatten(value, metric_name(f"{prefix}.{key}" if prefix else str(key)))


def _errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of a tracking server that fails or cannot be reached."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, requests.RequestException, OSError


def _first_line(error: Exception) -> str:
    return without_password(next(iter(str(error).strip().splitlines()), type(error).__name__)[:300])
