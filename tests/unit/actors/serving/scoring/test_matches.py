"""The words that the demo page marks follow the language of the served student."""

import threading
from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer

from actors.serving.scoring.reranker import Reranker
from ranking.model_paths import model_path


@pytest.mark.parametrize(("language", "expected"), [("english", ["die", "haus"]), ("german", ["haus", "häuser"])])
def test_matches_follow_the_language_of_the_student(language, expected):
    reranker = Reranker.__new__(Reranker)  # without models and threads
    reranker._tokenizers = SimpleNamespace(lock=threading.Lock())
    scorer = SimpleNamespace(tokenizer=AutoTokenizer.from_pretrained(model_path("minilm")), language=language)
    assert reranker._matches(scorer, "die haus", ["die haus häuser"]) == [expected]
