"""Run a vLLM engine in the process of a teacher or a rationale writer, with many concurrent requests.

Each request is awaited separately. One candidate list can therefore be retried, or ranked in several steps, while
requests for other lists are in flight.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn

import numpy as np

from actors.retrieval.embeddings import text_id_of
from actors.vllm.completion import Completion
from actors.vllm.crash_log import CrashLog
from actors.vllm.request_limiter import RequestLimiter
from ranking import usage_statistics
from ranking.errors import InputError
from ranking.model_paths import model_path
from students.precision import dtype_of

Task = Literal["generate", "embed", "classify"]

_RUNNERS: dict[Task, dict[str, str]] = {
    "generate": {"runner": "generate"},
    "embed": {"runner": "pooling", "convert": "embed"},
    "classify": {"runner": "pooling", "convert": "classify"},
}
_KILLED_BY_SIGNAL = re.compile(r"Failed core proc\(s\): \{.*: -\d+")
_CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}


class VllmEngine:
    """A vLLM engine for one model and task.

    If the engine crashes, this process records the crash and exits. Ray then restarts the process and retries the
    candidate lists that were in flight.

    Args:
        model: Folder or Hugging Face id.
        revision: Revision of the model on the Hugging Face Hub.
        task: What the engine computes: generated text, embeddings or classifier logits.
        arguments: Engine arguments of vLLM.
        gpus: Number of GPUs that the engine uses; 0 runs vLLM's CPU build.
        crash_log: Crash log of the teacher or rationale writer.
        setting: Name of the setting that contains the model, for error messages.

    Raises:
        InputError: vLLM cannot load the model.
    """

    def __init__(
        self,
        model: str,
        revision: str | None,
        task: Task,
        arguments: Mapping[str, Any],
        gpus: int,
        crash_log: CrashLog,
        setting: str = "teacher.model",
    ) -> None:
        usage_statistics.turn_off()
        if not gpus:
            set_cpu_environment()
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.metrics.ray_wrappers import RayPrometheusStatLogger

        all_arguments = (
            engine_arguments(arguments, gpus) | _RUNNERS[task] | ({"revision": revision} if revision else {})
        )
        try:
            self._llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(model=model_path(model), trust_remote_code=False, **all_arguments),
                stat_loggers=[RayPrometheusStatLogger],
            )
        except Exception as error:
            if killed_by_signal(error):
                _record_crash_and_exit(crash_log, (), False)
            raise InputError(f"{setting} {model!r}: vLLM cannot load the model ({_first_line(error)})") from error
        self._task = task
        self._supports_seeds = gpus > 0
        self._request_ids = map(str, itertools.count())
        # max_num_seqs requests run at once; 10% more keep the engine busy, and further ones would only queue inside it
        max_in_flight = math.ceil(1.1 * self._llm.vllm_config.scheduler_config.max_num_seqs)
        self._limiter = RequestLimiter(max_in_flight, crash_log)

    async def generate(self, tokens: Sequence[int], sampling: Mapping[str, Any]) -> Completion:
        """Generate text after a prompt.

        Args:
            tokens: Token ids of the prompt.
            sampling: Arguments of vLLM's SamplingParams.

        Raises:
            ValueError: vLLM rejects the prompt, or the prompt is quarantined (see `CrashLog`).
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # a per-request seed crashes vLLM's CPU engine: "CPU Generator does not use offset"
        supported = {name: value for name, value in sampling.items() if self._supports_seeds or name != "seed"}
        parameters = SamplingParams(**supported, output_kind=RequestOutputKind.FINAL_ONLY)
        output = await self._final_output(self._llm.generate, tokens, parameters)
        completion = output.outputs[0]
        first = completion.logprobs[0] if completion.logprobs else {}
        return Completion(
            completion.text,
            completion.finish_reason,
            len(tokens),
            len(completion.token_ids),
            output.num_cached_tokens or 0,
            {token: value.logprob for token, value in first.items()},
        )

    async def log_likelihood(self, tokens: Sequence[int], start: int | None) -> np.ndarray:
        """Compute the log-probability of the last part of a prompt, given the part before it.

        Args:
            tokens: Token ids of the prompt.
            start: Index of the first token of the last part, 1 or more.

        Returns:
            The sum of the log-probabilities of the tokens from `start` on, and their number, [2], float32.

        Raises:
            ValueError: vLLM rejects the prompt, or the prompt is quarantined (see `CrashLog`).
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        assert start
        parameters = SamplingParams(
            temperature=0.0, max_tokens=1, prompt_logprobs=0, output_kind=RequestOutputKind.FINAL_ONLY
        )
        output = await self._final_output(self._llm.generate, tokens, parameters)
        values = [output.prompt_logprobs[place][tokens[place]].logprob for place in range(start, len(tokens))]
        return np.asarray([sum(values), len(values)], dtype=np.float32)

    async def pool(self, tokens: Sequence[int], second_start: int | None = None) -> np.ndarray:
        """Compute the embedding or the classifier logits of a prompt.

        Args:
            tokens: Token ids of the prompt.
            second_start: Index of the first token of the second text of a pair, for models with token types; else None.

        Returns:
            The embedding or logits, [values], float32.

        Raises:
            ValueError: vLLM rejects the prompt, or the prompt is quarantined (see `CrashLog`).
        """
        from vllm import PoolingParams

        assert self._task != "generate"
        extra = {} if second_start is None else {"compressed_token_type_ids": second_start}
        parameters = PoolingParams(
            task=self._task, use_activation=None if self._task == "embed" else False, extra_kwargs=extra or None
        )
        output = await self._final_output(self._llm.encode, tokens, parameters)
        return np.asarray(output.outputs.data, dtype=np.float32).reshape(-1)

    def close(self) -> None:
        """Shut down the engine's processes. Without this, the calling program does not exit."""
        self._llm.shutdown()

    async def _final_output(self, request: Any, tokens: Sequence[int], parameters: Any) -> Any:
        from vllm.exceptions import VLLMError
        from vllm.v1.engine.exceptions import EngineDeadError

        async with self._limiter.slot(_prompt_id(tokens)):
            try:
                last = None
                async for output in request({"prompt_token_ids": list(tokens)}, parameters, next(self._request_ids)):
                    last = output
                self._limiter.crash_log.record_answer()
                return last
            except EngineDeadError:
                _record_crash_and_exit(self._limiter.crash_log, self._limiter.in_flight, self._limiter.alone)
            except VLLMError as error:
                raise ValueError(f"vLLM: {_first_line(error.__cause__ or error)}") from error


