"""The route for feedback: what is recorded, what is refused, and what happens if it cannot be recorded."""

import gc
import json
import logging
import resource
from contextlib import contextmanager

import pytest

from actors.serving.experiment.signing import VARIABLE, Secret
from tests.testing.http_service import http_client

SECRET = "x" * 40
EVENT = {"exposure_id": Secret(SECRET).sign("e1"), "kind": "click", "position": 2, "event_id": "f1"}


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)
    monkeypatch.setenv("RRADISTILL_JOURNALS", str(tmp_path / "journals"))
    with http_client(tmp_path / "storage", record={"exposures": True, "flush_seconds": 1000}) as service:
        yield service
    gc.collect()  # the service writes its journals when it is deleted, and needs their folder


@contextmanager
def failing_disk():
    """Let every write to a file fail, as on a full disk, by a limit of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def recorded(folder):
    """List the events in the journals of feedback."""
    files = [path for path in (folder / "journals").rglob("*.journal") if path.parent.name == "feedback"]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def test_feedback_that_cannot_be_recorded_is_a_503_and_may_be_repeated(client, tmp_path, caplog):
    with caplog.at_level(logging.ERROR, "ray.serve"), failing_disk():
        response = client.post("/v1/feedback", json=EVENT)
    assert response.status_code == 503
    assert response.json()["message"] == "the feedback was not recorded; send it again later"
    assert "cannot record feedback: " in caplog.text
    assert recorded(tmp_path) == []
    response = client.post("/v1/feedback", json=EVENT)
    assert (response.status_code, response.json()) == (202, {"event_id": "f1"})
    assert [(one["event_id"], one["exposure_id"]) for one in recorded(tmp_path)] == [("f1", EVENT["exposure_id"])]


def test_feedback_on_an_unknown_exposure_is_refused(client, tmp_path):
    response = client.post("/v1/feedback", json=EVENT | {"exposure_id": "e1.forged"})
    assert response.status_code == 422
    assert response.json()["message"] == "exposure_id: not an id that this service has returned"
    assert recorded(tmp_path) == []


def test_feedback_is_refused_if_exposures_are_not_recorded(tmp_path):
    with http_client(tmp_path) as service:
        response = service.post("/v1/feedback", json=EVENT)
    assert response.status_code == 422
    assert response.json()["message"] == "feedback is not recorded; set serving.record.exposures to true"
