"""What an evaluation found, as a page for a person; called by `ray_jobs.evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from actors.data.rows import records
from ranking.audit.audit_report import Audit
from ranking.audit.audit_text import text_of
from ranking.evaluation.comparison import PerQuery
from ranking.evaluation.report import ReportData, html_of, label_section, markdown_of
from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import TrecRun
from ranking.records import Label
from ranking.runs.stages import manifest_of
from ranking.storage.folder import Folder
from ray_jobs.audit import AUDIT, PICTURE
from ray_jobs.common import plan
from ray_jobs.common.run import Run
from ray_jobs.evaluation import label_costs
from ray_jobs.train import CURVES

REPORT, MARKDOWN = "report.html", "report.md"
SAMPLED_LABELS = 500
_SEED = 13


def write_report(run: Run, folder: Folder, metrics: Metrics, values: PerQuery, runs: Mapping[str, TrecRun]) -> None:
    """Write report.html and report.md."""
    findings = ReportData(
        run=run.settings.run,
        collection=run.collection,
        metrics=metrics,
        runs=runs,
        values=values,
        budget_ms=run.settings.evaluation.latency_budget_ms,
        first_stage=run.settings.evaluation.first_stages[0],
        curves=curves_of(run),
        reliability=reliability(run),
        labels=labels_told(run),
        audit=audit_of(run),
    )
    folder.write_text(REPORT, html_of(findings))
    folder.write_text(MARKDOWN, markdown_of(findings))


def labels_told(run: Run) -> list[str]:
    """Lines about the labels; none where no student was trained on any."""
    if not run.settings.students:
        return []
    from actors.data.parts import sample_rows

    learned = plan.labels_to_learn(run)
    manifest = manifest_of(learned.folder)
    if manifest is None or manifest.fingerprint != learned.fingerprint:
        return []
    rows = sample_rows(learned.folder, SAMPLED_LABELS, _SEED)
    sample = records(rows, Label) if rows is not None else []
    teacher = sample[0].provenance.teacher if sample else "no teacher"
    return label_section.lines_of(sample, label_costs.priced(run, [manifest]), teacher)


def reliability(run: Run) -> list[tuple[str, float, int]]:
    """How reliable the teacher is on the test lists, where it was asked."""
    if not run.settings.evaluation.teacher:
        return []
    return label_section.reliability_of(plan.labels_stage(run, "test").folder.read_rows(Label), run.collection.qrels)


def curves_of(run: Run) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Every student's training, as far as it was written down."""
    found = {}
    for student in run.settings.students:
        folder = run.folder / "students" / student.name
        if folder.exists(CURVES):
            found[student.name] = json.loads(folder.read_text(CURVES))
    return found


def audit_of(run: Run) -> tuple[str, str] | None:
    """Text and picture of the teacher's audit, where there is one of these settings."""
    if not (run.folder / "audit").exists():
        return None
    stage = plan.audit_stage(run)
    if stage.manifest is None:
        return None
    return text_of(Audit.model_validate_json(stage.folder.read_text(AUDIT))), stage.folder.read_text(PICTURE)
