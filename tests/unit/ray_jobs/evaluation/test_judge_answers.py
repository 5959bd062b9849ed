"""The judge in the evaluation job: recorded and cached grades, refusals, export. No test starts Ray or an engine."""

import asyncio
import json

import pytest

from actors.judges.grade_requests import request_id_of
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.collections.collection import GeneratedQueries
from ranking.collections.qrels import read_qrels
from ranking.errors import InputError
from ranking.evaluation.comparison import System
from ranking.evaluation.results import SystemResult
from ranking.records import PairToGrade
from ray_jobs import evaluate
from ray_jobs.common.run import open_run
from ray_jobs.evaluation import judge_answers
from ray_jobs.evaluation.judge_independence import check_independent, is_same, unknown_teacher_note
from tests.testing.in_process_jobs import run_job

TEXTS = {"d1": "copper", "d2": "tin", "d3": "iron", "d4": ""}


@pytest.fixture
def folder(tmp_path):
    """A BEIR folder with two test queries, of which one has two human grades, and a recorded judge's grades."""
    (tmp_path / "qrels").mkdir()
    rows = [json.dumps({"_id": doc_id, "text": text}) for doc_id, text in TEXTS.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": q, "text": f"query {q}"}) + "\n" for q in ("q1", "q2", "q3"))
    )
    (tmp_path / "qrels" / "test.tsv").write_text("q1\td1\t1\nq1\td3\t0\nq2\td2\t1\n")
    (tmp_path / "grades.tsv").write_text("q1\td1\t3\nq1\td3\t1\nq1\td2\t2\nq2\td1\t0\nq3\td1\t1\n")
    (tmp_path / "run.yaml").write_text("{run: x, students: [], teacher: {kind: pointwise}}")
    return tmp_path


def opened(folder, judge, *overrides):
    """Open a run with a judge."""
    source = ["--collection.source", f"beir:{folder}", "--storage", str(folder / "runs")]
    return open_run([str(folder / "run.yaml"), *source, "--evaluation.judge", json.dumps(judge), *overrides])


def recorded(folder, **changes):
    return {"kind": "recorded", "path": str(folder / "grades.tsv"), **changes}


def without_qrels(folder):
    """Remove the human judgements."""
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels").rmdir()


def ranking(*doc_ids):
    """Return a system that ranks the documents for every query."""
    scores = {doc_id: -float(rank) for rank, doc_id in enumerate(doc_ids)}
    return System(
        SystemResult(kind="run", system="s", candidates=None, measures={}), dict.fromkeys(("q1", "q2", "q3"), scores)
    )


def remember(run, answers):
    """Put answers, {(query_id, doc_id): text}, into the judge's response cache."""

    async def write():
        cache = ResponseCache(run.plan.judge_cache)
        for (query_id, doc_id), raw in answers.items():
            pair = PairToGrade(query_id=query_id, doc_id=doc_id, query=f"query {query_id}", passage=TEXTS[doc_id])
            numbers = {"number": 0, "step": 0, "attempt": 1, "document_tokens": 9, "prompt_tokens": 9}
            more = {"cached_tokens": 0, "completion_tokens": 1, "seconds": 1.0, "error": None, "finish_reason": "stop"}
            await cache.add(CachedResponse(list_id=request_id_of(pair), raw=raw, **numbers, **more))
        await cache.write()

    asyncio.run(write())


def test_recorded_grades_fill_holes_and_are_exported_as_qrels(folder):
    run = opened(folder, recorded(folder))
    judgement = judge_answers.judge_systems(run, [ranking("d1", "d2")])
    assert judgement.holes == [("q1", "d2"), ("q2", "d1")]
    assert judgement.filled == {"q1": {"d1": 1, "d3": 0, "d2": 1}, "q2": {"d2": 1, "d1": 0}}
    with (run.plan.evaluation.folder).open("judge.qrels") as stream:
        (folder / "exported").write_bytes(stream.read())
    assert read_qrels(folder / "exported") == {"q1": {"d2": 2, "d1": 3, "d3": 1}, "q2": {"d1": 0}}
    assert run.collection.qrels == {"q1": {"d1": 1, "d3": 0}, "q2": {"d2": 1}}


def test_generated_test_queries_have_no_human_grades_to_agree_with(folder):
    run = opened(folder, recorded(folder))
    run.collection.generated = GeneratedQueries("model-x", 9, 9, test=2, round_trip_depth=20)
    judgement = judge_answers.judge_systems(run, [ranking("d1", "d2")])
    assert {(one.query_id, one.doc_id) for one in judgement.answers} == set(judgement.holes)
    assert judgement.filled["q1"]["d2"] == 1


def test_depth_and_sample_limit_the_pairs(folder):
    run = opened(folder, recorded(folder, depth=1, agreement_pairs=1))
    judgement = judge_answers.judge_systems(run, [ranking("d2", "d1")])
    assert judgement.holes == [("q1", "d2")]
    assert len(judgement.answers) == 2


