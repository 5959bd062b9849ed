"""What a run's evaluation says that labels took."""

import json

import pytest

from ranking.evaluation.comparison import System
from ranking.evaluation.results import SystemResult
from ranking.records import TokenCounts
from ray_jobs.common import plan
from ray_jobs.common.run import open_run
from ray_jobs.evaluation import label_costs
from tests.unit.ray_jobs.common.test_plan import place  # noqa: F401

STUDENTS = json.dumps(
    [{"name": "bert", "kind": "rra_bert", "base": "minilm"}, {"name": "gpt", "kind": "rra_gpt", "base": "b"}]
)


@pytest.fixture
def run(place, tmp_path):  # noqa: F811
    def opened(*overrides):
        given = [
            str(place / "run.yaml"),
            "--collection.source",
            f"beir:{place}",
            "--storage",
            str(tmp_path),
            "--students",
            STUDENTS,
        ]
        return open_run([*given, "--rationales.kind", "extractive", "--compute.engine_hour_price", "36", *overrides])

    return opened


def costs(run):
    systems = [
        System(SystemResult(kind=kind, system=name, candidates="bm25", measures={}), {})
        for kind, name in (("first_stage", "bm25"), ("teacher", "teacher"), ("student", "bert"), ("student", "gpt"))
    ]
    label_costs.note(run, systems)
    return {system.result.system: system.result.label_cost for system in systems}


def finish(stage, rows, tokens, engines=None):
    stage.begin()
    stage.finish(rows_in=rows, rows_out=rows, tokens=tokens, engines=engines)


def test_students_have_the_costs_of_what_they_learned_from_and_the_teacher_those_of_its_answers(run):
    held = run()
    assert set(costs(held).values()) == {None}
    finish(plan.labels_stage(held), 5, TokenCounts(prompt=500, completion=50), engines=2)
    finish(plan.labels_stage(held, "test"), 2, TokenCounts(prompt=200, completion=20))
    assert costs(held)["gpt"] is None  # its rationales are not there
    finish(plan.rationales_stage(held), 5, TokenCounts(prompt=9, completion=1))
    found = costs(held)
    assert found["bm25"] is None
    assert (found["teacher"].labels, found["teacher"].prompt_tokens) == (2, 200)
    assert (found["bert"].labels, found["bert"].prompt_tokens, found["bert"].completion_tokens) == (5, 500, 50)
    assert (found["gpt"].labels, found["gpt"].prompt_tokens, found["gpt"].completion_tokens) == (5, 509, 51)
    assert found["bert"].price == pytest.approx(found["bert"].seconds / 3600 * 36 * 2)


def test_a_student_of_judgements_and_one_of_other_settings_have_none(run):
    held = run()
    finish(plan.labels_stage(held), 5, TokenCounts(prompt=500))
    assert costs(held)["bert"].labels == 5
    assert costs(run("--training.targets", "judgements"))["bert"] is None
    assert costs(run("--pre_ranker.top", "3"))["bert"] is None
