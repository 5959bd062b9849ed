"""The teacher's memory: every answer is found again, in this process and the next, and takes little room."""

import asyncio

from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.storage.folder import Folder


def asked(list_id, number=0, attempt=1, error=None):
    return CachedResponse(
        list_id=list_id,
        number=number,
        step=0,
        attempt=attempt,
        raw=None if error else f"[{number + 1}] > [2] for {list_id}",
        error=error,
        finish_reason=None if error else "stop",
        document_tokens=200,
        prompt_tokens=900,
        cached_tokens=0,
        completion_tokens=12,
        seconds=0.5,
    )


def fill(memory, answers):
    async def add():
        for answer in answers:
            await memory.add(answer)
        await memory.write()

    asyncio.run(add())


def test_answers_are_found_before_and_after_they_are_written_and_in_the_next_process(tmp_path):
    answers = [asked(f"list {n}", number) for n in range(50) for number in range(2)]
    memory = ResponseCache(Folder(tmp_path))
    asyncio.run(memory.add(answers[0]))
    assert memory.find("list 0", 0, 0, 1) == answers[0]
    fill(memory, answers[1:])
    for held in (memory, ResponseCache(Folder(tmp_path))):
        for answer in answers:
            assert held.find(answer.list_id, answer.number, 0, 1) == answer
        assert held.find("list 0", 2, 0, 1) is None
        assert held.find("list 50", 0, 0, 1) is None
    assert len(Folder(tmp_path).names(".parquet")) == 1


def test_what_failed_in_the_engine_is_asked_again_and_the_first_of_two_answers_counts(tmp_path):
    memory = ResponseCache(Folder(tmp_path))
    fill(memory, [asked("a", error="out of room"), asked("b")])
    second = asked("b").model_copy(update={"raw": "another"})
    fill(memory, [asked("a"), second])
    for held in (memory, ResponseCache(Folder(tmp_path))):
        assert held.find("a", 0, 0, 1).raw == "[1] > [2] for a"
    assert memory.find("b", 0, 0, 1).raw == "[1] > [2] for b"


def test_another_key_of_the_same_hash_is_not_taken_for_it(tmp_path):
    memory = ResponseCache(Folder(tmp_path))
    fill(memory, [asked("a")])
    memory._places[hash(("b", 0, 0, 1))] = memory._places[hash(("a", 0, 0, 1))]
    assert memory.find("b", 0, 0, 1) is None