def test_pairs_that_the_file_lacks_have_no_grade(folder):
    run = opened(folder, recorded(folder, agreement_pairs=0))
    judgement = judge_answers.judge_systems(run, [ranking("d4", "d2")])
    assert [one.status for one in judgement.answers] == ["ok", "no_grade", "no_grade"]


def test_without_a_judge_nothing_happens(folder):
    run = open_run([str(folder / "run.yaml"), "--collection.source", f"beir:{folder}", "--storage", str(folder)])
    judge_answers.check_judge(run)
    assert judge_answers.judge_systems(run, [ranking("d1")]) is None


def test_cached_answers_start_no_engine_and_missing_ones_are_requested(folder, monkeypatch):
    run = opened(folder, {"kind": "llm", "model": "a/judge", "agreement_pairs": 0})
    remember(run, {("q1", "d2"): "3", ("q2", "d1"): "maybe"})
    asked = []
    monkeypatch.setattr(judge_answers, "_requested", lambda settings, run, pairs: asked.extend(pairs) or [])
    judgement = judge_answers.judge_systems(run, [ranking("d1", "d2", "d4")])
    assert [(one.doc_id, one.status, one.grade) for one in judgement.answers] == [
        ("d2", "ok", 3),
        ("d4", "no_text", None),
        ("d1", "malformed", None),
        ("d4", "no_text", None),
    ]
    assert asked == []
    judge_answers.judge_systems(run, [ranking("d1", "d2", "d3")])
    assert [(pair.query_id, pair.doc_id, pair.passage) for pair in asked] == [("q2", "d3", "iron")]


def test_llm_judge_is_sampled_on_pairs_with_a_text(folder, monkeypatch):
    run = opened(folder, {"kind": "llm", "model": "a/judge"})
    run.collection.qrels["q1"]["d4"] = 1
    asked = []
    monkeypatch.setattr(judge_answers, "_requested", lambda settings, run, pairs: asked.extend(pairs) or [])
    judge_answers.judge_systems(run, [ranking("d1")])
    assert {(pair.query_id, pair.doc_id) for pair in asked} == {("q2", "d1"), ("q1", "d1"), ("q1", "d3"), ("q2", "d2")}


def test_prompt_and_model_have_their_own_cache(folder, tmp_path):
    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("system: ''\npair: '{query} {document}'\n")
    judges = [
        {"kind": "llm", "model": "a/judge"},
        {"kind": "llm", "model": "b/judge"},
        {"kind": "llm", "model": "a/judge", "prompt": str(prompt)},
        {"kind": "llm", "model": "a/judge", "revision": "v1"},
        {"kind": "llm", "model": "a/judge", "depth": 3, "force": True},
    ]
    caches = [opened(folder, judge).plan.judge_cache.uri for judge in judges]
    assert len(set(caches[:4])) == 4
    assert caches[4] == caches[0]


def test_changed_grades_repeat_the_evaluation(folder):
    before = opened(folder, recorded(folder)).plan.evaluation.fingerprint
    assert opened(folder, recorded(folder)).plan.evaluation.fingerprint == before
    (folder / "grades.tsv").write_text("q1\td1\t2\n")
    assert opened(folder, recorded(folder)).plan.evaluation.fingerprint != before


@pytest.mark.parametrize(
    ("judge", "teacher", "same"),
    [
        ({"kind": "llm", "model": "a/b"}, {"kind": "listwise", "model": "A/b"}, True),
        ({"kind": "llm", "model": "a/b"}, {"kind": "pointwise", "model": "a/c"}, False),
        ({"kind": "llm", "model": "a/b", "revision": "v1"}, {"kind": "listwise", "model": "a/b"}, True),
        (
            {"kind": "llm", "model": "a/b", "revision": "v1"},
            {"kind": "listwise", "model": "a/b", "revision": "v2"},
            False,
        ),
        ({"kind": "llm", "model": "a/b"}, {"kind": "recorded", "content": "x"}, False),
        ({"kind": "recorded", "content": "x", "model": None}, {"kind": "recorded", "content": "x"}, True),
        ({"kind": "recorded", "content": "y", "model": None}, {"kind": "recorded", "content": "x"}, False),
        ({"kind": "recorded", "content": "y", "model": "a/b"}, {"kind": "listwise", "model": "a/b"}, True),
        ({"kind": "recorded", "content": "y", "model": None}, {"kind": "listwise", "model": "a/b"}, False),
    ],
)
def test_judge_and_teacher_are_compared(judge, teacher, same):
    assert is_same(judge, teacher) is same


def test_project_model_and_its_folder_are_the_same_model():
    from ranking.model_paths import model_path

    folder = model_path("minilm-list")
    assert is_same({"kind": "llm", "model": folder}, {"kind": "listwise", "model": "minilm-list"})


