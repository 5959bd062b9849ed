"""The pipeline with Ray Data, vLLM and DeepSpeed on a collection of twelve facts."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sentence_transformers import CrossEncoder

from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import read_trec, to_trec
from ranking.records import CandidateList, Label
from ranking.registry import Registry
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.fact_runs import STAGES, run_with_labels
from tests.testing.facts import ROOT
from tests.testing.programs import run_program
from tools.tiny_models import tiny_student

pytestmark = pytest.mark.timeout(1200)


def test_every_stage_accounts_for_its_queries(finished):
    run = Folder(finished[0]) / "facts"
    for stage in STAGES:
        manifest = Manifest.model_validate_json((run / stage).read_text("_manifest.json"))
        assert manifest.rows_in == manifest.rows_out + manifest.rejected
        assert manifest.rows_out > 0
    labels = list((run / "labels").read_rows(Label))
    assert {label.provenance.targets for label in labels} == {"scores"}
    for label in labels:
        targets = [c.target for c in sorted(label.candidates, key=lambda c: c.position)]
        assert targets == sorted(targets, reverse=True)
        assert label.usage.prompt_tokens > 0


def test_evaluation_contains_every_system_and_its_run(finished):
    folder = finished[0] / "facts" / "evaluation"
    metrics = Metrics.model_validate_json((folder / "metrics.json").read_text())
    expected = {"bm25", "dense", "fused", "pre-ranker@bm25", "pre-ranker@fused"}
    expected |= {
        f"{system}@{stage}"
        for system in ("teacher", "rra-bert.base", "rra-bert", "rra-bert.blended")
        for stage in ("bm25", "fused")
    }
    assert set(metrics.systems) == expected
    assert {check.against for check in metrics.promotion.checks} == {
        "bm25",
        "dense",
        "fused",
        "pre-ranker@bm25",
        "rra-bert.base@bm25",
    }
    for key in expected:
        assert read_trec(folder / "runs" / f"{key}.trec")
    assert metrics.systems["teacher@fused"].measures["nDCG@5"] > 0.5
    student = metrics.systems["rra-bert@bm25"]
    assert student.parity.passed
    assert 0 < student.latency_ms.p50 <= student.latency_ms.p95
    assert student.size.parameters > 20_000_000
    assert metrics.machine.threads >= 1
    assert student.label_cost.labels == len(list((Folder(finished[0]) / "facts" / "labels").read_rows(Label)))
    assert student.label_cost.prompt_tokens > 0
    assert metrics.systems["teacher@bm25"].label_cost.labels == metrics.queries
    assert metrics.systems["bm25"].label_cost is None
    rows = (Folder(folder).read_table("per_query.parquet")).to_pylist()
    values = [row["value"] for row in rows if (row["system"], row["measure"]) == ("rra-bert@bm25", "nDCG@5")]
    assert sum(values) / len(values) == pytest.approx(student.measures["nDCG@5"])
    page = (folder / "report.html").read_text()
    assert len(page) < 2_000_000
    assert page.count("<svg") >= 4  # latency, differences, reliability of the teacher, loss
    assert metrics.promotion.reason in (folder / "report.md").read_text()


def rankings(path):
    """Read a TREC run as {query id: document ids, best first}."""
    documents = {}
    for line in path.read_text().splitlines():
        query_id, _, document_id, *_ = line.split()
        documents.setdefault(query_id, []).append(document_id)
    return documents


def test_evaluation_accepts_external_runs_and_models(finished, settings, cluster):
    facts = finished[0] / "facts"
    changed = {
        "run": "others",
        "students": "[]",
        "evaluation.teacher": "false",
        "evaluation.runs": json.dumps(
            [{"name": "theirs", "path": str(facts / "evaluation" / "runs" / "teacher@bm25.trec")}]
        ),
        "evaluation.models": json.dumps([{"name": "saved", "model": str(facts / "students" / "rra-bert" / "model")}]),
        "evaluation.baseline": "theirs",
    }
    command = [
        sys.executable,
        "-m",
        "ray_jobs.evaluate",
        *settings[1],
        *(part for pair in changed.items() for part in (f"--{pair[0]}", pair[1])),
    ]
    done = run_program(command, cluster, 300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report.html" in done.stdout
    metrics = Metrics.model_validate_json((finished[0] / "others" / "evaluation" / "metrics.json").read_text())
    # without students all judged queries are tested, those of the pipeline's test split among them
    assert set(metrics.systems["theirs"].measures) == set(metrics.systems["saved@bm25"].measures)
    saved = rankings(finished[0] / "others" / "evaluation" / "runs" / "saved@bm25.trec")
    expected = rankings(facts / "evaluation" / "runs" / "rra-bert@bm25.trec")
    assert len(saved) > len(expected) > 0
    assert {query_id: saved[query_id] for query_id in expected} == expected
    assert metrics.baseline == "theirs"
    assert metrics.systems["saved@bm25"].parity.passed
    assert metrics.promotion.reason == "There is no student to promote."
    wrong = run_program([*command, "--evaluation.models", '[{"name": "none", "model": "minilm"}]'], cluster, 300)
    assert wrong.returncode == 2, wrong.stdout + wrong.stderr
    where = "error: setting 'evaluation.models', 'none': model 'minilm'"
    assert wrong.stderr.startswith(f"{where}: has no classification head")
    assert len(wrong.stderr.splitlines()) == 1


def test_second_run_skips_every_stage_and_logs_it(finished, settings, cluster):
    again = run_program([sys.executable, "-m", "ray_jobs.pipeline", *settings[1]], cluster, 300)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("unchanged, skipped") == len(STAGES)
    assert again.stderr == ""


def test_recorded_teacher_trains_a_classifier_and_killed_training_resumes(finished, settings, cluster, tmp_path):
    storage = finished[0]
    lists = list((Folder(storage) / "facts" / "candidates").read_rows(CandidateList))
    recorded = tmp_path / "recorded.trec"
    orders = {row.query_id: [c.doc_id for c in row.candidates[2:5]] for row in lists}
    recorded.write_text(
        to_trec({query: {doc: -rank for rank, doc in enumerate(order)} for query, order in orders.items()}, "elsewhere")
    )
    changed = {
        "run": "recorded",
        "teacher": json.dumps({"kind": "recorded", "path": str(recorded)}),
        "students": json.dumps([{"name": "plain", "kind": "rra_bert", "max_length": 32}]),
        "training.epochs": "4",
        "training.learning_rate": "1e-4",
        "training.calibrate": "teacher",
    }
    command = [
        sys.executable,
        "-m",
        "ray_jobs.pipeline",
        *settings[1],
        *(part for key, value in changed.items() for part in (f"--{key}", value)),
    ]
    run = Folder(storage) / "recorded"
    first = subprocess.Popen(
        command, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    checkpoints = Path(run.path) / "students" / "plain" / "checkpoints"
    deadline = time.monotonic() + 300
    while not any(
        re.search(r'"step": *[1-9]', snapshot.read_text())
        for snapshot in checkpoints.glob("checkpoint_manager_snapshot.json")
    ):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first.kill()
    first.wait()
    before = {name: (run / "labels").read_table(name) for name in (run / "labels").names(".parquet")}
    again = run_program(command, cluster, 500)
    assert again.returncode == 0, again.stdout + again.stderr
    assert re.search(r"resumed after step \d+", again.stdout)
    assert {name: (run / "labels").read_table(name) for name in (run / "labels").names(".parquet")} == before
    labels = list((run / "labels").read_rows(Label))
    assert {label.query_id for label in labels} == set(orders)
    for label in labels:
        listed = sorted((c for c in label.candidates if c.tier == "listed"), key=lambda c: c.position)
        assert [c.doc_id for c in listed] == [
            doc for doc in orders[label.query_id] if doc in {c.doc_id for c in label.candidates}
        ]
    rejected = [
        row["query_id"]
        for name in (run / "rejected").names(".parquet")
        if name.startswith("test-labels-")
        for row in (run / "rejected").read_table(name).to_pylist()
    ]
    assert len(rejected) == Manifest.model_validate_json((run / "test" / "labels").read_text("_manifest.json")).rejected
    metrics = Metrics.model_validate_json((run / "evaluation").read_text("metrics.json"))
    (note,) = [note for note in metrics.notes if note.startswith("plain: the scores are not calibrated: ")]
    assert "at least 10 of each are needed" in note
    assert CrossEncoder(f"{run.path}/students/plain/model", device="cpu").predict([("a", "b")]).shape == (1,)


def test_worse_student_is_not_promoted_and_an_alternative_is_named(finished, settings, cluster, tmp_path):
    folder = run_with_labels("worse", finished)
    labels = list((folder / "labels").read_rows(Label))
    worst_first = {label.query_id: {c.doc_id: -c.target for c in label.candidates} for label in labels}
    (tmp_path / "worst_first.trec").write_text(to_trec(worst_first, "reversed"))
    changed = {
        "run": "worse",
        "teacher": json.dumps({"kind": "recorded", "path": str(tmp_path / "worst_first.trec")}),
        "students": json.dumps([{"name": "worse", "kind": "rra_bert", "base": "minilm-cross", "max_length": 32}]),
        "training.validation_fraction": "0",
        "training.epochs": "6",
        "training.workers": "1",
        "training.learning_rate": "3e-4",
        "evaluation.teacher": "false",
        "evaluation.first_stages": '["fused"]',
    }
    champion = Registry(Folder(finished[0])).read()
    command = [
        sys.executable,
        "-m",
        "ray_jobs.pipeline",
        *settings[1],
        *(part for key, value in changed.items() for part in (f"--{key}", value)),
    ]
    done = run_program(command, cluster, 500)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = Metrics.model_validate_json((folder / "evaluation").read_text("metrics.json"))
    base, student = (metrics.systems[f"{name}@fused"].measures["nDCG@5"] for name in ("worse.base", "worse"))
    assert student < base
    assert (metrics.promotion.champion, metrics.promotion.promoted) == ("worse", False)
    assert metrics.promotion.deploy not in (None, "worse@fused")
    assert "worse is not promoted: " in metrics.promotion.reason
    assert f"Deploy {metrics.promotion.deploy} instead" in metrics.promotion.reason
    assert f"nothing promoted: {metrics.promotion.reason}" in " ".join(done.stdout.split())
    assert Registry(Folder(finished[0])).read() == champion


def test_invalid_setting_is_a_one_line_error_with_exit_code_2(settings, cluster, finished):
    wrong = [*settings[1], "--teacher.modle", "x"]
    done = run_program([sys.executable, "-m", "ray_jobs.pipeline", *wrong], cluster, 120)
    assert done.returncode == 2
    assert "argument --teacher.modle: unknown setting; did you mean --teacher.model?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ablation_trains_all_arms_on_the_same_labels(finished, settings, cluster, tmp_path):
    folder = run_with_labels("ablated", finished)
    arms = {"plain": {}, "ranknet": {"training.loss": "ranknet"}}
    changed = {
        "run": "ablated",
        "students": tiny_student(tmp_path / "base"),
        "training.workers": "1",
        "ablation.seeds": "[1]",
        "ablation.arms": json.dumps(arms),
    }
    command = [
        sys.executable,
        "-m",
        "ray_jobs.ablate",
        *settings[1],
        *(part for key, value in changed.items() for part in (f"--{key}", value)),
    ]
    done = run_program(command, cluster, 400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 queries, re-ranking bm25, 1 seed" in done.stdout
    results = json.loads((folder / "ablation").read_text("results.json"))
    assert [(row["arm"], row["candidates"]) for row in results] == [
        (arm, stage) for stage in ("bm25", "fused") for arm in arms
    ]
    for row in results:
        per_query = json.loads((folder / "ablation" / f"{row['arm']}.1").read_text("per_query.json"))
        ndcg = per_query[row["candidates"]]["nDCG@5"]
        assert len(ndcg) == 6
        assert row["per_seed"] == [pytest.approx(sum(ndcg.values()) / 6)]
        assert row["steps"] > 0
    models = [Path(folder.path, "students", f"{arm}.1", "model", "model.safetensors").read_bytes() for arm in arms]
    assert models[0] != models[1]
