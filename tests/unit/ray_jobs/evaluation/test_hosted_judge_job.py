"""A hosted judge in the evaluation job: exit codes, resuming and costs. Ray is replaced by calls in this process."""

import asyncio
import json
from types import SimpleNamespace

import pytest
import ray

from actors.data import streaming
from actors.data.rows import table_of
from actors.hosted import hosted_source
from actors.hosted.spend_ledger import SpendLedger
from actors.judges import hosted_judge
from ranking.errors import InputError
from ranking.evaluation.comparison import System
from ranking.evaluation.results import SystemResult
from ray_jobs import evaluate
from ray_jobs.common.run import open_run
from ray_jobs.evaluation import judge_answers
from tests.testing.in_process_jobs import run_job
from tools.chat_server import Reply, chat_server, completion, error

TEXTS = {"d1": "copper", "d2": "tin", "d3": "iron", "d4": "tin"}
RANKING = {doc_id: -float(rank) for rank, doc_id in enumerate(TEXTS)}


class LocalActor:
    """Has the interface of a Ray actor's handle. The driver runs the coroutines that its methods return."""

    def __init__(self, actor, arguments, **_):
        self.actor = actor(*arguments)

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self.actor, name))


def in_process(rows, actor, arguments, _):
    """Stand in for `through_engines`: one batch with one actor."""
    table = asyncio.run(actor(*arguments)(rows))
    return SimpleNamespace(iter_rows=table.to_pylist)


@pytest.fixture(autouse=True)
def local_ray(monkeypatch):
    monkeypatch.setattr(hosted_source, "start_actor", LocalActor)
    monkeypatch.setattr(hosted_judge, "through_engines", in_process)
    monkeypatch.setattr(streaming, "dataset_of", lambda rows, model, _: table_of(rows, model))
    monkeypatch.setattr(judge_answers.capacity_check, "check", lambda *_: None)
    monkeypatch.setattr(ray, "get", asyncio.run)


