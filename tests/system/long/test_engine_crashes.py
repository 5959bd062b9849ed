"""A prompt that crashes its vLLM engine is quarantined, and the other lists are labelled."""

import pytest

from ranking.records import Label, Rejection
from tests.testing.crashing_processor import CRASHING_QUERY
from tests.testing.fact_runs import label_facts
from tests.testing.facts import QUESTIONS
from tools.tiny_models import tiny_generator

ENGINE = {
    "dtype": "float32",
    "max_model_len": 2048,
    "enforce_eager": True,
    "max_num_seqs": 16,
    "logits_processors": ["tests.testing.crashing_processor:CrashingProcessor"],
}


@pytest.mark.timeout(1200)
def test_prompt_that_crashes_the_engine_is_rejected_others_are_labelled(tmp_path, finished, settings, cluster):
    (crashing,) = (query_id for query_id, text, _ in QUESTIONS if text == CRASHING_QUERY)
    teacher = {"kind": "listwise", "model": str(tiny_generator(tmp_path)), "engine": ENGINE}
    folder, manifest = label_facts("deadly", teacher, finished, settings, cluster, timeout=800)
    rejected = [row for row in (folder / "rejected").read_rows(Rejection) if row.stage == "labels"]
    assert [(row.query_id, row.attempts) for row in rejected] == [(crashing, 1)]
    assert rejected[0].reason.startswith("the vLLM engine crashed each time it processed this prompt")
    assert len(list((folder / "labels").read_rows(Label))) == manifest.rows_in - 1 > 0
