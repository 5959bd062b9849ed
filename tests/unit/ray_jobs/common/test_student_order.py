"""Order of training, fingerprints and errors of students that are distilled from other students."""

import json

import pytest

from ranking.errors import InputError
from ray_jobs import ablate
from ray_jobs.common.run import open_run
from ray_jobs.common.student_order import training_order
from ray_jobs.training import source_scores
from students.student_settings import RraBertSettings, RraGptSettings


def student(name, source=None, **settings):
    distillation = None if source is None else {"student": source}
    return RraBertSettings(name=name, distillation=distillation, **settings)


def names(students):
    return [one.name for one in training_order(students)]


def open_with(dataset, *students, **overrides):
    """Open a run with these students, given as dictionaries without their kind."""
    listed = json.dumps([{"kind": "rra_bert", **one} for one in students])
    arguments = [part for name, value in overrides.items() for part in (f"--{name}", value)]
    return open_run(
        [str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(dataset / "runs"),
         "--students", listed, *arguments]
    )  # fmt: skip


def fingerprint(run, name):
    return next(run.plan.student(one).fingerprint for one in run.settings.students if one.name == name)


def test_source_is_trained_first_and_other_students_keep_their_order():
    assert names([student("a"), student("b")]) == ["a", "b"]
    assert names([student("tiny", "small"), student("other"), student("small", "large"), student("large")]) == [
        *("large", "small", "tiny"),
        "other",
    ]
    assert names([student("small", "gpt"), RraGptSettings(name="gpt", base="b")]) == ["gpt", "small"]


@pytest.mark.parametrize(
    ("students", "message"),
    [
        ([("a", "a")], "setting 'students': student 'a' cannot be distilled from itself; name another student"),
        (
            [("a", "b")],
            "setting 'students': student 'a' is distilled from the unknown 'b'; add that student to the run",
        ),
        (
            [("a", "x"), ("b", None)],
            "setting 'students': student 'a' is distilled from the unknown 'x'; use one of b",
        ),
        (
            [("c", "a"), ("a", "b"), ("b", "a")],
            "setting 'students': students are distilled from each other in a cycle, 'a' from 'b' from 'a'; remove one "
            "of their distillation settings",
        ),
    ],
)
def test_impossible_sources_are_errors_of_one_line(students, message):
    with pytest.raises(InputError) as error:
        training_order([student(*one) for one in students])
    assert str(error.value) == message


def test_run_file_with_an_unknown_source_is_rejected_when_it_is_read(dataset):
    with pytest.raises(InputError, match=r"run\.yaml: setting 'students': student 'a' is distilled from the unknown"):
        open_with(dataset, {"name": "a", "distillation": {"student": "b"}})


def test_student_depends_on_the_student_that_it_is_distilled_from(dataset):
    small = {"name": "small", "layers": 2, "distillation": {"student": "large"}}
    before = open_with(dataset, small, {"name": "large"}, {"name": "other", "layers": 2})
    after = open_with(dataset, small, {"name": "large", "max_length": 200}, {"name": "other", "layers": 2})
    changed = {name: fingerprint(before, name) != fingerprint(after, name) for name in ("large", "small", "other")}
    assert changed == {"large": True, "small": True, "other": False}


def test_layers_and_distillation_change_the_student_that_has_them(dataset):
    large, small = {"name": "large"}, {"name": "small"}
    variants = [
        small,
        small | {"layers": 4},
        small | {"layers": 3},
        small | {"distillation": {"student": "large"}},
        small | {"distillation": {"student": "large", "loss": "margin_mse"}},
        small | {"distillation": {"student": "large", "weight": 0.4}},
    ]
    runs = [open_with(dataset, large, variant) for variant in variants]
    assert len({fingerprint(run, "small") for run in runs}) == len(variants)
    assert len({fingerprint(run, "large") for run in runs}) == 1


def test_unset_layers_and_distillation_are_in_no_fingerprint(dataset):
    run = open_with(dataset, {"name": "large"})
    assert {"layers", "distillation"} & set(run.plan.student(run.settings.students[0]).settings["student"]) == set()


def test_scores_are_one_stage_for_all_students_with_the_same_source(dataset):
    run = open_with(
        dataset, *({"name": name, "distillation": {"student": "large"}} for name in "ab"), {"name": "large"}
    )
    longer = open_with(dataset, {"name": "large", "max_length": 200})
    stages = [one.plan.source_scores(one.settings.students[-1]) for one in (run, longer)]
    assert stages[0].name == stages[1].name == "scores/large"
    assert stages[0].fingerprint != stages[1].fingerprint
    assert (
        stages[0].fingerprint
        != open_with(dataset, {"name": "large"}, **{"teacher.max_tokens": "64"})
        .plan.source_scores(run.settings.students[-1])
        .fingerprint
    )


def test_finished_scores_are_not_computed_again(dataset):
    run = open_with(dataset, {"name": "small", "distillation": {"student": "large"}}, {"name": "large"})
    small, large = run.settings.students
    assert source_scores.score_labels(run, large, run.plan.labels_for_training, "model") is None
    with pytest.raises(InputError, match=r"student small: student 'large', which it is distilled from, is not trained"):
        source_scores.score_labels(run, small, run.plan.labels_for_training, "model")
    stage = run.plan.source_scores(large)
    stage.begin()
    stage.finish(rows_in=1, rows_out=1)
    assert source_scores.score_labels(run, small, run.plan.labels_for_training, "model").uri == stage.folder.uri


def test_ablation_arms_cannot_be_distilled_from_another_student(dataset):
    run = open_with(dataset, {"name": "small", "distillation": {"student": "large"}}, {"name": "large"})
    with pytest.raises(InputError, match=r"'ablation\.arms', 'plain': an arm trains one student, .* set student\.dist"):
        ablate.make_arm(run, "plain", {}, 1)
    arm = ablate.make_arm(run, "alone", {"student.distillation": None, "student.layers": 3}, 1)
    assert (arm.settings.students[0].layers, arm.settings.students[0].distillation) == (3, None)
