"""Batch files: requests within limits, results in any order and number of files, errors, interruptions."""

import asyncio
import json

import pytest

from actors.hosted import batch_publication, batch_results
from actors.hosted.batch_publication import publish
from actors.hosted.batch_requests import BatchRequests
from actors.hosted.batch_results import ingest
from actors.hosted.batch_state import BatchFolders, parse_custom_id, read_state
from actors.hosted.deferral import gather_present
from actors.hosted.message_filler import message_filler
from actors.teachers.listwise.label_outcomes import outcome_of
from actors.teachers.listwise.listwise_requests import ListwiseRequester
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.vllm.response_cache import ResponseCache
from ranking.storage.folder import Folder
from tests.testing.batch_service import failure, put_results, requests_in, result
from tests.testing.hosted_lists import PROVENANCE, chain
from tests.testing.pre_ranked_lists import pre_ranked_list
from tools.chat_server import completion

ROWS = [pre_ranked_list(query_id=f"q{n}") for n in range(5)]


class Job:
    """Labels lists through batch files in a folder, as `ray_jobs.label` does, but without Ray.

    Attributes:
        notes: Lines about result files in the last pass.
        results: {query id: label or rejection} of the last pass.
        waiting: Names of the batch files without results after the last pass.
    """

    def __init__(self, folder, rows=ROWS, hosted=None, **teacher):
        self.folder, self.rows = folder, rows
        self.settings = ListwiseTeacherSettings(model="m", backend="batch", hosted=hosted or {}, **teacher)
        self.folders = BatchFolders(Folder(folder))

    def run(self, publishes=True):
        hosted = self.settings.hosted
        self.notes = ingest(self.folders, hosted.max_retries)
        self.results = asyncio.run(self._label())
        if publishes:
            self.waiting, self.requests = publish(self.folders, hosted)
        return self

    async def _label(self):
        hosted = self.settings.hosted
        requests = BatchRequests(hosted, self.settings.model, self.folders)
        cache = ResponseCache(Folder(self.folder))
        filler = message_filler(self.settings)
        requester = ListwiseRequester(self.settings, filler, cache, requests.generate)

        async def outcome(row):
            return outcome_of(row, await requester.rankings(row), self.settings, PROVENANCE)

        outcomes, error = await gather_present(outcome(row) for row in self.rows)
        assert error is None
        await cache.write()
        await requests.write()
        return {one.query_id: one.row or one.rejection for one in outcomes}

    def asked(self, name="part-00001.jsonl"):
        return requests_in(self.folder, name)


def answer(request):
    return result(request, completion(chain(request["body"], ["d2", "d1"])))


def test_requests_have_the_format_of_batch_services(tmp_path):
    job = Job(tmp_path).run()
    assert (job.results, job.waiting, job.requests) == ({}, ["part-00001.jsonl"], 5)
    for request in job.asked():
        assert set(request) == {"custom_id", "method", "url", "body"}
        assert (request["method"], request["url"], request["body"]["model"]) == ("POST", "/v1/chat/completions", "m")
        assert parse_custom_id(request["custom_id"])[1] == 1
        assert len(request["custom_id"]) <= 64
    assert len({request["custom_id"] for request in job.asked()}) == 5
    other = Job(tmp_path / "other").run()
    assert {request["custom_id"] for request in other.asked()} == {request["custom_id"] for request in job.asked()}


def test_waiting_requests_are_not_written_again(tmp_path):
    job = Job(tmp_path).run().run().run()
    assert (job.waiting, job.requests) == (["part-00001.jsonl"], 5)
    more = Job(tmp_path, [*ROWS, pre_ranked_list(query_id="new")]).run()
    assert (more.waiting, more.requests) == (["part-00001.jsonl", "part-00002.jsonl"], 6)
    assert len(more.asked("part-00002.jsonl")) == 1


def test_lists_with_the_same_content_are_requested_once(tmp_path):
    twin = ROWS[0].model_copy(update={"query_id": "twin"})
    job = Job(tmp_path, [ROWS[0], twin]).run()
    assert job.requests == 1
    put_results(tmp_path, "out.jsonl", [answer(request) for request in job.asked()])
    assert set(job.run().results) == {"q0", "twin"}


