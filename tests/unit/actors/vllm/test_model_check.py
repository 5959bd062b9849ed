"""Checks before an engine starts: models that cannot be loaded, engine arguments, and the crash log."""

import asyncio
import json

import pytest

from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome, records, table_of
from actors.vllm.crash_log import MAX_CONSECUTIVE_CRASHES, CrashLog
from actors.vllm.engine import engine_arguments
from actors.vllm.engine_actor import EngineActor
from actors.vllm.model_check import check_model
from ranking.errors import InputError
from ranking.records import Label, PreRankedList, Rejection
from ranking.storage.folder import Folder
from tests.testing.pre_ranked_lists import pre_ranked_list
from tools.tiny_models import tiny_cross_encoder, tiny_generator


def broken_model(folder, without=None, **changed):
    """Write a tiny generator to a folder, then delete one file or replace the contents of some."""
    tiny_generator(folder)
    if without:
        (folder / without).unlink()
    for name, text in changed.items():
        (folder / f"{name}.json").write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("without", "changed", "message"),
    [
        ("config.json", {}, "the folder has no config.json"),
        ("model.safetensors", {}, r"the folder has no weights, expected one of \*\.safetensors"),
        (None, {"config": "{"}, "its configuration cannot be read"),
        (None, {"config": json.dumps({"model_type": "never-heard-of"})}, "its configuration cannot be read"),
        ("tokenizer.json", {"tokenizer_config": "{}"}, "its tokenizer"),
    ],
)
def test_unloadable_folder_error_names_what_is_missing(without, changed, message, tmp_path):
    with pytest.raises(InputError, match=message) as raised:
        check_model(broken_model(tmp_path / "model", without, **changed), None, "teacher.model", chat=True)
    assert str(raised.value).startswith("teacher.model '")
    assert "\n" not in str(raised.value)


def test_listwise_teacher_needs_a_chat_template(tmp_path):
    model = str(tiny_cross_encoder(tmp_path / "model"))
    check_model(model, None, "teacher.model")
    with pytest.raises(InputError, match="no chat template"):
        check_model(model, None, "teacher.model", chat=True)


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