def test_the_teacher_as_judge_is_refused_unless_forced(folder):
    teacher = ["--teacher", json.dumps({"kind": "recorded", "path": str(folder / "grades.tsv")})]
    with pytest.raises(InputError, match=r"'evaluation\.judge\.path': .*grades\.tsv' is also the teacher"):
        judge_answers.check_judge(opened(folder, recorded(folder), *teacher))
    run = opened(folder, recorded(folder, force=True), *teacher)
    assert judge_answers.judge_systems(run, [ranking("d1")]).result.same_as_teacher
    unused = opened(folder, recorded(folder), *teacher, "--evaluation.teacher", "false")
    assert check_independent(unused) is False


def test_teachers_of_training_labels_are_compared_too(folder):
    run = opened(folder, {"kind": "llm", "model": "a/llm"}, "--run", "theirs")
    stage = run.plan.labels
    stage.settings["teacher"] = {"kind": "listwise", "model": "a/llm"}
    stage.begin()
    stage.finish(rows_in=1, rows_out=1)
    students = json.dumps([{"name": "s", "kind": "rra_bert", "base": "minilm"}])
    ours = ["--students", students, "--training.labels", json.dumps([run.folder.uri]), "--evaluation.teacher", "false"]
    with pytest.raises(InputError, match="'a/llm' is also the teacher"):
        check_independent(opened(folder, {"kind": "llm", "model": "a/llm"}, *ours))


def test_unknown_model_of_a_recorded_teacher_is_noted(folder):
    (folder / "other.tsv").write_text("q1\td1\t3\n")
    teacher = ["--teacher", json.dumps({"kind": "recorded", "path": str(folder / "other.tsv")})]
    (note,) = unknown_teacher_note(opened(folder, recorded(folder), *teacher))
    assert "make sure that it is not the judge's model" in note
    assert unknown_teacher_note(opened(folder, recorded(folder))) == []


@pytest.mark.parametrize(
    ("grades", "qrels", "expected"),
    [
        ("q1\td1\t7\n", "q1\td1\t1\n", "a judge's grade must be from 0 to 3, not 7"),
        ("q9\td1\t1\n", "q1\td1\t1\n", "none of its 1 queries, such as 'q9', is a test query"),
        ("q1\td1\n", "q1\td1\t1\n", "expected 3 columns"),
        ("q1\td1\t1\n", "q1\td1\t4\n", "'evaluation.judge.scale': the highest human grade is 4"),
        (None, "q1\td1\t1\n", "grades.tsv"),
    ],
)
def test_bad_judges_end_the_job_with_one_line(folder, monkeypatch, capsys, grades, qrels, expected):
    (folder / "qrels" / "test.tsv").write_text(qrels)
    (folder / "grades.tsv").unlink()
    if grades is not None:
        (folder / "grades.tsv").write_text(grades)
    settings = {"run": "x", "students": [], "evaluation": {"judge": recorded(folder)}}
    (folder / "run.yaml").write_text(json.dumps(settings))
    code, error = run_job(evaluate.main, folder, folder / "runs", monkeypatch, capsys)
    assert code == 2
    assert error.count("\n") == 1
    assert expected in error


def test_without_judgements_the_judges_queries_are_tested(folder):
    without_qrels(folder)
    run = opened(folder, recorded(folder))
    assert run.collection.qrels == {"q1": {}, "q2": {}, "q3": {}}
    assert run.collection.log == []
    assert [note for note in run.collection.notes if "qrels" in note] == [
        "no qrels: 3 queries are tested with the judge's grades only"
    ]
    with pytest.raises(InputError, match="no judged test queries"):
        run.check_judged()
    run.check_judged(by_judge=True)
    judgement = judge_answers.judge_systems(run, [ranking("d1", "d2")])
    assert judgement.result.alone
    assert run.collection.qrels == judgement.filled == {"q1": {"d1": 3, "d2": 2}, "q2": {"d1": 0}, "q3": {"d1": 1}}


def test_queries_without_judgements_are_limited_and_not_labelled(folder):
    without_qrels(folder)
    run = opened(folder, {"kind": "llm", "model": "a/judge", "unjudged_queries": 2})
    tested, log = ([query.query_id for query in part] for part in (run.collection.test, run.collection.log))
    assert len(tested) == 2
    assert sorted([*tested, *log]) == ["q1", "q2", "q3"]
    assert (
        opened(folder, {"kind": "llm", "model": "b/other", "unjudged_queries": 2}).collection.test
        == run.collection.test
    )


def test_a_judge_without_any_relevant_document_is_an_error(folder):
    without_qrels(folder)
    (folder / "grades.tsv").write_text("q1\td1\t0\n")
    run = opened(folder, recorded(folder))
    with pytest.raises(InputError, match="none of the 1 test queries has a relevant document"):
        judge_answers.judge_systems(run, [ranking("d1")])