def test_results_in_several_files_and_any_order_become_labels(tmp_path):
    job = Job(tmp_path).run()
    lines = [answer(request) for request in job.asked()][::-1]
    put_results(tmp_path, "b.jsonl", lines[:2])
    put_results(tmp_path, "a.jsonl", lines[2:])
    job.run()
    assert set(job.results) == {row.query_id for row in ROWS}
    assert {label.candidates[1].position for label in job.results.values()} == {1}
    assert (job.waiting, job.requests) == ([], 0)
    assert job.notes == ["a.jsonl: 3 answers", "b.jsonl: 2 answers"]
    assert job.run().notes == []


def test_errors_and_missing_results_are_asked_again_in_the_next_file(tmp_path):
    job = Job(tmp_path).run()
    first, second, third, fourth, _ = asked = job.asked()
    put_results(tmp_path, "out.jsonl", [answer(first), answer(second)])
    put_results(tmp_path, "errors.jsonl", [failure(third), failure(fourth, 500, "server_error", "oops")])
    job.run()
    assert (len(job.results), job.waiting, job.requests) == (2, ["part-00002.jsonl"], 3)
    again = job.asked("part-00002.jsonl")
    assert {parse_custom_id(request["custom_id"])[0] for request in again} == {
        parse_custom_id(request["custom_id"])[0] for request in asked[2:]
    }
    assert {parse_custom_id(request["custom_id"])[1] for request in again} == {2}
    assert {json.dumps(request["body"]) for request in again} == {json.dumps(request["body"]) for request in asked[2:]}
    assert job.notes[0] == "errors.jsonl: 0 answers; 2 requests failed"
    assert "errors.jsonl:1: no answer (expired)" in job.notes[1]
    put_results(tmp_path, "out-2.jsonl", [answer(request) for request in again])
    assert len(job.run().results) == 5
    assert job.waiting == []


def test_request_without_answer_in_all_batches_rejects_its_list(tmp_path):
    job = Job(tmp_path, ROWS[:2], {"max_retries": 1}).run()
    first, second = job.asked()
    put_results(tmp_path, "1.jsonl", [answer(first), failure(second)])
    (again,) = job.run().asked("part-00002.jsonl")
    put_results(tmp_path, "2.jsonl", [failure(again, message="expired again")])
    job.run()
    assert (job.waiting, job.requests) == ([], 0)
    (rejection,) = [row for row in job.results.values() if hasattr(row, "reason")]
    assert rejection.reason == "the batch service: no answer in 2 batches, last: no answer (expired again)"


def test_refused_prompt_rejects_its_list_and_is_not_asked_again(tmp_path):
    job = Job(tmp_path, ROWS[:2]).run()
    first, second = job.asked()
    too_long = failure(second, 400, "context_length_exceeded", "maximum context length is 10 tokens")
    put_results(tmp_path, "1.jsonl", [answer(first), too_long])
    job.run()
    assert (len(job.results), job.waiting) == (2, [])
    (rejection,) = [row for row in job.results.values() if hasattr(row, "reason")]
    assert "refuses the prompt as too long (HTTP 400: maximum context length is 10 tokens)" in rejection.reason


def test_foreign_duplicate_and_damaged_lines_are_counted_and_named(tmp_path):
    job = Job(tmp_path).run()
    lines = [answer(request) for request in job.asked()]
    foreign = [{**lines[0], "custom_id": "request-1"}, {**lines[0], "custom_id": f"rra-{'0' * 32}-1"}]
    half = json.dumps(lines[4])[:60]
    put_results(tmp_path, "out.jsonl", [*lines[:4], lines[0], *foreign, "", half, "[1]", '{"response": 1}'])
    job.run()
    counts = "4 answers; 1 duplicate lines, 2 lines with a foreign custom_id, 3 damaged lines"
    assert job.notes[0] == f"out.jsonl: {counts}"
    where = job.folders.results.address("out.jsonl")
    assert [note.partition(" (")[0] for note in job.notes[1:]] == [
        f"{where}:{line}: damaged line" for line in (9, 10, 11)
    ]
    assert (len(job.results), job.requests) == (4, 1)  # the request of the damaged line is asked again


def test_empty_and_foreign_files_are_read_once_and_answer_nothing(tmp_path):
    job = Job(tmp_path, ROWS[:1]).run()
    put_results(tmp_path, "empty.jsonl", [])
    put_results(tmp_path, "foreign.jsonl", [{"custom_id": "x"}])
    assert job.run().notes == ["empty.jsonl: 0 answers", "foreign.jsonl: 0 answers; 1 lines with a foreign custom_id"]
    assert (job.run().notes, job.waiting) == ([], ["part-00001.jsonl"])


