"""Request limiter: sends many prompts at once, isolated prompts one at a time, and quarantined prompts never."""

import asyncio

import pytest

from actors.vllm.crash_log import CrashLog, QuarantinedPromptError
from actors.vllm.request_limiter import RequestLimiter
from ranking.storage.folder import Folder


def limiter_after(folder, crashes, max_in_flight=4):
    """Make a limiter after some crashes, each given as (prompts in flight, whether a prompt was sent alone)."""
    for in_flight, alone in crashes:
        CrashLog(Folder(folder)).record_crash(in_flight, alone)
    return RequestLimiter(max_in_flight, CrashLog(Folder(folder)))


async def send(limiter, prompt, seen):
    async with limiter.slot(prompt):
        seen.append((prompt, limiter.in_flight.total(), limiter.alone))
        await asyncio.sleep(0.01)
        seen.append((prompt, limiter.in_flight.total(), limiter.alone))


def test_isolated_prompts_run_alone_and_others_concurrently(tmp_path):
    limiter = limiter_after(tmp_path, [(["s", "t"], False), (["s", "t"], False)])
    seen = []

    async def send_all():
        await asyncio.gather(*(send(limiter, prompt, seen) for prompt in ["a", "b", "c", "d", "s", "e", "t", "f"]))

    asyncio.run(asyncio.wait_for(send_all(), 10))
    assert {prompt for prompt, *_ in seen} == set("abcdefst")
    assert all(count == 1 and alone for prompt, count, alone in seen if prompt in "st")
    assert not any(alone for prompt, _, alone in seen if prompt not in "st")
    assert max(count for *_, count, _ in seen) == 4
    assert limiter.in_flight.total() == 0


def test_quarantined_prompt_is_refused(tmp_path):
    limiter = limiter_after(tmp_path, [(["g"], True)])
    with pytest.raises(QuarantinedPromptError, match="at last with no other prompt in flight"):
        asyncio.run(send(limiter, "g", []))


def test_equal_prompts_in_flight_are_counted_separately(tmp_path):
    limiter = limiter_after(tmp_path, [])

    async def send_twice():
        async with limiter.slot("a"):
            async with limiter.slot("a"):
                pass
            return limiter.in_flight["a"]

    assert asyncio.run(send_twice()) == 1


def test_cancelled_request_releases_its_slots(tmp_path):
    limiter = limiter_after(tmp_path, [(["s"], False), (["s"], False)], max_in_flight=2)

    async def cancel_one():
        async with limiter.slot("a"):
            waiting = asyncio.create_task(send(limiter, "s", []))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await send(limiter, "b", [])
        await send(limiter, "s", [])

    asyncio.run(asyncio.wait_for(cancel_one(), 10))
