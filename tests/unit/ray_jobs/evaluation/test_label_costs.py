"""Label costs of the systems of an evaluation."""

import json

import pytest

from ranking.evaluation.comparison import System
from ranking.evaluation.results import SystemResult
from ranking.records import TokenCounts
from ranking.token_prices import TokenPrices
from ray_jobs.common.run import open_run
from ray_jobs.evaluation import label_costs

STUDENTS = json.dumps(
    [{"name": "bert", "kind": "rra_bert", "base": "minilm"}, {"name": "gpt", "kind": "rra_gpt", "base": "b"}]
)


@pytest.fixture
def run(dataset, tmp_path):
    def opened(*overrides):
        arguments = [
            str(dataset / "run.yaml"),
            "--collection.source",
            f"beir:{dataset}",
            "--storage",
            str(tmp_path),
            "--students",
            STUDENTS,
        ]
        return open_run(
            [*arguments, "--rationales.kind", "extractive", "--compute.engine_hour_price", "36", *overrides]
        )

    return opened


def costs(run):
    systems = [
        System(SystemResult(kind=kind, system=name, candidates="bm25", measures={}), {})
        for kind, name in (("first_stage", "bm25"), ("teacher", "teacher"), ("student", "bert"), ("student", "gpt"))
    ]
    label_costs.add_label_costs(run, systems)
    return {system.result.system: system.result.label_cost for system in systems}


def finish(stage, rows, tokens, engines=None):
    stage.begin()
    stage.finish(rows_in=rows, rows_out=rows, tokens=tokens, engines=engines)


def test_costs_cover_training_labels_and_the_teachers_test_labels(run):
    opened_run = run()
    assert set(costs(opened_run).values()) == {None}
    finish(opened_run.plan.labels, 5, TokenCounts(prompt=500, completion=50), engines=2)
    finish(opened_run.plan.test_labels, 2, TokenCounts(prompt=200, completion=20))
    assert costs(opened_run)["gpt"] is None  # no rationales yet
    finish(opened_run.plan.rationales, 5, TokenCounts(prompt=9, completion=1))
    by_system = costs(opened_run)
    assert by_system["bm25"] is None
    assert (by_system["teacher"].labels, by_system["teacher"].prompt_tokens) == (2, 200)
    assert (by_system["bert"].labels, by_system["bert"].prompt_tokens, by_system["bert"].completion_tokens) == (
        5,
        500,
        50,
    )
    assert (by_system["gpt"].labels, by_system["gpt"].prompt_tokens, by_system["gpt"].completion_tokens) == (5, 509, 51)
    assert by_system["bert"].price == pytest.approx(by_system["bert"].seconds / 3600 * 36 * 2)


def test_price_of_hosted_labels_is_their_spend(run):
    opened_run = run()
    for stage, prices in ((opened_run.plan.labels, TokenPrices(2.0, 10.0)), (opened_run.plan.rationales, None)):
        stage.begin()
        stage.finish(rows_in=5, rows_out=5, tokens=TokenCounts(prompt=1_000_000, completion=100_000), prices=prices)
    assert opened_run.plan.labels.manifest.spend == 3.0
    assert costs(opened_run)["gpt"].price == costs(opened_run)["bert"].price == 3.0


def test_no_costs_for_judgements_or_labels_of_other_settings(run):
    opened_run = run()
    finish(opened_run.plan.labels, 5, TokenCounts(prompt=500))
    assert costs(opened_run)["bert"].labels == 5
    assert costs(run("--training.targets", "judgements"))["bert"] is None
    assert costs(run("--pre_ranker.top", "3"))["bert"] is None
