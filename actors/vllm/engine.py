"""A vLLM engine in the process of a teacher or a rationale writer: many requests at once, each awaited on its own.

So a list can be asked again, or in several steps, while the engine goes on with the others.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np

from actors.retrieval.embeddings import text_id_of
from actors.vllm.crash_log import CrashLog
from actors.vllm.request_limiter import RequestLimiter
from ranking.errors import InputError
from ranking.model_paths import model_path
from students.precision import dtype_of

Task = Literal["generate", "embed", "classify"]

_RUNNERS: dict[Task, dict[str, str]] = {
    "generate": {"runner": "generate"},
    "embed": {"runner": "pooling", "convert": "embed"},
    "classify": {"runner": "pooling", "convert": "classify"},
}
_ENDED_BY_SIGNAL = re.compile(r"Failed core proc\(s\): \{.*: -\d+")
_CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}


@dataclass(frozen=True)
class Completion:
    """What a model wrote. finish_reason: `stop` or `length`. cached_tokens: of the prompt, found in the prefix cache."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class VllmEngine:
    """A vLLM engine. arguments: of vLLM. gpus: that it spreads over; 0 runs the CPU build.

    deaths: where it is marked that the engine died, before this process ends with it: Ray starts both anew, and the
    lists that were under way are asked again. setting: that names the model, for the message. Raises InputError where
    vLLM cannot load the model.
    """

    def __init__(
        self,
        model: str,
        revision: str | None,
        task: Task,
        arguments: Mapping[str, Any],
        gpus: int,
        deaths: CrashLog,
        setting: str = "teacher.model",
    ) -> None:
        if not gpus:
            set_cpu_environment()
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.metrics.ray_wrappers import RayPrometheusStatLogger

        settled = engine_arguments(arguments, gpus) | _RUNNERS[task] | ({"revision": revision} if revision else {})
        try:
            self._llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(model=model_path(model), **settled), stat_loggers=[RayPrometheusStatLogger]
            )
        except Exception as error:
            if killed_from_outside(error):
                _end_with_engine(deaths, (), False)
            raise InputError(f"{setting} {model!r}: vLLM cannot load it ({_first_line(error)})") from error
        self._task = task
        self._seeds = gpus > 0
        self._names = map(str, itertools.count())
        # a few more than run at once, so that none waits for this process; many more would only wait in the engine
        self._turns = RequestLimiter(math.ceil(1.1 * self._llm.vllm_config.scheduler_config.max_num_seqs), deaths)

    async def write(self, tokens: Sequence[int], sampling: Mapping[str, Any]) -> Completion:
        """Let the model write after a prompt. sampling: of vLLM's SamplingParams. Raises ValueError for what vLLM refuses or died of."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # a request with a seed of its own kills vLLM's CPU engine: "CPU Generator does not use offset"
        known = {name: value for name, value in sampling.items() if self._seeds or name != "seed"}
        parameters = SamplingParams(**known, output_kind=RequestOutputKind.FINAL_ONLY)
        output = await self._last(self._llm.generate, tokens, parameters)
        written = output.outputs[0]
        cached = output.num_cached_tokens or 0
        return Completion(written.text, written.finish_reason, len(tokens), len(written.token_ids), cached)

    async def pool(self, tokens: Sequence[int], second_from: int | None = None) -> np.ndarray:
        """Let the model pool a prompt: an embedding, or the logits of a classifier, [values], float32.

        second_from: where the second text of a pair begins, for models that tell the two apart by token types.
        Raises ValueError for what vLLM refuses or died of.
        """
        from vllm import PoolingParams

        extra = {} if second_from is None else {"compressed_token_type_ids": second_from}
        parameters = PoolingParams(
            task=self._task, use_activation=None if self._task == "embed" else False, extra_kwargs=extra or None
        )
        output = await self._last(self._llm.encode, tokens, parameters)
        return np.asarray(output.outputs.data, dtype=np.float32).reshape(-1)

    def close(self) -> None:
        """End the engine's processes; a program that keeps them does not end by itself."""
        self._llm.shutdown()

    async def _last(self, ask: Any, tokens: Sequence[int], parameters: Any) -> Any:
        from vllm.exceptions import VLLMError
        from vllm.v1.engine.exceptions import EngineDeadError

        async with self._turns.turn(_name_of(tokens)):
            try:
                last = None
                async for output in ask({"prompt_token_ids": list(tokens)}, parameters, next(self._names)):
                    last = output
                self._turns.deaths.answered()
                return last
            except EngineDeadError:
                _end_with_engine(self._turns.deaths, self._turns.under_way, self._turns.alone)
            except VLLMError as error:
                raise ValueError(f"vLLM: {_first_line(error.__cause__ or error)}") from error


def set_cpu_environment() -> None:
    """What vLLM's CPU build reads from the environment at its start, where nothing else is set there."""
    for name, value in _CPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def engine_arguments(arguments: Mapping[str, Any], gpus: int) -> dict[str, Any]:
    """Settle what vLLM would guess wrong: the dtype on a processor (fp16, which few compute natively), and who starts its workers."""
    settled = dict(arguments)
    if settled.get("dtype", "auto") == "auto" and not gpus:
        settled["dtype"] = str(dtype_of("auto", "cpu")).removeprefix("torch.")
    if gpus > 1 and not {"tensor_parallel_size", "pipeline_parallel_size"} & set(settled):
        settled["tensor_parallel_size"] = gpus
    settled.setdefault("distributed_executor_backend", "mp" if gpus > 1 else "uni")
    return settled


def killed_from_outside(error: BaseException) -> bool:
    """Whether vLLM says that a process of its engine was ended by a signal while it started, as where memory runs out."""
    return bool(_ENDED_BY_SIGNAL.search(str(error)))


def _end_with_engine(deaths: CrashLog, under_way: Iterable[str], alone: bool) -> NoReturn:
    deaths.mark(under_way, alone)
    os._exit(1)


def _name_of(tokens: Sequence[int]) -> str:
    return text_id_of(" ".join(map(str, tokens)))


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
