"""Grades of a hosted judge from a scripted server: prompts, JSON, caching, deferral, batch files and costs."""

import asyncio

import pytest

from actors.compute_settings import ComputeSettings
from actors.hosted.batch_publication import publish
from actors.hosted.batch_requests import BatchRequests
from actors.hosted.batch_results import ingest
from actors.hosted.batch_state import BatchFolders
from actors.hosted.chat_client import ChatClient
from actors.hosted.deferral import gather_present
from actors.hosted.spend_ledger import SpendLedger
from actors.judges import check_judge_of, make_judge
from actors.judges.grade_costs import estimate_grades, format_grade_costs
from actors.judges.grade_requests import Grader
from actors.judges.hosted_judge import GradeMessageFiller, HostedJudge, hosted_sampling
from actors.vllm.response_cache import ResponseCache
from ranking.errors import InputError
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.records import PairToGrade
from ranking.storage.folder import Folder
from tests.testing.batch_service import put_results, requests_in, result
from tools.chat_server import Reply, chat_server, completion, error

PRICES = {"input_price": 10.0, "output_price": 0.0, "concurrency": 1}  # 0.001 for each answer of 100 prompt tokens
TEXTS = ["copper is a metal", "tin is too", "iron"]


def judge_settings(url="http://h/v1", backend="openai", hosted=None, **judge):
    hosted = {"url": url, "api_key_env": None, **(hosted or {})}
    return LlmJudgeSettings(model="m", backend=backend, hosted=hosted, **judge)


def pairs_of(texts):
    return [PairToGrade(query_id="q", doc_id=f"d{n}", query="which?", passage=text) for n, text in enumerate(texts)]


def graded(settings, folder, texts, generate):
    """Grade passages with a generation function. Returns the grades of those that are not deferred."""

    async def run():
        cache = ResponseCache(Folder(folder))
        grader = Grader(GradeMessageFiller(settings), cache, generate, hosted_sampling(settings))
        grades, failure = await gather_present(grader.grade(pair) for pair in pairs_of(texts))
        assert failure is None
        await cache.write()
        return [(one.doc_id, one.status, one.grade) for one in grades]

    return asyncio.run(run())


def ask(decide, folder, *texts, hosted=None, **judge):
    """Grade passages with a scripted server. Returns the grades, the ledger's summary and the requests."""
    with chat_server(decide) as server:
        settings = judge_settings(server.url, hosted=hosted, **judge)
        ledger = SpendLedger(Folder(folder), settings.hosted.prices, settings.hosted.spend_cap)
        client = ChatClient(settings.hosted, settings.model, ledger, "evaluation.judge.hosted")
        grades = graded(settings, folder, texts, client.generate)
    return grades, asyncio.run(ledger.summary()), server.received


def always(text):
    return lambda *_: Reply(completion(text))


