"""Fields of other rerank APIs that this service does not declare: refuse those that would change the ranking.

The other ones are listed in the response, so that no field is ignored silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException

_MAX_LISTED = 10

_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "instruction": (("",), "the served model takes no instruction; leave it out"),
    "chat_template_kwargs": (({},), "the served model has no chat template; leave it out"),
    "truncate_prompt_tokens": ((-1,), "not supported; use max_tokens_per_doc"),
    "truncation_side": (("right",), "documents are truncated at their end only; use 'right', or leave it out"),
    "truncation_direction": (
        ("Right", "right"),
        "documents are truncated at their end only; use 'Right', or leave it out",
    ),
    "truncation": ((True,), "not supported; use truncate: false to refuse long documents"),
    "max_tokens_per_query": ((0,), "queries are not truncated separately; leave it out"),
    "use_activation": ((True,), "not supported; use raw_scores: true to get raw scores"),
}
"""{field: (values that ask for what the service does anyway, why other values are refused)}."""

_WITHOUT_EFFECT_ON_RANKINGS = {"model", "user", "request_id", "priority"}


def check_undeclared(fields: Mapping[str, Any]) -> list[str]:
    """Check the fields of a request that its schema does not declare.

    Args:
        fields: The fields that are not null.

    Returns:
        The names of the fields that had no effect although a client may expect one, at most ten, in ASCII.

    Raises:
        HTTPException: Status 422 if a field asks for a ranking that the service cannot compute.
    """
    for name, value in fields.items():
        accepted, reason = _REFUSED.get(name, ((value,), ""))
        if not any(type(value) is type(other) and value == other for other in accepted):
            raise HTTPException(422, f"{name}: {reason}")
    names = [name for name in fields if name not in _WITHOUT_EFFECT_ON_RANKINGS and name not in _REFUSED]
    return [_printable(name) for name in names[:_MAX_LISTED]]


def _printable(name: str) -> str:
    """Return a name that can be part of a comma-separated header."""
    return re.sub(r"[^\w.-]", "?", name, flags=re.ASCII)[:50] or "?"
