"""What changes the fingerprint of a student: its base, labels, rationales and training settings."""

import json
import shutil

import pytest

from ranking.errors import InputError
from ray_jobs.common.run import open_run
from students.student_settings import RraBertSettings
from tests.testing.run_fingerprints import fingerprints


def test_changed_weights_in_the_base_folder_change_the_student(dataset, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"some weights")

    def student():
        return fingerprints(
            dataset, "--students", json.dumps([{"name": "s", "kind": "rra_bert", "base": str(tmp_path)}])
        )["student"]

    before = student()
    assert student() == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    changed = student()
    assert changed != before
    (tmp_path / "model.safetensors").write_bytes(b"some weights")
    (tmp_path / "README.md").write_text("words")
    assert student() == before


def test_trained_student_keeps_its_fingerprint_if_its_base_is_gone(dataset, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"some weights")
    overrides = [
        "--students",
        json.dumps([{"name": "s", "kind": "rra_bert", "base": str(base)}]),
        "--storage",
        str(tmp_path),
    ]
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", *overrides])
    stage = run.plan.student(run.settings.students[0])
    stage.finish(rows_in=1, rows_out=1)
    shutil.rmtree(base)
    assert run.plan.student(run.settings.students[0]).fingerprint == stage.fingerprint


def test_default_score_scale_gives_the_fingerprint_of_its_value(dataset, tmp_path):
    for base in ("minilm-cross", "minilm", "any/other", str(tmp_path)):
        students = ("--students", json.dumps([{"name": "s", "kind": "rra_bert", "base": base}]))
        by_scale = {
            scale: fingerprints(dataset, *students, "--training.score_scale", scale)["student"]
            for scale in ("null", "8", "9")
        }
        assert by_scale["null"] == by_scale["8"] != by_scale["9"]


def test_score_scale_of_the_base_folder_changes_the_student(dataset, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"some weights")
    students = ["--students", json.dumps([{"name": "s", "kind": "rra_bert", "base": str(base)}])]

    def student(*overrides):
        storage = ("--storage", str(tmp_path / "runs"))
        arguments = ["--collection.source", f"beir:{dataset}", *students, *storage, *overrides]
        run = open_run([str(dataset / "run.yaml"), *arguments])
        return run.plan.student(run.settings.students[0])

    def set_scale(scale):
        manifest = f"{{license: mit, sha256: '{'0' * 64}', dtype: auto, max_tokens: 64, score_scale: {scale}}}"
        (base / "manifest.yaml").write_text(manifest)

    explicit = ("--training.score_scale", "8")
    without, fixed = student().fingerprint, student(*explicit).fingerprint
    set_scale(20)
    twenty = student()
    assert student(*explicit).fingerprint == fixed
    set_scale(30)
    assert len({without, twenty.fingerprint, student().fingerprint}) == 3
    twenty.finish(rows_in=1, rows_out=1)
    shutil.rmtree(base)
    assert student().fingerprint == twenty.fingerprint
    assert student(*explicit).fingerprint == fixed


def test_only_students_that_learn_from_rationales_depend_on_them(dataset):
    class RationaleStudentSettings(RraBertSettings):
        learns_from_rationales = True

    def run(kind):
        return open_run(
            [
                str(dataset / "run.yaml"),
                "--collection.source",
                f"beir:{dataset}",
                "--storage",
                str(dataset / "runs"),
                "--rationales.kind",
                kind,
            ]
        )

    without, extractive = run("none"), run("extractive")
    assert without.plan.student(RraBertSettings()).fingerprint == extractive.plan.student(RraBertSettings()).fingerprint
    assert (
        without.plan.student(RationaleStudentSettings()).fingerprint
        != extractive.plan.student(RationaleStudentSettings()).fingerprint
    )
    assert not without.plan.reads_rationales(RationaleStudentSettings())


def test_external_labels_count_by_content_not_by_location(dataset, tmp_path):
    def open_named(name, *overrides):
        source = f"beir:{dataset}"
        return open_run(
            [
                str(dataset / "run.yaml"),
                "--collection.source",
                source,
                "--storage",
                str(tmp_path),
                "--run",
                name,
                *overrides,
            ]
        )

    def student_trained_on(run):
        return fingerprints(dataset, "--training.labels", run.folder.path)["student"]

    same, other = open_named("same"), open_named("other", "--teacher.max_tokens", "64")
    with pytest.raises(
        InputError, match=r"setting 'training.labels': no finished labels in .*/same/labels; give the folder of a run"
    ):
        student_trained_on(same)
    for run in (same, other):
        run.plan.labels.finish(rows_in=1, rows_out=1)
    own = fingerprints(dataset)["student"]
    assert student_trained_on(same) == own
    assert student_trained_on(other) != own
    moved = shutil.copytree(other.folder.path, tmp_path / "moved")
    assert fingerprints(dataset, "--training.labels", str(moved))["student"] == student_trained_on(other)


def test_judgements_cannot_be_combined_with_external_labels(dataset):
    with pytest.raises(InputError, match="judgements of this run's own query log"):
        fingerprints(dataset, "--training.labels", "x", "--training.targets", "judgements")


def test_student_depends_on_the_last_estimates_from_clicks(dataset, tmp_path):
    arguments = ["--storage", str(tmp_path), "--training.clicks"]
    with pytest.raises(InputError, match=r"'training\.clicks': no estimates in .*x/clicks; run ray_jobs\.clicks first"):
        fingerprints(dataset, *arguments, "{}")
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(tmp_path)])
    run.plan.clicks.finish(rows_in=0, rows_out=0)
    off, on = fingerprints(dataset, "--storage", str(tmp_path)), fingerprints(dataset, *arguments, "{}")
    assert {name for name in off if off[name] != on[name]} == {"student", "evaluation"}
    assert on != fingerprints(dataset, *arguments, '{"k": 7}')
    # new records make another snapshot possible, but do not retrain by themselves
    (tmp_path / "serving" / "exposures").mkdir(parents=True)
    (tmp_path / "serving" / "exposures" / "part-1.parquet").write_text("")
    assert fingerprints(dataset, *arguments, "{}") == on
    again = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(tmp_path)])
    assert again.plan.clicks.fingerprint != run.plan.clicks.fingerprint
    again.plan.clicks.finish(rows_in=0, rows_out=0)
    assert fingerprints(dataset, *arguments, "{}")["student"] != on["student"]


def test_training_settings_without_clicks_are_those_of_earlier_versions(dataset):
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(dataset)])
    assert "clicks" not in run.plan.student(run.settings.students[0]).settings["training"]
