"""The service's HTTP routes with a model that counts common words, in this process, without Ray.

The model is the only part that is replaced: everything from the middleware to the responses is the service's own.
"""

import re
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

from starlette.testclient import TestClient

from actors.retrieval.retrievers import DOCUMENTS, build_bm25
from actors.serving.http_api.application import api
from actors.serving.ingress import Ingress
from actors.serving.scoring.reranker import ScoredRequest
from actors.serving.scoring.tokenizing import TooLongError
from actors.serving.searcher import PageContent, Searcher
from actors.serving.serving_settings import ServingSettings
from ranking.settings import Bm25Settings, CandidateSettings
from ranking.storage.folder import Folder
from tests.testing.kitchen_collection import kitchen_collection

MAX_WORDS = 30


def word_scores(query, texts, max_words=None):
    """Return per text 2 for each of its words that is in the query, less 0.1 for each other word, and less 1."""
    words = set(query.lower().split())
    cut = [text.lower().split()[: max_words or MAX_WORDS] for text in texts]
    return [sum(2.0 if word in words else -0.1 for word in text) - 1.0 for text in cut]


class WordCounter:
    """Has the interface of `Reranker`. With a first stage, scores are those of the first stage or its order.

    A challenger has the opposite scores of the champion.
    """

    challenger_is_champion = False
    splits_documents = False

    def pairs_to_score(self, texts):
        return len(texts.documents)

    def __init__(self, challenger=None):
        self.challenger = challenger

    def versions(self):
        return {"champion": "words"} | ({"challenger": self.challenger} if self.challenger else {})

    async def matches(self, query, documents):
        words = query.lower().split()
        return [sorted({word for word in re.findall(r"\w+", text) if word.lower() in words}) for text in documents]

    def is_calibrated(self, role):
        return True

    async def score(
        self, texts, caller, role="champion", *, low_priority=False, first_stage=None, needs_calibration=False
    ):
        for i, text in enumerate(texts.documents):
            if not texts.truncate and len(text.split()) > MAX_WORDS:
                raise TooLongError(f"{texts.field}[{i}] and the query have more than {MAX_WORDS} tokens")
        scores = word_scores(texts.query, texts.documents, texts.max_tokens_per_doc)
        if role == "challenger":
            return ScoredRequest([-score for score in scores], self.challenger, 7, 0.0, 0.0)
        if first_stage is None:
            return ScoredRequest(scores, "words", 7, 0.0, 0.0)
        blended = first_stage.scores or [float(-i) for i in range(len(scores))]
        return ScoredRequest(blended, "words", 7, 0.0, 0.0, "ranks, w = 0", scores)


class LocalHandle:
    """Has the interface of a deployment's handle, and calls an object of this process."""

    def __init__(self, deployed):
        self.deployed = deployed

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self.deployed, name))


def kitchen_searcher(folder, worse=None, records_texts=False):
    """Index the kitchen collection with BM25 and return the search page's `Searcher`, without Ray."""
    collection, index = kitchen_collection(), Folder(folder) / "index"
    (index / DOCUMENTS).write_rows("part-0.parquet", collection.documents)
    build_bm25(collection.documents, Bm25Settings(), index / "bm25", "english")
    settings = CandidateSettings(retrievers=[Bm25Settings()])
    page = PageContent(collection.test, collection.qrels, worse)
    vectors, judgements = Folder(folder) / "vectors", Folder(folder) / "judgements"
    return Searcher.func_or_class(index, vectors, settings, page, judgements, records_texts)


@contextmanager
def http_client(folder, searcher=None, **settings):
    """Yield a client of a service. Only one can be used at a time, because its access policy is global.

    Args:
        folder: Folder for the storage root.
        searcher: The `Searcher` of the search page, if any.
        **settings: Settings of `serving`.
    """
    service = Ingress.func_or_class.__mro__[1]  # the class as it is before Ray Serve's decorators
    replica = SimpleNamespace(servable_object=None)

    def reranker(storage, challenger, *_):
        return WordCounter(challenger)

    with (
        mock.patch.dict(service.__init__.__globals__, Reranker=reranker, IngressMetrics=mock.MagicMock),
        mock.patch("ray.serve.get_replica_context", return_value=replica),
    ):
        handle = None if searcher is None else LocalHandle(searcher)
        replica.servable_object = service(Folder(folder), ServingSettings(**settings), handle)
        yield TestClient(api, base_url="http://localhost:8000", raise_server_exceptions=False)