def test_half_answer_in_a_result_is_asked_again(tmp_path):
    job = Job(tmp_path, ROWS[:2]).run()
    first, second = job.asked()
    put_results(tmp_path, "out.jsonl", [answer(first), result(second, {"choices": []})])
    job.run()
    assert job.requests == 1
    assert "out.jsonl:2: the response is not a chat completion (IndexError" in job.notes[1]


def test_unusable_answer_asks_for_another_order(tmp_path):
    job = Job(tmp_path, [pre_ranked_list(12)]).run()
    (request,) = job.asked()
    put_results(tmp_path, "1.jsonl", [result(request, completion("I cannot rank these."))])
    (other,) = job.run().asked("part-00002.jsonl")
    assert parse_custom_id(other["custom_id"])[0] != parse_custom_id(request["custom_id"])[0]
    put_results(tmp_path, "2.jsonl", [answer(other)])
    assert job.run().results["q"].answer.attempts == 2


def test_sliding_window_needs_one_batch_per_step(tmp_path):
    job = Job(tmp_path, [pre_ranked_list(6)], window={"size": 4, "stride": 2})
    for step in (1, 2):
        (request,) = job.run().asked(f"part-{step:05}.jsonl")
        put_results(tmp_path, f"{step}.jsonl", [result(request, completion("[1] > [2]"))])
    assert job.run().results["q"].answer.attempts == 2


def test_files_respect_both_limits(tmp_path):
    by_count = Job(tmp_path / "count", hosted={"batch_requests": 2}).run()
    sizes = [len(by_count.asked(name)) for name in by_count.waiting]
    assert sizes == [2, 2, 1]
    line = max(len(json.dumps(request, ensure_ascii=False).encode()) + 1 for request in by_count.asked())
    by_size = Job(tmp_path / "size", hosted={"batch_megabytes": 2.5 * line / 1e6}).run()
    assert [len(by_size.asked(name)) for name in by_size.waiting] == [2, 2, 1]
    alone = Job(tmp_path / "alone", hosted={"batch_megabytes": 1e-6}).run()
    assert [len(alone.asked(name)) for name in alone.waiting] == [1] * 5


def test_openai_backend_continues_what_batch_began(tmp_path):
    batch = ListwiseTeacherSettings(model="m", backend="batch", hosted={"url": "https://h/v1"})
    online = ListwiseTeacherSettings(model="m", backend="openai", hosted={"url": "https://h/v1"})
    assert batch.hosted.identity == online.hosted.identity


class KilledError(Exception):
    """Simulates the end of the process."""


@pytest.mark.parametrize("written", ["requests", "index"])
def test_interrupted_publication_writes_each_request_once(written, tmp_path, monkeypatch):
    job = Job(tmp_path, hosted={"batch_requests": 2}).run(publishes=False)
    methods = {"requests": "write_lines", "index": "write_rows"}
    original = getattr(Folder, methods[written])

    def killed(folder, *arguments):
        original(folder, *arguments)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Folder, methods[written], killed)
        with pytest.raises(KilledError):
            publish(job.folders, job.settings.hosted)
    job.run()
    ids = [request["custom_id"] for name in job.waiting for request in job.asked(name)]
    assert len(ids) == len(set(ids)) == 5


def test_interrupted_reading_loses_and_repeats_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_results, "_ROWS_PER_TABLE", 2)
    job = Job(tmp_path).run()
    put_results(tmp_path, "out.jsonl", [answer(request) for request in job.asked()])

    def killed(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(batch_results, "table_of", killed)  # all answers are written, and no outcome
        with pytest.raises(KilledError):
            ingest(job.folders, 6)
    job.run()
    assert job.notes == ["out.jsonl: 5 answers"]
    assert len(job.results) == 5
    received = [row for table in job.folders.received.read_tables() for row in table.to_pylist()]
    assert len(received) == 5


def test_staged_requests_survive_an_interruption(tmp_path):
    job = Job(tmp_path).run(publishes=False).run(publishes=False)
    assert len(read_state(job.folders, 6).staged) == 5
    assert len(job.folders.staged.names(".parquet")) == 1
    assert job.run().requests == 5
    assert job.folders.staged.names(".parquet") == []
    assert batch_publication.publish(job.folders, job.settings.hosted) == (["part-00001.jsonl"], 5)
