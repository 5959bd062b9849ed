"""Write the report of an evaluation as HTML and Markdown; called by `ray_jobs.evaluate`."""

from __future__ import annotations

from collections.abc import Mapping

from actors.data.rows import records
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.audit.audit_report import Audit
from ranking.audit.audit_text import format_audit
from ranking.evaluation.comparison import PerQuery
from ranking.evaluation.report import ReportData, html_of, label_section, markdown_of
from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import TrecRun
from ranking.records import Label
from ranking.runs.stages import manifest_of
from ranking.storage.folder import Folder
from ray_jobs.audit import AUDIT, picture_of
from ray_jobs.common.run import Run
from ray_jobs.training.monitoring import CURVES

REPORT, MARKDOWN = "report.html", "report.md"
SAMPLED_LABELS = 500
_SEED = 13


def write_report(run: Run, folder: Folder, metrics: Metrics, values: PerQuery, runs: Mapping[str, TrecRun]) -> None:
    """Write report.html and report.md."""
    data = ReportData(
        run=run.settings.run,
        collection=run.collection,
        metrics=metrics,
        runs=runs,
        values=values,
        budget_ms=run.settings.evaluation.latency_budget_ms,
        first_stage=run.settings.evaluation.first_stages[0],
        curves=curves_of(run),
        reliability=reliability(run),
        labels=label_lines(run),
        audit=audit_of(run),
    )
    folder.write_text(REPORT, html_of(data))
    folder.write_text(MARKDOWN, markdown_of(data))


def label_lines(run: Run) -> list[str]:
    """Summarise the training labels in lines of text; empty without students or without labels of these settings."""
    if not run.settings.students:
        return []
    from actors.data.parts import sample_rows

    labels = run.plan.labels_for_training
    manifest = manifest_of(labels.folder)
    if manifest is None or manifest.fingerprint != labels.fingerprint:
        return []
    rows = sample_rows(labels.folder, SAMPLED_LABELS, _SEED)
    sample = records(rows, Label) if rows is not None else []
    teacher = sample[0].provenance.teacher if sample else "no teacher"
    cost = label_section.cost_of([manifest], run.settings.compute.engine_hour_price)
    generated = run.collection.generated
    notes = [generated.training_note()] if generated is not None else []
    return [*label_section.lines_of(sample, cost, teacher), *notes]


def reliability(run: Run) -> list[tuple[str, float, int]]:
    """Compute the share of relevant test documents by rank in the teacher's order; empty if it did not label them."""
    if not run.settings.evaluation.teacher:
        return []
    return label_section.reliability_of(run.plan.test_labels.folder.read_rows(Label), run.collection.qrels)


def curves_of(run: Run) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Read the recorded training curves: {student: {curve: [(step, value)]}}."""
    curves = {}
    for student in run.settings.students:
        folder = run.folder / "students" / student.name
        if folder.exists(CURVES):
            curves[student.name] = folder.read_json(CURVES)
    return curves


def audit_of(run: Run) -> tuple[str, str] | None:
    """Return the text and the SVG picture of the teacher's audit; None if there is no audit with these settings.

    The picture is drawn again, because the page contains it as it is: a file on the storage is not trusted as HTML.
    """
    settings = run.settings.teacher
    if not isinstance(settings, ListwiseTeacherSettings | RecordedTeacherSettings):
        return None
    if not (run.folder / "audit").exists():
        return None
    stage = run.plan.audit
    if stage.manifest is None:
        return None
    report = stage.folder.read_model(AUDIT, Audit)
    return format_audit(report), picture_of(report, settings)
