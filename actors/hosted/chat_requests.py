"""Bodies of chat-completions requests, and the answers in their responses.

The format is OpenAI's: https://platform.openai.com/docs/api-reference/chat. Servers such as vLLM and SGLang follow it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actors.vllm.completion import Completion
from ranking.hosted_settings import HostedSettings
from ranking.labels.answer_constraints import DOCUMENTS
from ranking.labels.grade_parsing import GRADE_ANSWER, JSON_GRADE_REQUEST, grade_schema
from ranking.labels.json_answers import JSON_REQUEST, ranking_schema

PATH = "/chat/completions"
JSON_SCHEMA = "json_schema"
"""Key of the sampling arguments with the name and the JSON schema of an answer, `{"name": ..., "schema": ...}`."""
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class ChatPrompt:
    """A prompt as chat messages.

    Attributes:
        messages: Messages with `role` and `content`.
        tokens: Number of tokens, estimated if there is no tokenizer.
    """

    messages: list[dict[str, str]]
    tokens: int


def body_of(
    settings: HostedSettings, model: str, prompt: ChatPrompt, sampling: Mapping[str, Any], structured: bool
) -> dict[str, Any]:
    """Make the body of a request.

    Args:
        settings: Settings of the hosted model.
        model: Name of the model.
        prompt: The prompt.
        sampling: `temperature`, `max_tokens`, and optionally `seed`, `chat_template_kwargs`, `json_schema`, and
            `extra_args` with the number of documents, or with the key of a grade.
        structured: Whether to ask for JSON: with a ranking of the documents or a grade, as `extra_args` says, or one
            that matches `json_schema`.
    """
    messages, form = prompt.messages, _answer_form(sampling.get("extra_args") or {})
    body: dict[str, Any] = {"model": model, "messages": messages, "temperature": sampling["temperature"]}
    body[settings.max_tokens_field] = sampling["max_tokens"]
    if "chat_template_kwargs" in sampling:
        body["chat_template_kwargs"] = sampling["chat_template_kwargs"]
    if "seed" in sampling:
        body["seed"] = sampling["seed"]
    if structured and form is not None:
        *earlier, last = messages
        body["messages"] = [*earlier, {**last, "content": f"{last['content']}\n\n{form[0]}"}]
        schema = {"name": form[1], "strict": True, "schema": form[2]}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif structured and JSON_SCHEMA in sampling:
        body["response_format"] = {"type": "json_schema", "json_schema": {"strict": True, **sampling[JSON_SCHEMA]}}
    body |= settings.body
    return {name: value for name, value in body.items() if value is not None}


def _answer_form(extra_args: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    """Return the request for JSON, and name and content of its schema; None for free text."""
    if DOCUMENTS in extra_args:
        return JSON_REQUEST, "ranking", ranking_schema(int(extra_args[DOCUMENTS]))
    return (JSON_GRADE_REQUEST, "grade", grade_schema()) if GRADE_ANSWER in extra_args else None


def hash_of(body: Mapping[str, Any]) -> str:
    """Hash the body of a request."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()[:32]


def completion_of(response: Any, prompt: ChatPrompt) -> Completion:
    """Read the answer in the parsed body of a response.

    A server that separates thinking from the answer sends it as `reasoning_content` or `reasoning`. Both are joined to
    the text as a thinking block. The text of a refusal counts as the answer.

    Args:
        response: The parsed JSON.
        prompt: The prompt, whose token estimate is used if the response has no usage.

    Raises:
        ValueError: The response has another form.
    """
    try:
        choice = response["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
        thinking = message.get("reasoning_content") or message.get("reasoning") or ""
        usage = response.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        completion = Completion(
            text=f"<think>{thinking}</think>{text}" if thinking else text,
            finish_reason=choice.get("finish_reason"),
            prompt_tokens=int(usage.get("prompt_tokens") or prompt.tokens),
            completion_tokens=int(usage.get("completion_tokens") or tokens_of_text(f"{thinking}{text}")),
            cached_tokens=int(details.get("cached_tokens") or 0),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the response is not a chat completion ({type(error).__name__}: {error})") from None
    if not isinstance(text, str) or not isinstance(thinking, str):
        raise ValueError("the response is not a chat completion (content is not text)")
    return completion


def tokens_of_text(text: str) -> int:
    """Estimate the number of tokens of a text from its length in bytes."""
    return -(-len(text.encode("utf-8")) // _BYTES_PER_TOKEN)