@pytest.fixture
def folder(tmp_path):
    """A BEIR folder with one test query, one human grade, and two documents with the same text."""
    (tmp_path / "qrels").mkdir()
    rows = [json.dumps({"_id": doc_id, "text": text}) for doc_id, text in TEXTS.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "which?"}) + "\n")
    (tmp_path / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    return tmp_path


def judge(url, **hosted):
    prices = {"input_price": 10.0, "output_price": 0.0, "concurrency": 1}  # 0.001 for each answer of 100 prompt tokens
    hosted = {"url": url, "api_key_env": "A_KEY", "max_retries": 0, **prices, **hosted}
    return {"kind": "llm", "model": "org/Judge", "backend": "openai", "hosted": hosted}


def write_run(folder, judge, teacher=None):
    """Write the run file."""
    teacher = teacher or {"kind": "pointwise"}
    settings = {"run": "x", "students": [], "teacher": teacher, "evaluation": {"judge": judge}}
    (folder / "run.yaml").write_text(json.dumps(settings))


def grade(run):
    """Stand in for the evaluation: judge one ranking, and print the statuses."""
    systems = [System(SystemResult(kind="run", system="s", candidates=None, measures={}), {"q1": RANKING})]
    judgement = judge_answers.judge_systems(run, systems)
    print([(one.doc_id, one.status, one.grade) for one in judgement.answers])


def judged(folder, monkeypatch, capsys, settings):
    monkeypatch.setenv("A_KEY", "secret-value-123")
    write_run(folder, settings)
    return run_job(grade, folder, folder / "runs", monkeypatch, capsys)


@pytest.mark.parametrize(
    ("reply", "hosted", "expected"),
    [
        (None, {"spend_cap": 0.0005}, "'evaluation.judge.hosted.spend_cap': spent 0.0010 of 0.0005; 2 pairs remain"),
        (error(401, "bad key secret-value-123"), {}, "'evaluation.judge.hosted': the server refuses the API key"),
        (error(404, "no model"), {}, "the server does not have the model 'org/Judge', or the URL is wrong"),
        (error(500, "oops secret-value-123"), {}, "failed 1 times in a row, last: HTTP 500: oops ***"),
    ],
    ids=["cap", "key", "model", "server"],
)
def test_stopped_judge_ends_in_one_line_and_is_resumed(folder, monkeypatch, capsys, reply, hosted, expected):
    def decide(_, number):
        return Reply(completion('{"grade": 2}')) if number == 0 or reply is None else reply

    with chat_server(decide) as server:
        code, message = judged(folder, monkeypatch, capsys, judge(server.url, **hosted))
        assert (code, message.count("\n")) == (2, 1)
        assert expected in message
        assert "all answers so far are kept" in message
        assert "secret" not in message
        paid = sum(request.status == 200 for request in server.received)
        server.decide = lambda *_: Reply(completion('{"grade": 1}'))
        begun = len(server.received)
        assert judged(folder, monkeypatch, capsys, judge(server.url)) == (0, "")
        assert len(server.received) - begun == 3 - paid  # three texts, of which two documents share one


def test_finished_grades_are_not_paid_for_again(folder, monkeypatch, capsys):
    with chat_server(lambda *_: Reply(completion('{"grade": 1}'))) as server:
        for _ in range(2):
            assert judged(folder, monkeypatch, capsys, judge(server.url)) == (0, "")
        assert len(server.received) == 3
        assert server.received[0].headers["authorization"] == "Bearer secret-value-123"
    files = [path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()]
    assert not any(b"secret" in content for content in files)


def test_documents_with_the_same_text_share_a_grade(folder, monkeypatch):
    monkeypatch.setenv("A_KEY", "k")
    with chat_server(lambda *_: Reply(completion("2"))) as server:
        write_run(folder, judge(server.url) | {"agreement_pairs": 0})
        run = opened(folder)
        system = System(SystemResult(kind="run", system="s", candidates=None, measures={}), {"q1": RANKING})
        answers = judge_answers.judge_systems(run, [system]).answers
    assert [(one.doc_id, one.grade) for one in answers] == [("d2", 2), ("d3", 2), ("d4", 2)]
    assert len(server.received) == 2


def opened(folder, *overrides):
    source = ["--collection.source", f"beir:{folder}", "--storage", str(folder / "runs")]
    return open_run([str(folder / "run.yaml"), *source, *overrides])


def test_costs_are_printed_before_the_first_request_and_alone(folder, monkeypatch, capsys):
    monkeypatch.setenv("A_KEY", "k")
    system = System(SystemResult(kind="run", system="s", candidates=None, measures={}), {"q1": RANKING})
    printed = []
    with chat_server(lambda *_: printed.append(capsys.readouterr().out) or Reply(completion("2"))) as server:
        write_run(folder, judge(server.url, concurrency=1))
        judge_answers.show_costs(opened(folder), [system])
        alone = " ".join(capsys.readouterr().out.split())
        assert server.received == []
        judge_answers.judge_systems(opened(folder), [system])
        judge_answers.show_costs(opened(folder), [system])
    assert "3 pairs to grade, about" in alone
    assert "3 pairs to grade, about" in " ".join(printed[0].split())
    assert "no pairs to grade; nothing to pay" in " ".join(capsys.readouterr().out.split())


def test_estimate_ranks_and_asks_nothing(folder, monkeypatch, capsys):
    monkeypatch.setenv("A_KEY", "k")
    system = System(SystemResult(kind="run", system="s", candidates=None, measures={}), {"q1": RANKING})
    monkeypatch.setattr(evaluate, "prepare_rankings", lambda run, notes: ([], []))
    monkeypatch.setattr(evaluate, "rank_systems", lambda run, rows, notes: [system])
    with chat_server(lambda *_: Reply(completion("2"))) as server:
        write_run(folder, judge(server.url))
        run = opened(folder, "--evaluation.teacher", "false")
        evaluate.estimate_alone(run)
    assert server.received == []
    assert "3 pairs to grade, about" in " ".join(capsys.readouterr().out.split())
    assert run.plan.evaluation.manifest is None
    assert run.plan.evaluation.folder.names() == []


def test_estimate_needs_a_judge_and_the_teachers_answers(folder):
    write_run(folder, {"kind": "recorded", "path": "grades.tsv"})
    with pytest.raises(InputError, match=r"only a judge of kind llm costs something; leave out --estimate"):
        evaluate.show_estimate(opened(folder))
    write_run(folder, judge("http://h/v1"))
    with pytest.raises(InputError, match=r"--estimate: the teacher has not labelled the test queries"):
        evaluate.show_estimate(opened(folder))


@pytest.mark.parametrize(
    "teacher",
    [
        {"backend": "openai", "model": "org/Judge", "hosted": {"url": "http://h/v1"}},
        {"backend": "openai", "model": "judge", "hosted": {"url": "http://other/v1"}},
        {"backend": "batch", "model": "ORG/judge", "hosted": {}},
        {"model": "org/Judge"},
        {"model": "org/Judge", "revision": "v1"},
    ],
    ids=["same url", "other url", "batch", "vllm", "revision"],
)
def test_hosted_judge_must_not_be_the_teacher_at_any_host(folder, teacher):
    write_run(folder, judge("http://h/v1"), {"kind": "listwise", **teacher})
    with pytest.raises(InputError, match="'org/Judge' is also the teacher"):
        judge_answers.check_judge(opened(folder))


@pytest.mark.parametrize(
    "teacher",
    [
        {"backend": "openai", "model": "org/other", "hosted": {"url": "http://h/v1"}},
        {"model": "org/judge-small"},
    ],
)
def test_another_model_at_the_same_host_may_judge(folder, teacher):
    write_run(folder, judge("http://h/v1"), {"kind": "listwise", **teacher})
    judge_answers.check_judge(opened(folder))


def test_recorded_judge_is_compared_with_a_hosted_teacher(folder):
    (folder / "grades.tsv").write_text("q1\td2\t1\n")
    teacher = {"kind": "listwise", "backend": "openai", "model": "org/gpt", "hosted": {"url": "http://h/v1"}}
    write_run(folder, {"kind": "recorded", "path": str(folder / "grades.tsv"), "model": "gpt"}, teacher)
    with pytest.raises(InputError, match="is also the teacher"):
        judge_answers.check_judge(opened(folder))


def test_cache_depends_on_host_and_body_but_not_on_limits(folder):
    def cache(url="http://h/v1", **hosted):
        write_run(folder, judge(url, **hosted))
        return opened(folder).plan.judge_cache.uri

    assert cache() == cache(workers=3, concurrency=9, spend_cap=5.0, requests_per_minute=7.0)
    assert len({cache(), cache("http://other/v1"), cache(body={"top_p": 0.5})}) == 3


def test_ledger_counts_grades_of_earlier_jobs(folder, monkeypatch, capsys):
    with chat_server(lambda *_: Reply(completion("1"))) as server:
        judged(folder, monkeypatch, capsys, judge(server.url))
        run = opened(folder)
    ledger = SpendLedger(run.plan.judge_cache, run.settings.evaluation.judge.hosted.prices, None)
    assert asyncio.run(ledger.summary()).spent == pytest.approx(0.003)
