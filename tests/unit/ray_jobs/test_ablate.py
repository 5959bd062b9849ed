"""Ablation studies: settings that an arm may change, training steps, and the comparison of arms."""

import json

import pytest

from ranking.errors import InputError
from ray_jobs import ablate, train
from ray_jobs.common.run import open_run
from ray_jobs.training import monitoring


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run.yaml").write_text("run: x\nevaluation: {first_stages: [bm25], measures: [nDCG@10]}\n")
    return open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path)])


def test_arm_changes_the_first_student_and_its_training(run):
    arm = ablate.make_arm(run, "term layer", {"student.term_control.form": "layer", "training.loss": "listnet"}, 7)
    (student,) = arm.settings.students
    assert (student.name, student.term_control.form) == ("term-layer.7", "layer")
    assert (arm.settings.training.loss, arm.settings.training.seed) == ("listnet", 7)
    assert run.settings.students[0].term_control.form == "none"
    assert arm.collection is run.collection


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"training.los": "listnet"},
            "setting 'ablation.arms', 'a': unknown setting 'training.los'; did you mean 'loss'?",
        ),
        ({"student.bass": "minilm"}, "did you mean 'base'"),
        (
            {"teacher.max_tokens": 64},
            "an arm can only set student.... and training...., not 'teacher.max_tokens'",
        ),
        ({"evaluation.first_stages": ["fused"]}, "not 'evaluation.first_stages'"),
        ({"training.seed": 7}, "the ablation sets training.seed itself; set the seeds in ablation.seeds"),
        ({"student.name": "x"}, "the ablation sets student.name itself"),
    ],
)
def test_settings_that_an_arm_may_not_change_are_named(run, overrides, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?").replace("'", ".")):
        ablate.make_arm(run, "a", overrides, 1)


def test_arm_may_have_another_kind_of_student(run):
    (student,) = ablate.make_arm(
        run, "a decoder", {"student.kind": "rra_gpt", "student.base": "some/decoder"}, 1
    ).settings.students
    assert (student.kind, student.base, student.max_length) == (
        "rra_gpt",
        "some/decoder",
        run.settings.students[0].max_length,
    )


def test_arm_with_other_lists_trains_for_as_many_steps_as_the_baseline(run, monkeypatch):
    taken = {}

    def values(arm):
        (student,), training = arm.settings.students, arm.settings.training
        lists = 8 if training.targets == "judgements" else 32
        taken[student.name] = training.optimizer_steps(lists - int(training.validation_fraction * lists))
        stage = arm.plan.student(student)
        # `patience` ended the first arm early
        stage.folder.write_text(train.PLANNED, str(taken[student.name]))
        monitoring.write_curves(
            stage.folder, [{"step": 2 if student.name == "plain.1" else taken[student.name], "loss": 0.5}]
        )
        stage.finish(rows_in=32, rows_out=lists)
        return {"bm25": {"nDCG@10": {"q1": 0.5}}}

    monkeypatch.setattr(ablate, "values_of", values)
    monkeypatch.setattr(ablate.label, "main", lambda run: None)
    monkeypatch.setattr(ablate.index, "main", lambda run: None)
    monkeypatch.setattr(ablate.candidates, "retrieve_for_test", lambda run: None)
    run.settings.ablation.seeds = [1]
    judged = {"training.targets": "judgements"}
    run.settings.ablation.arms = {
        "plain": {},
        "supervised": judged,
        "three": {**judged, "training.steps": 3},
        "listnet": {"training.loss": "listnet"},
    }
    ablate.main(run)
    assert taken == {"plain.1": 6, "supervised.1": 6, "three.1": 3, "listnet.1": 6}
    results = json.loads((run.folder / "ablation").read_text("results.json"))
    assert [result["steps"] for result in results] == [2, 6, 3, 6]
    # the same if the baseline has fewer lists
    run.settings.ablation.arms = {
        "judged": judged,
        "taught": {},
        "weighted": {**judged, "training.confidence.weight": True},
    }
    ablate.main(run)
    assert (taken["judged.1"], taken["taught.1"], taken["weighted.1"]) == (2, 2, 2)


def test_missing_student_and_duplicate_seeds_are_rejected(run):
    run.settings.ablation.arms = {"a": {}, "b": {"training.loss": "listnet"}}
    run.settings.ablation.seeds = [13, 14, 13]
    with pytest.raises(InputError, match=r"setting 'ablation.seeds': seeds must be distinct, not 13, 14, 13"):
        ablate.main(run)
    run.settings.students = []
    with pytest.raises(InputError, match="an ablation trains the first student, but the list is empty"):
        ablate.main(run)


def test_single_arm_is_rejected(run):
    with pytest.raises(InputError, match="at least two arms are needed"):
        ablate.main(run)


def test_arms_are_compared_by_per_query_means_over_seeds(run):
    def values(*per_query):
        return [{"bm25": {"nDCG@10": dict(zip(["q1", "q2"], values, strict=True))}} for values in per_query]

    results = ablate.compare_arms(
        run, "bm25", {"plain": values((0.0, 0.4), (0.2, 0.4)), "other": values((0.5, 0.5), (0.5, 0.3))}
    )
    baseline, other = results
    assert (baseline["per_seed"], baseline["mean"]) == (pytest.approx([0.2, 0.3]), pytest.approx(0.25))
    assert baseline["spread"] == pytest.approx(0.0707107, rel=1e-4)
    assert other["mean"] == pytest.approx(0.45)
    # per-query means 0.1 and 0.4 of the baseline, 0.5 and 0.4 of the other arm
    assert other["delta"] == pytest.approx(0.2)
    assert other["baseline"] == "plain"
    assert "baseline" not in baseline
    assert ablate.table_of(run, results).row_count == 2


def test_steps_of_an_arm_come_from_its_curves(run):
    arm = ablate.make_arm(run, "plain", {}, 1)
    monitoring.write_curves(
        arm.plan.student(arm.settings.students[0]).folder, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]
    )
    assert ablate.steps_of(arm) == (2, 2)


def test_arms_have_distinct_folder_names(run):
    assert ablate.make_arm(run, "plain, term layer (0.5)", {}, 1).settings.students[0].name == "plain-term-layer-0.5.1"
    names = {ablate.folder_name(name) for name in ("기본", "용어 층", "arm")}
    assert len(names) == 3
    assert all(name.isascii() for name in names)
    run.settings.ablation.arms = {"a b": {}, "a-b": {"training.loss": "listnet"}}
    with pytest.raises(InputError, match="names must differ in letters or digits, not a b, a-b"):
        ablate.main(run)
