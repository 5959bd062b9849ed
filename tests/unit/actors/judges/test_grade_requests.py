"""Requests for grades with a scripted backend: prompts, caching and the status of each answer."""

import asyncio
import re

import pytest
from transformers import AutoTokenizer
from vllm import SamplingParams

from actors.judges.grade_requests import Grader, TokenFiller, cached_grade
from actors.judges.llm_judge import check_judge_model, judge_engine, sampling_of
from actors.vllm.completion import Completion
from actors.vllm.response_cache import ResponseCache
from ranking.errors import InputError
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.prompts.pair_prompts import GRADE, load_pair_prompt
from ranking.records import PairToGrade
from ranking.storage.folder import Folder
from tools.tiny_models import tiny_generator


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_generator(tmp_path_factory.mktemp("model"))


def pair(passage, doc_id="d", query="which?"):
    return PairToGrade(query_id="q", doc_id=doc_id, query=query, passage=passage)


class MessageFiller:
    """A filler for a backend that takes chat messages, such as an HTTP API."""

    def fill(self, query, passage):
        return load_pair_prompt(GRADE).messages(query, passage), 7


class ScriptedBackend:
    """A fake backend that answers with the value of the first script key that the request contains."""

    def __init__(self, script):
        self.script, self.requests, self.sampling = script, [], []

    async def generate(self, request, sampling):
        content = request[-1]["content"]
        self.requests.append(content)
        self.sampling.append(sampling)
        answer = next(answer for word, answer in self.script.items() if word in content)
        if isinstance(answer, Exception):
            raise answer
        text, truncated, _ = answer.partition("…")
        return Completion(text, "length" if truncated else "stop", 10, 1, 0)


def graded(folder, pairs, script):
    """Grade pairs with a new grader on a cache folder. Returns (status, grade) of each pair, and the backend."""
    backend = ScriptedBackend(script)

    async def request():
        cache = ResponseCache(Folder(folder))
        grader = Grader(MessageFiller(), cache, backend.generate, {"temperature": 0.0})
        grades = await asyncio.gather(*map(grader.grade, pairs))
        await cache.write()
        return grades

    return [(one.status, one.grade) for one in asyncio.run(request())], backend


def test_every_answer_has_a_status_and_only_usable_ones_a_grade(tmp_path):
    pairs = [pair("copper is"), pair("lengthy talk"), pair("prose"), pair("broken"), pair(" ")]
    script = {"copper": "2", "lengthy": "The passage…", "prose": "It is a 3", "broken": ValueError("too\nlong")}
    grades, backend = graded(tmp_path, pairs, script)
    assert grades == [("ok", 2), ("truncated", None), ("malformed", None), ("failed", None), ("no_text", None)]
    assert len(backend.requests) == 4
    assert backend.sampling[0] == {"temperature": 0.0}


def test_answers_are_cached_by_content_and_failures_repeated(tmp_path):
    pairs = [pair("copper", "d1"), pair("prose", "d2"), pair("broken", "d3")]
    graded(tmp_path, pairs, {"copper": "2", "prose": "no digit", "broken": ValueError("x")})
    again, backend = graded(tmp_path, [pair("copper", "other id"), *pairs[1:]], {"broken": "1"})
    assert again == [("ok", 2), ("malformed", None), ("ok", 1)]
    assert len(backend.requests) == 1
    _, backend = graded(tmp_path, [pair("copper", query="what?")], {"copper": "0"})
    assert len(backend.requests) == 1


def test_cached_grades_need_no_backend(tmp_path):
    graded(tmp_path, [pair("copper")], {"copper": "3"})
    cache = ResponseCache(Folder(tmp_path))
    assert cached_grade(cache, pair("copper", "d9")).grade == 3
    assert cached_grade(cache, pair("tin")) is None
    assert cached_grade(cache, pair("")).status == "no_text"


def test_filled_prompt_has_query_and_passage_and_fits_the_context(model):
    settings = LlmJudgeSettings(model=str(model), max_document_tokens=1000, engine={"max_model_len": 2048})
    filler = TokenFiller(load_pair_prompt(GRADE), settings)
    tokens, limit = filler.fill("which metal?", "wörd 字 " * 2000)
    assert len(tokens) + settings.max_tokens <= 2048
    assert 8 < limit < 1000
    text = AutoTokenizer.from_pretrained(model).decode(filler.fill("which metal?", "copper")[0])
    assert re.search(r"<<< query ([a-z]{12})\nwhich metal\?\n>>> \1\s+<<< passage \1\ncopper\n>>> \1\n", text)
    with pytest.raises(ValueError, match="prompt exceeds the context of 2048 tokens"):
        filler.fill("which? " * 1600, "word")


def test_decoding_is_greedy_and_constrained_unless_turned_off(model):
    constrained = SamplingParams(**sampling_of(LlmJudgeSettings(model=str(model))))
    assert constrained.structured_outputs.choice == ["0", "1", "2", "3"]
    assert (constrained.temperature, constrained.max_tokens) == (0.0, 16)
    assert sampling_of(LlmJudgeSettings(model=str(model), structured=False)) == {"temperature": 0.0, "max_tokens": 16}


def test_another_dtype_than_the_models_is_an_error():
    settings = LlmJudgeSettings(model="minilm-list", engine={"dtype": "float16"})
    with pytest.raises(InputError, match=r"'evaluation\.judge\.engine': engine\.dtype 'float16': minilm-list needs"):
        judge_engine(settings)


def test_malformed_prompt_is_an_error(model, tmp_path):
    path = tmp_path / "prompt.yaml"
    path.write_text("system: ''\npair: '{query}'\n")
    with pytest.raises(InputError, match=r"must contain \{document\}"):
        check_judge_model(LlmJudgeSettings(model=str(model), prompt=str(path)))