def set_cpu_environment() -> None:
    """Set defaults for the environment variables that vLLM's CPU build reads when it starts."""
    for name, value in _CPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def engine_arguments(arguments: Mapping[str, Any], gpus: int) -> dict[str, Any]:
    """Add engine arguments whose defaults in vLLM are unsuitable.

    Sets the dtype on a CPU (vLLM picks fp16, which few CPUs compute natively), the tensor parallel size and the
    executor backend. Arguments that are already set stay unchanged.

    Args:
        arguments: Engine arguments of vLLM.
        gpus: Number of GPUs that the engine uses; 0 runs vLLM's CPU build.
    """
    completed = dict(arguments)
    if completed.get("dtype", "auto") == "auto" and not gpus:
        completed["dtype"] = str(dtype_of("auto", "cpu")).removeprefix("torch.")
    if gpus > 1 and not {"tensor_parallel_size", "pipeline_parallel_size"} & set(completed):
        completed["tensor_parallel_size"] = gpus
    completed.setdefault("distributed_executor_backend", "mp" if gpus > 1 else "uni")
    return completed


def killed_by_signal(error: BaseException) -> bool:
    """Check whether vLLM reports that a signal killed an engine process at startup, as when memory runs out."""
    return bool(_KILLED_BY_SIGNAL.search(str(error)))


def _record_crash_and_exit(crash_log: CrashLog, in_flight: Iterable[str], alone: bool) -> NoReturn:
    crash_log.record_crash(in_flight, alone)
    os._exit(1)


def _prompt_id(tokens: Sequence[int]) -> str:
    return text_id_of(" ".join(map(str, tokens)))


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
