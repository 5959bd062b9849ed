"""A vLLM engine inside a Ray Data pipeline, the same way for every teacher that runs a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.data.llm import build_processor, vLLMEngineProcessorConfig

from actors.settings import ComputeSettings
from actors.sink import LIGHT
from ranking.encoders import model_path
from students.precision import dtype_of

_CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
Row = dict[str, Any]


def processor(
    model: str,
    task: str,
    arguments: Mapping[str, Any],
    batch_size: int,
    compute: ComputeSettings,
    preprocess: Callable[[Row], Row],
    postprocess: Callable[[Row], Row],
) -> Any:
    """Build a Ray Data processor: rows with `tokenized_prompt` in, the engine's rows out.

    task: `generate` or `embed`. arguments: of the engine. One row that fails does not end the pipeline.
    """
    gpu = compute.teacher_gpus
    config = vLLMEngineProcessorConfig(
        model_source=model_path(model),
        task_type=task,
        engine_kwargs=engine_arguments(arguments, gpu),
        batch_size=batch_size,
        concurrency=compute.teacher_engines,
        placement_group_config={"bundles": [{"CPU": compute.teacher_cpus, **({"GPU": 1} if gpu else {})}] * max(1, gpu)},
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        should_continue_on_error=True,
        runtime_env={} if gpu else {"env_vars": _CPU_ENVIRONMENT},
    )
    return build_processor(
        config, preprocess=preprocess, postprocess=postprocess, preprocess_map_kwargs=LIGHT, postprocess_map_kwargs=LIGHT
    )


def engine_arguments(arguments: Mapping[str, Any], gpus: int) -> dict[str, Any]:
    """Settle the engine's dtype: left to itself, the CPU engine takes fp16, which few processors compute natively."""
    settled = dict(arguments)
    if settled.get("dtype", "auto") == "auto" and not gpus:
        settled["dtype"] = str(dtype_of("auto", "cpu")).removeprefix("torch.")
    return settled
