"""What is wrong with a teacher's model or its list is said in one line, before an engine starts."""

import asyncio
import json

import pytest

from actors.data.rows import Outcome, PreRankedList, records, table_of
from actors.settings import ComputeSettings
from actors.vllm.crash_log import MOST, CrashLog
from actors.vllm.engine import engine_arguments
from actors.vllm.engine_actor import EngineActor
from actors.vllm.model_check import check_model
from ranking.errors import InputError
from ranking.records import Rejection
from ranking.storage.folder import Folder
from tests.unit.actors.teachers.test_listwise import listing
from tools.tiny_models import tiny_cross_encoder, tiny_generator


def broken(folder, without=None, **changed):
    """A tiny generator's folder that lacks a file, or holds another text in one."""
    tiny_generator(folder)
    if without:
        (folder / without).unlink()
    for name, text in changed.items():
        (folder / f"{name}.json").write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("without", "changed", "message"),
    [
        ("config.json", {}, "the folder holds no config.json"),
        ("model.safetensors", {}, r"the folder holds no weights \(\*\.safetensors"),
        (None, {"config": "{"}, "its configuration cannot be read"),
        (None, {"config": json.dumps({"model_type": "never-heard-of"})}, "its configuration cannot be read"),
        ("tokenizer.json", {"tokenizer_config": "{}"}, "its tokenizer"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_what_it_lacks(without, changed, message, tmp_path):
    with pytest.raises(InputError, match=message) as raised:
        check_model(broken(tmp_path / "model", without, **changed), None, "teacher.model", chat=True)
    assert str(raised.value).startswith("teacher.model '")
    assert "\n" not in str(raised.value)


def test_a_listwise_teacher_needs_a_chat_template(tmp_path):
    model = str(tiny_cross_encoder(tmp_path / "model"))
    check_model(model, None, "teacher.model")
    with pytest.raises(InputError, match="no chat template"):
        check_model(model, None, "teacher.model", chat=True)


class Refuser(EngineActor):
    """Stands for a teacher: rejects what it is asked."""

    settled = 0

    async def outcome(self, row):
        return Outcome(
            query_id=row.query_id, rejection=Rejection(query_id=row.query_id, stage="labels", reason="asked")
        )

    async def settle(self):
        self.settled += 1


def test_an_empty_list_is_rejected_unasked_and_all_is_written_before_outcomes_leave(tmp_path):
    actor = Refuser("m", ComputeSettings(), Folder(tmp_path))
    batch = asyncio.run(actor(table_of([listing(0, query_id="none"), listing(1, query_id="one")], PreRankedList)))
    assert [(o.query_id, o.rejection.reason) for o in records(batch, Outcome)] == [
        ("none", "no candidates to rank"),
        ("one", "asked"),
    ]
    assert actor.settled == 1


def test_engines_that_die_without_an_answer_are_not_started_for_ever(tmp_path):
    memory = Folder(tmp_path)
    for _ in range(MOST):
        CrashLog(memory).check()
        CrashLog(memory).mark([], alone=False)
    with pytest.raises(RuntimeError, match=f"died {MOST} times without an answer"):
        Refuser("m", ComputeSettings(), memory)
    CrashLog(memory).answered()
    Refuser("m", ComputeSettings(), memory)


def test_a_prompt_is_suspected_after_two_deaths_and_guilty_after_one_alone(tmp_path):
    memory = Folder(tmp_path)
    CrashLog(memory).mark(["good", "deadly"], alone=False)
    assert not CrashLog(memory).suspects
    CrashLog(memory).mark(["deadly", "other"], alone=False)
    CrashLog(memory).answered()
    assert CrashLog(memory).suspects == {"deadly"}
    assert not CrashLog(memory).guilty
    CrashLog(memory).mark(["deadly"], alone=True)
    assert CrashLog(memory).guilty == {"deadly"}
    CrashLog(memory).forget()
    assert not CrashLog(memory).suspects | CrashLog(memory).guilty


def test_engine_arguments_are_settled_only_where_nothing_else_is_asked_for():
    assert engine_arguments({"dtype": "auto"}, 0)["dtype"] in {"float32", "bfloat16"}
    assert engine_arguments({"dtype": "half"}, 0)["dtype"] == "half"
    assert engine_arguments({}, 4) == {"tensor_parallel_size": 4, "distributed_executor_backend": "mp"}
    assert engine_arguments({"pipeline_parallel_size": 2}, 2) == {
        "pipeline_parallel_size": 2,
        "distributed_executor_backend": "mp",
    }
    assert engine_arguments({}, 1) == {"distributed_executor_backend": "uni"}


def test_answers_of_an_engine_that_started_before_show_that_the_model_runs(tmp_path, monkeypatch):
    memory = Folder(tmp_path)
    now = [0.0]
    monkeypatch.setattr("actors.vllm.crash_log.time.monotonic", lambda: now[0])
    older = CrashLog(memory)
    older.answered()
    for _ in range(MOST):
        CrashLog(memory).mark([], alone=False)
    now[0] += 60
    older.answered()
    Refuser("m", ComputeSettings(), memory)
