"""MLflow tracking: what is logged, once per result, and what happens without a server or without MLflow."""

import json

import pytest
from mlflow import MlflowClient

from ranking.errors import InputError
from ranking.evaluation.judge_results import Agreement, JudgeResult
from ranking.evaluation.results import Metrics, PromotionDecision, SystemResult
from ray_jobs.common.run import open_run
from ray_jobs.tracking import mlflow_tracking
from ray_jobs.training.monitoring import write_curves

METRICS = Metrics(
    collection="c",
    split="test",
    queries=3,
    systems={
        "rra-bert@fused": SystemResult(
            kind="student", system="rra-bert", candidates="fused", measures={"nDCG@10": 0.5, "Judged@10": 1.0}
        )
    },
    comparisons=[],
    promotion=PromotionDecision(champion="rra-bert", promoted=True, reason="It is better.", deploy="rra-bert@fused"),
)


@pytest.fixture
def run_with(dataset, tmp_path, monkeypatch):
    """Return a function that opens a run with settings of MLflow. Its student is trained and its evaluation written."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def open_with(**settings):
        arguments = ["--collection.source", f"beir:{dataset}", "--storage", str(tmp_path / "runs")]
        run = open_run([str(dataset / "run.yaml"), *arguments, "--mlflow", json.dumps(settings)])
        student = run.plan.student(run.settings.students[0]).folder
        write_curves(student, [{"step": 1, "loss": 0.9}, {"step": 2, "loss": 0.4, "validation": 0.7}])
        (student / "model").write_text("config.json", "{}")
        for name in ("report.html", "report.md", "metrics.json"):
            run.plan.evaluation.folder.write_text(name, name)
        return run

    return open_with


def logged_run(tmp_path, experiment="rradistill"):
    client = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, found


def test_settings_curves_metrics_report_and_model_are_logged(run_with, tmp_path):
    run = run_with(experiment="search")
    mlflow_tracking.check(run)
    mlflow_tracking.log_student(run, run.settings.students[0])
    mlflow_tracking.log_evaluation(run, METRICS)
    client, found = logged_run(tmp_path, "search")
    assert found.data.params["training.loss"] == run.settings.training.loss
    assert found.data.params["students.0.kind"] == "rra_bert"
    loss = client.get_metric_history(found.info.run_id, "rra-bert/loss")
    assert [(point.step, point.value) for point in loss] == [(1, 0.9), (2, 0.4)]
    assert found.data.metrics["rra-bert/validation nDCG_at_10"] == 0.7
    assert found.data.metrics["rra-bert_at_fused/nDCG_at_10"] == 0.5
    assert (found.data.tags["promoted"], found.data.tags["reason"]) == ("true", "It is better.")
    files = {
        item.path
        for folder in ("evaluation", "students/rra-bert/model")
        for item in client.list_artifacts(found.info.run_id, folder)
    }
    assert files == {
        "evaluation/report.html",
        "evaluation/report.md",
        "evaluation/metrics.json",
        "students/rra-bert/model/config.json",
    }
    assert (tmp_path / "runs" / "mlflow-artifacts").is_dir()


def judged_metrics(**judge):
    """Return results with a judge."""
    metrics = METRICS.model_copy(deep=True)
    metrics.systems["rra-bert@fused"].with_judge = {"nDCG@10": 0.75, "Judged@10": 1.0}
    metrics.judge = JudgeResult(kind="llm", name="org/judge", depth=10, scale=[0, 1, 2, 3], holes=9, filled=8, **judge)
    return metrics


def test_judged_measures_and_agreement_are_logged(run_with, tmp_path):
    agreement = Agreement(
        pairs=40,
        queries=9,
        relevant=2,
        kappa=0.5,
        kappa_interval=(0.4, 0.6),
        binary_kappa=0.625,
        binary_interval=None,
        confusion={},
    )
    mlflow_tracking.log_evaluation(run_with(), judged_metrics(agreement=agreement, same_as_teacher=True))
    _, found = logged_run(tmp_path)
    assert found.data.metrics["rra-bert_at_fused/nDCG_at_10"] == 0.5
    assert found.data.metrics["rra-bert_at_fused/with_judge/nDCG_at_10"] == 0.75
    assert {name: value for name, value in found.data.metrics.items() if name.startswith("judge/")} == {
        "judge/holes": 9,
        "judge/filled": 8,
        "judge/agreement/pairs": 40,
        "judge/agreement/kappa": 0.5,
        "judge/agreement/kappa_lower": 0.4,
        "judge/agreement/kappa_upper": 0.6,
        "judge/agreement/binary_kappa": 0.625,
    }
    tags = {name: value for name, value in found.data.tags.items() if name.startswith("judge")}
    assert tags == {"judge": "org/judge", "judge.same_as_teacher": "true", "judge.alone": "false"}


def test_judge_without_agreement_logs_no_kappa(run_with, tmp_path):
    mlflow_tracking.log_evaluation(run_with(), judged_metrics(alone=True))
    _, found = logged_run(tmp_path)
    assert {name for name in found.data.metrics if name.startswith("judge/")} == {"judge/holes", "judge/filled"}
    assert found.data.tags["judge.alone"] == "true"


def test_evaluation_without_a_judge_logs_nothing_of_it(run_with, tmp_path):
    mlflow_tracking.log_evaluation(run_with(), METRICS)
    _, found = logged_run(tmp_path)
    assert not [name for name in [*found.data.metrics, *found.data.tags] if "judge" in name.split("/")[0].split(".")]
    assert not [name for name in found.data.metrics if "with_judge" in name]


def test_results_are_logged_once_and_other_settings_get_another_run(run_with, tmp_path):
    run = run_with(models=False)
    for _ in range(2):
        mlflow_tracking.log_student(run, run.settings.students[0])
    client, found = logged_run(tmp_path)
    assert len(client.get_metric_history(found.info.run_id, "rra-bert/loss")) == 2
    assert not client.list_artifacts(found.info.run_id)
    run = run_with(models=False)
    run.settings.training.learning_rate = 0.5
    mlflow_tracking.log_student(run, run.settings.students[0])
    assert len(client.search_runs([found.info.experiment_id])) == 2


def test_failing_server_is_an_error_at_the_start_and_a_note_later(run_with, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    run = run_with()
    with pytest.raises(InputError, match=r"setting 'mlflow.uri': http://127\.0\.0\.1:9: ") as raised:
        mlflow_tracking.check(run)
    assert "secret" not in str(raised.value)
    mlflow_tracking.log_evaluation(run, METRICS)
    printed = capsys.readouterr().out
    assert "evaluation not logged" in printed
    assert "secret" not in printed


def test_missing_mlflow_names_the_extra(run_with, monkeypatch):
    run = run_with()
    monkeypatch.setattr(mlflow_tracking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'rradistill\[mlflow\]'"):
        mlflow_tracking.check(run)


def test_runs_without_the_setting_do_not_touch_mlflow(run_with, monkeypatch, tmp_path):
    run = run_with()
    run.settings.mlflow = None
    monkeypatch.setattr(mlflow_tracking.importlib.util, "find_spec", lambda name: None)
    mlflow_tracking.check(run)
    mlflow_tracking.log_evaluation(run, METRICS)
    assert not (tmp_path / "runs" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nDCG@10", "nDCG_at_10"), ("a/R@50", "a/R_at_50"), ("über (x)", "über _x_"), ("training.loss", "training.loss")],
)
def test_metric_names_have_only_allowed_characters(name, expected):
    assert mlflow_tracking.metric_name(name) == expected
