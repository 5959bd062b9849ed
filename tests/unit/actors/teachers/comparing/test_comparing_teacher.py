"""Pairwise and setwise teachers with a scripted engine: labels, ties, statuses, caching and sampling."""

import asyncio
import math
import re

import pytest
from transformers import AutoTokenizer

from actors.teachers.comparing.choice_requests import ChoiceFiller, ChoiceRequester
from actors.teachers.comparing.comparing_settings import PairwiseTeacherSettings, SetwiseTeacherSettings
from actors.teachers.comparing.comparison_outcomes import outcome_of_comparisons
from actors.teachers.comparing.comparison_ranking import ListComparer
from actors.vllm.completion import Completion
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.choice_prompts import load_choice_prompt
from ranking.records import Provenance
from ranking.storage.folder import Folder
from tests.testing.pre_ranked_lists import pre_ranked_list
from tools.tiny_models import tiny_generator

PROVENANCE = Provenance(teacher="t", fingerprint="f", engine="vllm", targets="scores")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_generator(tmp_path_factory.mktemp("model"))


class Judge:
    """A fake vLLM engine that prefers documents with high numbers.

    Args:
        model: Folder of the tokenizer.
        answers: Maps the numbers of the shown documents to an answer that replaces the preferred letter. An exception
            is raised.
        biased: Whether the answer is always A.
    """

    def __init__(self, model, answers=None, biased=False):
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.answers, self.biased, self.prompts, self.sampling = answers or {}, biased, [], []

    async def generate(self, tokens, sampling):
        text = self.tokenizer.decode(tokens)
        shown = tuple(int(number) for number in re.findall(r"some text (\d+)\n>>>", text))
        self.prompts.append(shown)
        self.sampling.append(sampling)
        answer = self.answers.get(shown, "ABCDEFGH"[0 if self.biased else shown.index(max(shown))])
        if isinstance(answer, list):  # the script of several attempts
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        letters = [self.tokenizer.encode(letter)[-1] for letter in "ABCDEFGH"[: len(shown)]]
        logs = {token: math.log(number / sum(shown)) for token, number in zip(letters, shown, strict=True)}
        return Completion(answer, "stop", 100, 1, 0, logs if "logprob_token_ids" in sampling else {})


def settings_of(model, kind="pairwise", **changes):
    return {"pairwise": PairwiseTeacherSettings, "setwise": SetwiseTeacherSettings}[kind](model=str(model), **changes)


def label(settings, engine, folder, row):
    """Label a list. Returns the label or rejection, and the token counts of new responses."""

    async def rank():
        cache = ResponseCache(Folder(folder))
        filler = ChoiceFiller(load_choice_prompt(settings.prompt_file), settings)
        compared = await ListComparer(row, settings, ChoiceRequester(settings, filler, cache, engine.generate)).rank()
        await cache.write()
        return compared

    outcome = outcome_of_comparisons(row, asyncio.run(rank()), settings, PROVENANCE)
    return outcome.row or outcome.rejection, outcome.tokens


def reversed_list(documents):
    """Return a list in which the documents with high numbers, which the judge prefers, are first."""
    row = pre_ranked_list(documents)
    return row.model_copy(update={"picked": row.picked[::-1]})


def ranked(result):
    """Return the ids of the listed documents, best first."""
    listed = [candidate for candidate in result.candidates if candidate.position]
    return [candidate.doc_id for candidate in sorted(listed, key=lambda candidate: candidate.position)]


def test_all_pairs_are_compared_in_both_orders_and_ranked(model, tmp_path):
    engine = Judge(model)
    result, tokens = label(settings_of(model), engine, tmp_path, pre_ranked_list(4))
    assert sorted(engine.prompts) == sorted((i, j) for i in range(1, 5) for j in range(1, 5) if i != j)
    assert ranked(result) == ["d4", "d3", "d2", "d1"]
    targets = [candidate.target for candidate in result.candidates]
    assert targets == sorted(targets)
    assert sum(targets) == pytest.approx(0, abs=1e-6)
    answer = result.answer
    assert (answer.comparisons, answer.unusable, answer.inconsistent, answer.first_chosen) == (12, 0, 0, 6)
    assert (answer.parse_status, answer.missing, result.confidence) == ("ok", 0, 1.0)
    assert (tokens.prompt, tokens.completion, result.usage.prompt_tokens) == (1200, 12, 1200)


