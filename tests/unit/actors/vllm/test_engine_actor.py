"""Checks before an engine starts: engine arguments and the crash log; batches of an engine actor."""

import asyncio

import pytest

from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome, records, table_of
from actors.vllm.crash_log import MAX_CONSECUTIVE_CRASHES, CrashLog
from actors.vllm.engine import engine_arguments
from actors.vllm.engine_actor import EngineActor
from ranking.records import Label, PreRankedList, Rejection
from ranking.storage.folder import Folder
from tests.testing.pre_ranked_lists import pre_ranked_list


class RejectingActor(EngineActor):
    """A teacher without an engine that rejects every list."""

    flushes = 0

    async def outcome(self, row):
        return Outcome(
            query_id=row.query_id, rejection=Rejection(query_id=row.query_id, stage="labels", reason="asked")
        )

    async def flush(self):
        self.flushes += 1


def test_empty_list_is_rejected_and_cache_is_flushed_once_per_batch(tmp_path):
    actor = RejectingActor("m", ComputeSettings(), Folder(tmp_path))
    lists = [pre_ranked_list(0, query_id="none"), pre_ranked_list(1, query_id="one")]
    batch = asyncio.run(actor(table_of(lists, PreRankedList)))
    assert [(o.query_id, o.rejection.reason) for o in records(batch, Outcome[Label])] == [
        ("none", "no candidates to rank"),
        ("one", "asked"),
    ]
    assert actor.flushes == 1


def test_actor_refuses_to_start_after_too_many_consecutive_crashes(tmp_path):
    folder = Folder(tmp_path)
    for _ in range(MAX_CONSECUTIVE_CRASHES):
        CrashLog(folder).check()
        CrashLog(folder).record_crash([], alone=False)
    with pytest.raises(RuntimeError, match=f"crashed {MAX_CONSECUTIVE_CRASHES} times without an answer"):
        RejectingActor("m", ComputeSettings(), folder)
    CrashLog(folder).record_answer()
    RejectingActor("m", ComputeSettings(), folder)


def test_prompt_is_isolated_after_two_crashes_then_quarantined(tmp_path):
    folder = Folder(tmp_path)
    CrashLog(folder).record_crash(["good", "deadly"], alone=False)
    assert not CrashLog(folder).isolated
    CrashLog(folder).record_crash(["deadly", "other"], alone=False)
    CrashLog(folder).record_answer()
    assert CrashLog(folder).isolated == {"deadly"}
    assert not CrashLog(folder).quarantined
    CrashLog(folder).record_crash(["deadly"], alone=True)
    assert CrashLog(folder).quarantined == {"deadly"}
    CrashLog(folder).forget()
    assert not CrashLog(folder).isolated | CrashLog(folder).quarantined


def test_engine_arguments_complete_only_what_is_unset():
    assert engine_arguments({"dtype": "auto"}, 0)["dtype"] in {"float32", "bfloat16"}
    assert engine_arguments({"dtype": "half"}, 0)["dtype"] == "half"
    assert engine_arguments({}, 4) == {"tensor_parallel_size": 4, "distributed_executor_backend": "mp"}
    assert engine_arguments({"pipeline_parallel_size": 2}, 2) == {
        "pipeline_parallel_size": 2,
        "distributed_executor_backend": "mp",
    }
    assert engine_arguments({}, 1) == {"distributed_executor_backend": "uni"}


def test_answer_of_an_older_engine_resets_the_crash_count(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    now = [0.0]
    monkeypatch.setattr("actors.vllm.crash_log.time.monotonic", lambda: now[0])
    older = CrashLog(folder)
    older.record_answer()
    for _ in range(MAX_CONSECUTIVE_CRASHES):
        CrashLog(folder).record_crash([], alone=False)
    now[0] += 60
    older.record_answer()
    RejectingActor("m", ComputeSettings(), folder)
