"""Ablations: what an arm changes, what it may not, and how arms are compared."""

import json

import pytest

from ranking.errors import InputError
from ray_jobs import ablate, train
from ray_jobs.common import plan
from ray_jobs.common.run import open_run


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run.yaml").write_text("run: x\nevaluation: {first_stages: [bm25], measures: [nDCG@10]}\n")
    return open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path)])


def test_an_arm_changes_the_first_student_and_its_training(run):
    arm = ablate.arm_of(run, "term layer", {"student.term_control.form": "layer", "training.loss": "listnet"}, 7)
    (student,) = arm.settings.students
    assert (student.name, student.term_control.form) == ("term-layer.7", "layer")
    assert (arm.settings.training.loss, arm.settings.training.seed) == ("listnet", 7)
    assert run.settings.students[0].term_control.form == "none"
    assert arm.collection is run.collection


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"training.los": "listnet"},
            "setting 'ablation.arms', 'a': unknown setting 'training.los'; did you mean 'loss'?",
        ),
        ({"student.bass": "minilm"}, "did you mean 'base'"),
        (
            {"teacher.max_tokens": 64},
            "'teacher.max_tokens' is none of student.... and training...., all that an arm may change",
        ),
        ({"evaluation.first_stages": ["fused"]}, "all that an arm may change"),
        ({"training.seed": 7}, "training.seed is the ablation's own to set; seeds stand in ablation.seeds"),
        ({"student.name": "x"}, "student.name is the ablation's own to set"),
    ],
)
def test_what_an_arm_may_not_change_is_named(run, changed, said):
    with pytest.raises(InputError, match=said.replace("?", r"\?").replace("'", ".")):
        ablate.arm_of(run, "a", changed, 1)


def test_an_arm_may_be_of_another_kind(run):
    (student,) = ablate.arm_of(
        run, "a decoder", {"student.kind": "rra_gpt", "student.base": "some/decoder"}, 1
    ).settings.students
    assert (student.kind, student.base, student.max_length) == (
        "rra_gpt",
        "some/decoder",
        run.settings.students[0].max_length,
    )


def test_an_arm_with_other_lists_takes_as_many_steps_as_the_control_unless_it_says_how_many(run, monkeypatch):
    taken = {}

    def values(arm):
        (student,), training = arm.settings.students, arm.settings.training
        lists = 8 if training.targets == "judgements" else 32
        taken[student.name] = training.steps_over(lists - int(training.validation_fraction * lists))
        stage = plan.student_stage(arm, student)
        # the first was ended early by `patience`
        stage.folder.write_text(train.PLANNED, str(taken[student.name]))
        train.write_curves(
            stage.folder, [{"step": 2 if student.name == "plain.1" else taken[student.name], "loss": 0.5}]
        )
        stage.finish(rows_in=32, rows_out=lists)
        return {"bm25": {"nDCG@10": {"q1": 0.5}}}

    monkeypatch.setattr(ablate, "values_of", values)
    monkeypatch.setattr(ablate.label, "main", lambda run: None)
    monkeypatch.setattr(ablate.index, "main", lambda run: None)
    monkeypatch.setattr(ablate.candidates, "find_for_test", lambda run: None)
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
    assert [one["steps"] for one in results] == [2, 6, 3, 6]
    # and where the first learns from fewer
    run.settings.ablation.arms = {
        "judged": judged,
        "taught": {},
        "weighted": {**judged, "training.confidence.weight": True},
    }
    ablate.main(run)
    assert (taken["judged.1"], taken["taught.1"], taken["weighted.1"]) == (2, 2, 2)


def test_no_student_and_a_seed_that_stands_twice_are_refused(run):
    run.settings.ablation.arms = {"a": {}, "b": {"training.loss": "listnet"}}
    run.settings.ablation.seeds = [13, 14, 13]
    with pytest.raises(InputError, match=r"setting 'ablation.seeds': each once, not 13, 14, 13"):
        ablate.main(run)
    run.settings.students = []
    with pytest.raises(InputError, match="an ablation trains the first student, and there is none"):
        ablate.main(run)


def test_one_arm_alone_is_no_ablation(run):
    with pytest.raises(InputError, match="at least two arms are needed"):
        ablate.main(run)


def test_arms_are_compared_query_by_query_over_the_means_of_their_seeds(run):
    def reached(*per_query):
        return [{"bm25": {"nDCG@10": dict(zip(["q1", "q2"], values, strict=True))}} for values in per_query]

    results = ablate.compared(
        run, "bm25", {"plain": reached((0.0, 0.4), (0.2, 0.4)), "other": reached((0.5, 0.5), (0.5, 0.3))}
    )
    control, other = results
    assert (control["per_seed"], control["mean"]) == (pytest.approx([0.2, 0.3]), pytest.approx(0.25))
    assert control["spread"] == pytest.approx(0.0707107, rel=1e-4)
    assert other["mean"] == pytest.approx(0.45)
    # per query 0.1 and 0.4 against 0.5 and 0.4
    assert other["delta"] == pytest.approx(0.2)
    assert other["control"] == "plain"
    assert "control" not in control
    assert ablate.table_of(run, results).row_count == 2


def test_the_steps_of_an_arm_are_those_of_its_curves(run):
    arm = ablate.arm_of(run, "plain", {}, 1)
    train.write_curves(
        plan.student_stage(arm, arm.settings.students[0]).folder, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]
    )
    assert ablate.steps_of(arm) == (2, 2)


def test_arms_stand_in_folders_by_names_of_their_own(run):
    assert ablate.arm_of(run, "plain, term layer (0.5)", {}, 1).settings.students[0].name == "plain-term-layer-0.5.1"
    names = {ablate.folder_name(name) for name in ("기본", "용어 층", "arm")}
    assert len(names) == 3
    assert all(name.isascii() for name in names)
    run.settings.ablation.arms = {"a b": {}, "a-b": {"training.loss": "listnet"}}
    with pytest.raises(InputError, match="needs a name that differs in letters or digits, not a b, a-b"):
        ablate.main(run)
