"""Prompts take turns at an engine: many at once, suspects alone, guilty ones never."""

import asyncio

import pytest

from actors.vllm.crash_log import CrashLog, QuarantinedPromptError
from actors.vllm.request_limiter import RequestLimiter
from ranking.storage.folder import Folder


def turns_after(folder, deaths, at_once=4):
    for under_way, alone in deaths:
        CrashLog(Folder(folder)).mark(under_way, alone)
    return RequestLimiter(at_once, CrashLog(Folder(folder)))


async def ask(turns, prompt, seen):
    async with turns.turn(prompt):
        seen.append((prompt, turns.under_way.total(), turns.alone))
        await asyncio.sleep(0.01)
        seen.append((prompt, turns.under_way.total(), turns.alone))


def test_a_suspect_is_asked_alone_and_the_others_side_by_side(tmp_path):
    turns = turns_after(tmp_path, [(["s", "t"], False), (["s", "t"], False)])
    seen = []

    async def all_at_once():
        await asyncio.gather(*(ask(turns, prompt, seen) for prompt in ["a", "b", "c", "d", "s", "e", "t", "f"]))

    asyncio.run(asyncio.wait_for(all_at_once(), 10))
    assert {prompt for prompt, *_ in seen} == set("abcdefst")
    assert all(count == 1 and alone for prompt, count, alone in seen if prompt in "st")
    assert not any(alone for prompt, _, alone in seen if prompt not in "st")
    assert max(count for *_, count, _ in seen) == 4
    assert turns.under_way.total() == 0


def test_a_guilty_prompt_gets_no_turn(tmp_path):
    turns = turns_after(tmp_path, [(["g"], True)])
    with pytest.raises(QuarantinedPromptError, match="at last while it read nothing else"):
        asyncio.run(ask(turns, "g", []))


def test_equal_prompts_under_way_are_counted_each(tmp_path):
    turns = turns_after(tmp_path, [])

    async def both():
        async with turns.turn("a"):
            async with turns.turn("a"):
                pass
            return turns.under_way["a"]

    assert asyncio.run(both()) == 1


def test_a_turn_that_is_given_up_frees_its_places(tmp_path):
    turns = turns_after(tmp_path, [(["s"], False), (["s"], False)], at_once=2)

    async def given_up():
        async with turns.turn("a"):
            waiting = asyncio.create_task(ask(turns, "s", []))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await ask(turns, "b", [])
        await ask(turns, "s", [])

    asyncio.run(asyncio.wait_for(given_up(), 10))