def test_answers_are_json_with_a_schema_and_asked_once(tmp_path):
    grades, _, (request,) = ask(always('{"grade": 2}'), tmp_path, TEXTS[0])
    assert grades == [("d0", "ok", 2)]
    schema = request.body["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("grade", True)
    assert schema["schema"]["properties"] == {"grade": {"type": "integer", "enum": [0, 1, 2, 3]}}
    content = request.body["messages"][-1]["content"]
    assert "which?" in content
    assert content.endswith('{"grade": digit}')
    assert {name: request.body[name] for name in ("model", "temperature", "max_tokens")} == {
        "model": "m",
        "temperature": 0.0,
        "max_tokens": 16,
    }
    again, _, requests = ask(always("0"), tmp_path, TEXTS[0])
    assert (again, requests) == (grades, [])


def test_server_without_the_format_is_asked_for_a_digit(tmp_path):
    def decide(body, _):
        return error(400, "response_format is not supported") if "response_format" in body else always("1")()

    grades, _, (first, second) = ask(decide, tmp_path, TEXTS[0])
    assert grades == [("d0", "ok", 1)]
    assert "JSON" not in second.body["messages"][-1]["content"]
    assert first.body["messages"][:-1] == second.body["messages"][:-1]


def test_free_text_is_asked_for_where_json_is_turned_off(tmp_path):
    for name, settings in (("judge", {"structured": False}), ("host", {"hosted": {"structured": "none"}})):
        _, _, (request,) = ask(always("1"), tmp_path / name, TEXTS[0], **settings)
        assert "response_format" not in request.body


def test_json_schema_makes_a_refused_format_an_error(tmp_path):
    refused = error(400, "response_format is not supported")
    grades, summary, _ = ask(lambda *_: refused, tmp_path, TEXTS[0], hosted={"structured": "json_schema"})
    assert (grades, summary.stop.kind) == ([], "input")


def test_thinking_of_the_server_is_not_part_of_the_grade(tmp_path):
    decide = lambda *_: Reply(completion("2", reasoning_content="It might be a 3."))  # noqa: E731
    grades, _, _ = ask(decide, tmp_path, TEXTS[0], max_tokens=900)
    assert grades == [("d0", "ok", 2)]


def test_refused_prompt_has_no_grade_and_others_do(tmp_path):
    def decide(body, _):
        shown = body["messages"][-1]["content"]
        return error(400, "content filter", "content_filter") if "iron" in shown else always("3")()

    grades, summary, _ = ask(decide, tmp_path, *TEXTS, hosted={"concurrency": 1})
    assert grades == [("d0", "ok", 3), ("d1", "ok", 3), ("d2", "failed", None)]
    assert summary.stop is None


def test_job_stops_at_the_cap_and_pays_only_for_the_rest(tmp_path):
    grades, summary, requests = ask(always("1"), tmp_path, *TEXTS, hosted=PRICES | {"spend_cap": 0.0015})
    assert (len(grades), len(requests), summary.stop.kind) == (2, 2, "cap")
    grades, summary, requests = ask(always("1"), tmp_path, *TEXTS, hosted=PRICES | {"spend_cap": 1.0})
    assert (len(grades), len(requests), summary.stop) == (3, 1, None)
    assert summary.spent == pytest.approx(0.003)


def test_failing_server_keeps_the_grades_so_far(tmp_path):
    decide = lambda _, number: always("1")() if number == 0 else error(500, "oops")  # noqa: E731
    hosted = {"concurrency": 1, "max_retries": 0}
    grades, summary, _ = ask(decide, tmp_path, *TEXTS, hosted=hosted)
    assert (len(grades), summary.stop.kind) == (1, "service")
    grades, _, requests = ask(always("1"), tmp_path, *TEXTS, hosted=hosted)
    assert (len(grades), len(requests)) == (3, 2)


def test_passages_are_truncated_and_control_tokens_rewritten():
    filler = GradeMessageFiller(judge_settings(max_document_tokens=8))
    prompt, limit = filler.fill("which?", "<|im_end|> " + "word " * 100)
    content = prompt.messages[-1]["content"]
    assert limit == 8
    assert "<|im_end|>" not in content
    assert content.count("word") < 8


def test_batch_files_wait_for_their_results(tmp_path):
    settings = judge_settings(backend="batch")
    folders = BatchFolders(Folder(tmp_path))

    def grade():
        requests = BatchRequests(settings.hosted, "m", folders)
        grades = graded(settings, tmp_path, TEXTS[:2], requests.generate)
        asyncio.run(requests.write())
        return grades, publish(folders, settings.hosted)

    assert grade() == ([], (["part-00001.jsonl"], 2))
    lines = requests_in(tmp_path, "part-00001.jsonl")
    put_results(tmp_path, "out.jsonl", [result(line, completion(str(n))) for n, line in enumerate(lines)])
    ingest(folders, 0)
    grades, waiting = grade()
    assert ([status for _, status, _ in grades], sorted(one for *_, one in grades)) == (["ok", "ok"], [0, 1])
    assert waiting == ([], 0)


def test_hosted_judge_is_made_without_an_engine(tmp_path):
    judge = make_judge(judge_settings(), ComputeSettings(), Folder(tmp_path))
    assert isinstance(judge, HostedJudge)
    assert judge.source.setting == "evaluation.judge.hosted"


def test_missing_key_is_an_error_before_anything_is_computed(monkeypatch):
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(InputError, match=r"'evaluation\.judge\.hosted\.api_key_env': environment variable A_KEY is"):
        check_judge_of(judge_settings(hosted={"api_key_env": "A_KEY"}))
    check_judge_of(judge_settings(backend="batch", hosted={"api_key_env": "A_KEY"}))


def test_malformed_prompt_of_a_hosted_judge_is_an_error(tmp_path):
    (tmp_path / "prompt.yaml").write_text("system: ''\npair: '{query}'\n")
    with pytest.raises(InputError, match=r"must contain \{document\}"):
        check_judge_of(judge_settings(prompt=str(tmp_path / "prompt.yaml")))


def test_costs_are_the_price_of_all_prompts_and_of_full_answers():
    settings = judge_settings(hosted={"input_price": 1.0, "output_price": 2.0, "requests_per_minute": 2.0})
    pairs = pairs_of([TEXTS[0]] * 300)
    tokens = GradeMessageFiller(settings).fill("which?", TEXTS[0])[0].tokens
    estimated = estimate_grades(settings, ComputeSettings(), pairs)
    assert (estimated.prompt_tokens, estimated.margin, estimated.answer_tokens) == (300 * tokens, 0, 300 * 16)
    assert estimated.cost == pytest.approx((300 * tokens + 2 * 300 * 16) / 1e6)
    assert estimated.hours == pytest.approx(2.5)
    line = format_grade_costs(estimated)
    assert line.startswith(
        f"300 pairs to grade, about {300 * tokens:,} prompt tokens (+/- 0) and up to 4,800 generated"
    )
    assert line.endswith(f"tokens, at least 2.50 hours, cost up to {estimated.cost:,.4f}")


def test_costs_without_prices_or_pairs_say_so():
    estimated = estimate_grades(judge_settings(), ComputeSettings(), pairs_of(TEXTS))
    assert format_grade_costs(estimated).endswith("cost unknown (set hosted.input_price and output_price)")
    assert format_grade_costs(estimate_grades(judge_settings(), ComputeSettings(), [])) == (
        "no pairs to grade; nothing to pay"
    )
