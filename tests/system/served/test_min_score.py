"""Minimum scores in requests: refused for an uncalibrated champion, applied by a calibrated one."""

import time

import pytest

from actors.serving.http_api.rankings import sigmoid
from ranking.storage.folder import Folder
from students import calibrated_head
from students.scoring import Scorer
from tests.testing.calibration import calibration
from tests.testing.serving import QUERY, TEXTS, order

pytestmark = pytest.mark.timeout(600)


def probabilities_of(model):
    """Return the sigmoid of a model's raw score of each text."""
    return [sigmoid(score) for score in Scorer(model.path).score([(QUERY, text) for text in TEXTS])]


@pytest.mark.parametrize(
    ("route", "field"), [("/v1/rerank", "documents"), ("/v2/rerank", "documents"), ("/rerank", "texts")]
)
def test_uncalibrated_champion_refuses_a_minimum_score(service, route, field):
    refused = service.client.post(route, json={"query": QUERY, field: TEXTS, "min_score": 0.5})
    text = refused.json().get("message") or refused.json()["error"]
    assert (refused.status_code, text) == (
        422,
        "min_score: the scores of version a are not calibrated; leave min_score out, or promote a student that was "
        "trained with training.calibrate",
    )
    invalid = service.client.post(route, json={"query": QUERY, field: TEXTS, "min_score": 1.5})
    text = invalid.json().get("message") or invalid.json()["error"]
    assert (invalid.status_code, text) == (422, "min_score: Input should be less than or equal to 1")


@pytest.fixture
def calibrated(service, tmp_path):
    """Promote a calibrated copy of the champion with a blend, and roll back at the end."""
    model = Folder(tmp_path / "calibrated")
    service.models["a"].copy_to(model)
    raw = service.scores()
    middle = sorted(raw)[len(raw) // 2]
    calibrated_head.fold(tmp_path / "calibrated", calibration(0.7, -0.7 * middle - 0.05))
    config = model.read_json("rradistill.json")
    model.write_json("rradistill.json", config | {"blend": {"form": "ranks", "weights": {"ranks": 0.0}}})
    service.registry.promote(model, "calibrated", "test", "for this test")
    wait_for_version(service, "calibrated")
    yield model
    service.registry.rollback("test")
    wait_for_version(service, "a")


def wait_for_version(service, version):
    deadline = time.monotonic() + 120
    while service.rerank().headers["x-model-version"] != version:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_calibrated_champion_leaves_out_documents_below_the_minimum(service, calibrated):
    probabilities = probabilities_of(calibrated)
    ranked = order(probabilities)
    assert ranked == order(service.scores())
    kept = [i for i in ranked if probabilities[i] >= 0.5]
    assert 2 < len(kept) < len(TEXTS)
    results = service.rerank(min_score=0.5).json()["results"]
    assert [result["index"] for result in results] == kept
    expected = pytest.approx([probabilities[i] for i in kept], abs=1e-3)
    assert [result["relevance_score"] for result in results] == expected
    assert [r["index"] for r in service.rerank(min_score=0.5, top_n=2).json()["results"]] == kept[:2]
    assert len(service.rerank(min_score=0.5, top_n=100).json()["results"]) == len(kept)
    assert service.rerank(min_score=1).json()["results"] == []
    body = {"query": QUERY, "texts": TEXTS, "min_score": 0.5}
    assert [result["index"] for result in service.client.post("/rerank", json=body).json()] == kept
    raw = service.client.post("/rerank", json={**body, "raw_scores": True}).json()
    assert [sigmoid(result["score"]) for result in raw] == expected
    # the blend uses only the order of the request, and the minimum still applies to the student's probability
    blended = service.rerank(min_score=0.5, first_stage="order").json()
    assert blended["meta"]["blend"] == "ranks, w = 0"
    assert [result["index"] for result in blended["results"]] == sorted(kept)


def test_uncalibrated_challenger_gets_no_requests_with_a_minimum(service, calibrated):
    keys = [{"x-experiment-key": f"user-{n}"} for n in range(12)]
    arms = {service.rerank(headers=key).headers["x-arm"] for key in keys}
    assert arms == {"champion", "challenger"}
    for key in keys:
        response = service.rerank(headers=key, min_score=0.5)
        assert response.status_code == 200
        assert response.headers["x-model-version"] == "calibrated"
        assert "x-arm" not in response.headers
