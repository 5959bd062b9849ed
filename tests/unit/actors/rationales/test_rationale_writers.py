"""Rationale writers with a scripted engine: requests, caching and the status of each response."""

import asyncio

import pytest
from transformers import AutoTokenizer

from actors.data.parts import count_rationale_statuses
from actors.data.rows import Outcome, records, table_of
from actors.rationales.extractive import extract_rationales
from actors.rationales.rationale_requests import Explainer, RationaleFiller
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.vllm.completion import Completion
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.rationale_prompts import load_rationale_prompt
from ranking.records import Label, RationaleList
from ranking.storage.folder import Folder
from tests.testing.synthetic_labels import label_of
from tools.tiny_models import tiny_generator


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_generator(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(model):
    return AutoTokenizer.from_pretrained(model)


class ScriptedEngine:
    """A fake vLLM engine that answers with the value of the first script key that occurs in the prompt.

    An answer that contains "…" ends there, as if truncated. An exception is raised.
    """

    def __init__(self, tokenizer, script):
        self.tokenizer, self.script, self.prompts, self.sampling = tokenizer, script, [], []

    async def generate(self, tokens, sampling):
        prompt = self.tokenizer.decode(tokens)
        self.prompts.append(prompt)
        self.sampling.append(sampling)
        answer = next(answer for word, answer in self.script.items() if word in prompt)
        if isinstance(answer, Exception):
            raise answer
        text, truncated, _ = answer.partition("…")
        reason = "length" if truncated else "stop"
        return Completion(text, reason, prompt_tokens=10, completion_tokens=5, cached_tokens=0)


SCRIPT = {
    "text 1": "It has 1.",
    "text 2": "It lacks a met…",
    "text 3": ValueError("out of\nmemory"),
    "text": "I cannot.",
}


def explain(model, tokenizer, folder, label, script=SCRIPT, **changes):
    """Write rationales for a label. Returns the rationale list, the token counts of new responses, and the engine."""
    settings = LlmRationaleSettings(model=str(model), **changes)
    engine = ScriptedEngine(tokenizer, script)

    async def request():
        cache = ResponseCache(Folder(folder))
        filler = RationaleFiller(load_rationale_prompt(), settings)
        outcome = await Explainer(settings, filler, cache, engine.generate).outcome(label)
        await cache.write()
        return outcome

    outcome = asyncio.run(request())
    assert outcome.rejection is None
    return outcome.row, outcome.tokens, engine


def test_row_contains_every_response_with_its_status(model, tokenizer, tmp_path):
    result, tokens, engine = explain(model, tokenizer, tmp_path, label_of(["d4", "d1"]))
    assert [(r.doc_id, r.relevant, r.status, r.text) for r in result.rationales] == [
        ("d4", True, "refused", "I cannot."),
        ("d1", True, "ok", "It has 1."),
        ("d2", False, "truncated", "It lacks a met"),
        ("d3", False, "failed", "out of memory"),
    ]
    assert (result.writer, result.prompt) == (str(model), load_rationale_prompt().hash)
    assert (result.usage.prompt_tokens, tokens.prompt, tokens.completion) == (30, 30, 15)
    decisions = {prompt.split("decided: ")[1].split(".")[0] for prompt in engine.prompts if "text 1" in prompt}
    assert decisions == {"relevant"}
    assert {prompt.split("decided: ")[1].split(".")[0] for prompt in engine.prompts if "text 2" in prompt} == {
        "not relevant"
    }
    assert engine.sampling[0] == {"temperature": 0.0, "max_tokens": 96}


def test_cached_responses_are_reused_and_failed_requests_repeated(model, tokenizer, tmp_path):
    first, _, _ = explain(model, tokenizer, tmp_path, label_of(["d4", "d1"]))
    again, tokens, engine = explain(model, tokenizer, tmp_path, label_of(["d4", "d1"]), {"text 3": "It has 3."})
    assert len(engine.prompts) == 1
    assert again.rationales[:3] == first.rationales[:3]
    assert (again.rationales[3].text, tokens.prompt, again.usage.prompt_tokens) == ("It has 3.", 10, 40)


def test_request_is_repeated_if_the_relevance_decision_changes(model, tokenizer, tmp_path):
    explain(model, tokenizer, tmp_path, label_of(["d1"], documents=2), {"text": "It has."})
    _, _, engine = explain(model, tokenizer, tmp_path, label_of(["d2", "d1"], documents=2), {"text": "It has."})
    assert [("text 2" in prompt, "decided: relevant" in prompt) for prompt in engine.prompts] == [(True, True)]


def test_sampled_requests_have_distinct_seeds(model, tokenizer, tmp_path):
    _, _, engine = explain(
        model, tokenizer, tmp_path, label_of(["d1"]), {"text": "So."}, temperature=0.7, rationales_per_list=3
    )
    assert len({sampling["seed"] for sampling in engine.sampling}) == 3


def test_passage_is_truncated_until_the_answer_fits(model, tokenizer):
    settings = LlmRationaleSettings(
        model=str(model), max_document_tokens=1000, max_tokens=96, engine={"max_model_len": 1024}
    )
    filler = RationaleFiller(load_rationale_prompt(), settings)
    tokens, limit = filler.fill("which?", "wörd 字 " * 2000, True, "s")
    assert len(tokens) + 96 <= 1024
    assert 8 < limit < 1000
    short = filler.fill("which?", "wörd", True, "s")
    assert short[1] == 1000
    with pytest.raises(
        ValueError, match=r"context of 1024 tokens: \d+ with 8 for each of 1 documents, plus 96 for the answer"
    ):
        filler.fill("which? " * 400, "word", True, "s")


def test_extractive_writer_returns_one_row_per_label(tmp_path):
    labels = [label_of(["d1"]), label_of(["d2"]).model_copy(update={"query_id": "p", "query": "text 2"})]
    outcomes = records(extract_rationales(table_of(labels, Label)), Outcome[RationaleList])
    rows = [outcome.row for outcome in outcomes]
    assert [(row.query_id, row.writer, len(row.rationales)) for row in rows] == [
        ("q", "extractive", 6),
        ("p", "extractive", 6),
    ]
    assert {rationale.status for rationale in rows[0].rationales} == {"unmatched"}
    assert rows[1].rationales[1].text == "text 2"
    Folder(tmp_path).write_rows("part-1.parquet", rows)
    assert count_rationale_statuses(Folder(tmp_path)) == {"unmatched": 6, "ok": 6}
