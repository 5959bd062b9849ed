"""Ablations: what an arm changes, what it may not, and how arms are compared."""

import pytest

from ranking.errors import InputError
from ray_jobs import ablate, plan, train
from ray_jobs.run import open_run


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
        ({"training.los": "listnet"}, "setting 'ablation.arms', 'a': unknown setting 'training.los'; did you mean 'loss'?"),
        ({"student.bass": "minilm"}, "did you mean 'base'"),
        ({"teacher.max_tokens": 64}, "'teacher.max_tokens' is none of student.... and training...., all that an arm may change"),
        ({"evaluation.first_stages": ["fused"]}, "all that an arm may change"),
    ],
)
def test_what_an_arm_may_not_change_is_named(run, changed, said):
    with pytest.raises(InputError, match=said.replace("?", r"\?").replace("'", ".")):
        ablate.arm_of(run, "a", changed, 1)


def test_one_arm_alone_is_no_ablation(run):
    with pytest.raises(InputError, match="at least two arms are needed"):
        ablate.main(run)


def test_arms_are_compared_query_by_query_over_the_means_of_their_seeds(run):
    def reached(*per_query):
        return [{"bm25": {"nDCG@10": dict(zip(["q1", "q2"], values, strict=True))}} for values in per_query]

    results = ablate.compared(run, "bm25", {"plain": reached((0.0, 0.4), (0.2, 0.4)), "other": reached((0.5, 0.5), (0.5, 0.3))})
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
    train.write_curves(plan.student_stage(arm, arm.settings.students[0]).folder, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}])
    assert ablate.steps_of(arm) == 2


def test_arms_stand_in_folders_by_names_of_their_own(run):
    assert ablate.arm_of(run, "plain, term layer (λ 0.5)", {}, 1).settings.students[0].name == "plain-term-layer-0.5.1"
    run.settings.ablation.arms = {"a b": {}, "a-b": {"training.loss": "listnet"}}
    with pytest.raises(InputError, match="needs a name that differs in letters or digits, not a b, a-b"):
        ablate.main(run)
