"""The routes' handling of `min_score`, without a Ray cluster: refusals, kept documents, and experiments."""

import asyncio
from types import SimpleNamespace

import pytest
from fastapi import HTTPException, Response

from actors.serving.experiment.traffic import Traffic
from actors.serving.http_api.admission import Admission
from actors.serving.http_api.engine_request import EngineRequest
from actors.serving.http_api.schemas import RerankRequest
from actors.serving.ingress import Ingress
from actors.serving.scoring.reranker import NotCalibratedError, ScoredRequest
from actors.serving.serving_settings import ServingSettings
from ranking.storage.folder import Folder

TEXTS = ["a", "b", "c"]
SCORES = {"champion": [1.0, -1.0, 3.0], "challenger": [-1.0, 2.0, 0.5]}


class TwoModels:
    """Replaces Reranker: fixed scores of two models, of which those in `calibrated` are calibrated."""

    challenger_is_champion = False
    splits_documents = False

    def pairs_to_score(self, texts):
        return len(texts.documents)

    def __init__(self, calibrated):
        self.calibrated = calibrated

    def is_calibrated(self, role):
        return role in self.calibrated

    async def score(self, texts, caller, role, low_priority=False, first_stage=None, needs_calibration=False):
        if needs_calibration and role not in self.calibrated:
            raise NotCalibratedError(f"{role} is not calibrated")
        return ScoredRequest(SCORES[role], role, 9, 0.0, 0.0)


class NullMetrics:
    """Replaces IngressMetrics, which needs a Ray cluster."""

    def __getattr__(self, name):
        return lambda *_: None


@pytest.fixture
def make(tmp_path):
    def made(*calibrated):
        settings = ServingSettings(traffic={"challenger": "b", "experiment": "autumn", "mode": "split", "share": 1.0})
        _, without_serve, *_ = Ingress.func_or_class.__mro__  # Serve's wrapper is the first
        ingress = object.__new__(without_serve)
        ingress._settings, ingress._limits, ingress._metrics = settings, settings.limits, NullMetrics()
        ingress._admission = Admission(settings.limits, False)
        ingress._traffic = Traffic(settings, Folder(tmp_path), ingress._metrics)
        ingress._reranker = TwoModels(calibrated)
        return ingress

    return made


def rerank(ingress, min_score, key=None, top_n=None):
    request = RerankRequest(query="q", documents=TEXTS, min_score=min_score, top_n=top_n)
    raw = SimpleNamespace(headers={} if key is None else {"x-experiment-key": key})
    return asyncio.run(ingress._rerank(request, raw, Response(), "caller", "1"))


def indices(results):
    return [result["index"] for result in results]


def test_documents_below_the_minimum_are_left_out(make):
    ingress = make("champion", "challenger")
    assert indices(rerank(ingress, None)["results"]) == [2, 0, 1]
    assert indices(rerank(ingress, 0.5)["results"]) == [2, 0]
    assert indices(rerank(ingress, 0.5, top_n=1)["results"]) == [2]
    request = EngineRequest(query="q", texts=TEXTS, min_score=0.5)
    assert indices(asyncio.run(ingress.rerank_for_engines(request, Response(), "caller"))) == [2, 0]


def test_uncalibrated_champion_is_a_422_that_names_the_field(make):
    ingress = make()
    request = EngineRequest(query="q", texts=TEXTS, min_score=0.5)
    for call in (
        lambda: rerank(ingress, 0.5),
        lambda: asyncio.run(ingress.rerank_for_engines(request, Response(), "caller")),
    ):
        with pytest.raises(HTTPException) as caught:
            call()
        assert (caught.value.status_code, caught.value.detail) == (422, "min_score: champion is not calibrated")
    assert indices(rerank(ingress, None)["results"]) == [2, 0, 1]


def test_challenger_ranks_requests_with_a_minimum_only_if_calibrated(make):
    both, champion_only = make("champion", "challenger"), make("champion")
    assert rerank(both, 0.5, "user")["model"] == "challenger"
    assert indices(rerank(both, 0.5, "user")["results"]) == [1, 2]
    assert rerank(champion_only, None, "user")["model"] == "challenger"
    assert rerank(champion_only, 0.5, "user")["model"] == "champion"
