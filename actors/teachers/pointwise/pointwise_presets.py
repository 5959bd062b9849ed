"""Presets of pointwise teachers: public rerankers with their published prompts, answer tokens and limits.

By their model cards, all are under Apache-2.0. bge-reranker-v2-gemma was made from Gemma, which has terms of use. The
rerankers of Jina AI are not here: they need code of their repositories, which is never run, and v2 and v3 are under
CC-BY-NC-4.0.
"""

from __future__ import annotations

from typing import Any

_LLM_ENGINE = {"dtype": "auto", "max_num_seqs": 64}


def _llm(model: str, prompt: str, max_length: int, reserved: int) -> dict[str, Any]:
    """Return the settings of a reranker that is a language model.

    Args:
        model: Hugging Face id.
        prompt: Name of the prompt in ranking/prompts.
        max_length: Maximum tokens of the whole prompt.
        reserved: Tokens of the prompt that are reserved for the query and the fixed text.
    """
    return {
        "form": "yes_no",
        "model": model,
        "prompt": prompt,
        "engine": {**_LLM_ENGINE, "max_model_len": max_length},
        "max_tokens": max_length - reserved,
    }


PRESETS: dict[str, dict[str, Any]] = {
    "qwen3-reranker-0.6b": _llm("Qwen/Qwen3-Reranker-0.6B", "qwen3_reranker", 8192, 512),
    "qwen3-reranker-4b": _llm("Qwen/Qwen3-Reranker-4B", "qwen3_reranker", 8192, 512),
    "qwen3-reranker-8b": _llm("Qwen/Qwen3-Reranker-8B", "qwen3_reranker", 8192, 512),
    "mxbai-rerank-base-v2": _llm("mixedbread-ai/mxbai-rerank-base-v2", "mxbai_rerank_v2", 8192, 512),
    "mxbai-rerank-large-v2": _llm("mixedbread-ai/mxbai-rerank-large-v2", "mxbai_rerank_v2", 8192, 512),
    "bge-reranker-v2-gemma": _llm("BAAI/bge-reranker-v2-gemma", "bge_reranker_v2_gemma", 1536, 512),
    "bge-reranker-v2-m3": {"form": "score", "model": "BAAI/bge-reranker-v2-m3", "max_tokens": 1024},
    "gte-reranker-modernbert-base": {
        "form": "score",
        "model": "Alibaba-NLP/gte-reranker-modernbert-base",
        "max_tokens": 8192,
    },
}
"""{name: settings that it sets}. Settings that are given explicitly win."""


def with_preset(values: Any) -> Any:
    """Fill in the settings of the preset that `preset` names.

    Args:
        values: Settings as given. Anything but a mapping with a preset is returned unchanged.

    Raises:
        ValueError: There is no such preset.
    """
    name = values.get("preset") if isinstance(values, dict) else None
    if name is None:
        return values
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    return {**PRESETS[name], **values}


def with_kind_of_preset(values: Any) -> Any:
    """Set `kind` of teacher settings with a preset, which are all pointwise, unless it is given."""
    if isinstance(values, dict) and values.get("preset") is not None:
        return {"kind": "pointwise", **values}
    return values