def test_answers_that_depend_on_the_order_are_ties(model, tmp_path):
    result, _ = label(settings_of(model), Judge(model, biased=True), tmp_path, pre_ranked_list(3))
    assert [candidate.target for candidate in result.candidates] == pytest.approx([0, 0, 0])
    assert ranked(result) == ["d1", "d2", "d3"]
    assert (result.answer.first_chosen, result.answer.inconsistent, result.confidence) == (6, 3, 0.0)


def test_win_rates_are_shares_of_wins(model, tmp_path):
    engine = Judge(model, {(1, 2): "A"})
    result, _ = label(settings_of(model, scores="win_rate"), engine, tmp_path, pre_ranked_list(3))
    assert [candidate.target for candidate in result.candidates] == [0.25, 0.25, 1.0]
    assert result.confidence == pytest.approx(2 / 3)


def test_log_probabilities_give_soft_wins(model, tmp_path):
    settings = settings_of(model, answer="logprobs", scores="win_rate")
    engine = Judge(model)
    result, _ = label(settings, engine, tmp_path, pre_ranked_list(3))
    expected = [(1 / 3 + 1 / 4) / 2, (2 / 3 + 2 / 5) / 2, (3 / 4 + 3 / 5) / 2]
    assert [candidate.target for candidate in result.candidates] == pytest.approx(expected, abs=1e-6)
    assert result.answer.raw is None
    again, tokens = label(settings, Judge(model), tmp_path, pre_ranked_list(3))
    assert (again, tokens.prompt) == (result, 0)


def test_sparse_pairs_need_fewer_prompts(model, tmp_path):
    engine = Judge(model)
    result, _ = label(settings_of(model, pairs=4), engine, tmp_path, pre_ranked_list(12))
    assert len(engine.prompts) == 12 * 4
    assert ranked(result)[0] == "d12"
    assert result.answer.comparisons == 48


def test_cached_comparisons_are_shared_by_all_methods(model, tmp_path):
    label(settings_of(model), Judge(model), tmp_path, pre_ranked_list(5))
    for changes in ({"pairs": 2}, {"scores": "win_rate"}, {"method": "sliding"}):
        engine = Judge(model)
        result, tokens = label(settings_of(model, **changes), engine, tmp_path, pre_ranked_list(5))
        assert (engine.prompts, tokens.prompt) == ([], 0)
        assert result.usage.prompt_tokens > 0


def test_pair_with_an_unusable_answer_does_not_count(model, tmp_path):
    engine = Judge(model, {(1, 2): "Both.", (3, 1): "I cannot decide."})
    result, _ = label(settings_of(model, answer="text", scores="win_rate"), engine, tmp_path, pre_ranked_list(3))
    assert [candidate.target for candidate in result.candidates] == [0.5, 0.0, 1.0]
    assert (result.answer.unusable, result.answer.comparisons, result.answer.parse_status) == (2, 6, "ok")


def test_list_without_a_usable_pair_is_rejected_with_the_raw_text(model, tmp_path):
    engine = Judge(model, {(1, 2): "Both.", (2, 1): "Neither."})
    result, tokens = label(settings_of(model, answer="text"), engine, tmp_path, pre_ranked_list(2))
    assert (result.reason, result.attempts, result.raw) == ("no usable answer: prose", 2, "Neither.")
    assert tokens.prompt == 200


@pytest.mark.parametrize("changes", [{}, {"method": "sliding"}])
def test_engine_error_rejects_the_list_and_is_retried_in_the_next_run(changes, model, tmp_path):
    settings = settings_of(model, **changes)
    result, _ = label(settings, Judge(model, {(3, 2): ValueError("out of\nmemory")}), tmp_path, pre_ranked_list(3))
    assert (result.reason, result.raw) == ("out of memory", None)
    result, _ = label(settings, Judge(model), tmp_path, pre_ranked_list(3))
    assert ranked(result)[0] == "d3"


def test_list_of_one_candidate_needs_no_prompt(model, tmp_path):
    for settings in (
        settings_of(model),
        settings_of(model, pairs=2),
        settings_of(model, method="sliding"),
        settings_of(model, "setwise"),
    ):
        engine = Judge(model)
        result, _ = label(settings, engine, tmp_path, pre_ranked_list(1))
        assert (ranked(result), engine.prompts, result.confidence) == (["d1"], [], None)


def test_sliding_passes_list_the_best_documents(model, tmp_path):
    engine = Judge(model)
    result, _ = label(settings_of(model, method="sliding", passes=2), engine, tmp_path, pre_ranked_list(4))
    assert ranked(result) == ["d4", "d3"]
    assert [candidate.tier for candidate in result.candidates][:2] == ["hard_negative", "hard_negative"]
    assert (len(engine.prompts), result.answer.missing) == (2 * (3 + 2), 2)


def test_repeated_comparisons_of_a_sort_count_once(model, tmp_path):
    engine = Judge(model)
    settings = settings_of(model, method="sliding", passes=3)
    result, tokens = label(settings, engine, tmp_path, reversed_list(4))
    assert sorted(engine.prompts) == sorted(set(engine.prompts))
    assert result.answer.comparisons == len(engine.prompts) == 6
    assert (result.usage.prompt_tokens, tokens.prompt, result.confidence) == (600, 600, 1.0)


def test_inconsistent_answers_do_not_swap_documents(model, tmp_path):
    settings = settings_of(model, method="sliding", passes=3, missing="append")
    result, _ = label(settings, Judge(model, biased=True), tmp_path, pre_ranked_list(4))
    assert ranked(result) == ["d1", "d2", "d3", "d4"]
    assert result.answer.missing == 1


def test_setwise_finds_the_top_and_labels_the_others_as_omitted(model, tmp_path):
    engine = Judge(model)
    result, _ = label(settings_of(model, "setwise", top=3, size=4), engine, tmp_path, pre_ranked_list(12))
    assert ranked(result) == ["d12", "d11", "d10"]
    assert [candidate.tier for candidate in result.candidates][5:7] == ["hard_negative", "easy_negative"]
    assert all(2 <= len(shown) <= 4 for shown in engine.prompts)
    assert any(list(shown) != sorted(shown) for shown in engine.prompts)
    assert (result.answer.missing, result.answer.comparisons) == (9, len(engine.prompts))
    appended, _ = label(
        settings_of(model, "setwise", top=3, missing="append"), Judge(model), tmp_path, pre_ranked_list(12)
    )
    assert ranked(appended) == ["d12", "d11", "d10", *(f"d{number}" for number in range(1, 10))]


def test_setwise_retries_unusable_answers_in_another_order(model, tmp_path):
    unusable = {shown: ["Both."] for shown in [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)]}

    class Once(Judge):
        async def generate(self, tokens, sampling):
            completion = await super().generate(tokens, sampling)
            self.answers = {}
            return completion

    engine = Once(model, unusable)
    result, _ = label(settings_of(model, "setwise", answer="text", top=1), engine, tmp_path, pre_ranked_list(3))
    assert (ranked(result), result.answer.unusable, result.answer.attempts) == (["d3"], 1, 2)
    engine = Judge(model, dict.fromkeys(unusable, "Both."))
    settings = settings_of(model, "setwise", answer="text", top=1, max_attempts=2, seed=1)
    result, _ = label(settings, engine, tmp_path / "other", pre_ranked_list(3))
    assert (result.reason, result.attempts) == ("no usable answer: prose", 2)


def test_requests_are_constrained_to_the_letters(model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model)
    engine = Judge(model)
    label(settings_of(model), engine, tmp_path, pre_ranked_list(2))
    allowed = {tokenizer.decode([token]).strip() for token in engine.sampling[0]["allowed_token_ids"]}
    assert (allowed, engine.sampling[0]["max_tokens"], engine.sampling[0]["temperature"]) == ({"A", "B"}, 1, 0.0)
    label(settings_of(model, answer="text"), engine, tmp_path / "text", pre_ranked_list(2))
    assert set(engine.sampling[-1]) == {"temperature", "max_tokens"}
