"""Check a teacher's model before its engine starts: whether it fits the teacher's form, and how much it reads."""

from __future__ import annotations

from typing import Any

from actors.teachers.comparing.comparing_settings import ComparingTeacherSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.teacher_settings import TeacherSettings
from ranking.hosted_settings import is_hosted
from ranking.model_paths import model_path
from ranking.models.model_roles import Role

YES_NO_WORDS = ("no", "yes")
"""Tokens whose logits the form `yes_no` compares."""
_SETTING = "teacher.model"
_HEAD_FROM_WORDS = "classifier_from_token"
"""Override of vLLM that makes a classification head from rows of the language-model head."""


def check_teacher_model(settings: TeacherSettings | ComparingTeacherSettings) -> None:
    """Check the model of a teacher. Recorded and hosted teachers have none here.

    Raises:
        InputError: The model is incomplete, needs its own code, or does not fit the teacher.
    """
    if is_hosted(settings):
        return
    from students.model_check import check_vllm_model  # imports torch, which not every process needs

    if isinstance(settings, ListwiseTeacherSettings | ComparingTeacherSettings):
        check_vllm_model(settings.model, settings.revision, _SETTING, "generate", chat=True)
    elif isinstance(settings, PointwiseTeacherSettings):
        fills_template = settings.form == "yes_no" and not settings.has_published_prompt
        check_vllm_model(
            settings.model,
            settings.revision,
            _SETTING,
            _role_of(settings),
            chat=fills_template,
            words=YES_NO_WORDS if fills_template else (),
            advice="use form: yes_no",
        )


def input_limit(settings: PointwiseTeacherSettings, tokenizer: Any) -> int:
    """Return the maximum number of tokens of an input that the engine reads, special tokens included.

    Args:
        settings: Teacher settings. `engine.max_model_len` may be below the model's limit.
        tokenizer: Tokenizer of the model.
    """
    from transformers import AutoConfig

    from students.input_limits import max_input_tokens

    path = model_path(settings.model)
    config = AutoConfig.from_pretrained(path, revision=settings.revision, trust_remote_code=False)
    limits = (max_input_tokens(path, settings.revision, config, tokenizer), _context_of(settings))
    return min((limit for limit in limits if limit is not None), default=settings.max_tokens)


def limit_note(settings: TeacherSettings) -> str | None:
    """Describe that inputs are truncated to fewer tokens than `teacher.max_tokens`; None if they are not."""
    if not isinstance(settings, PointwiseTeacherSettings):
        return None
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        model_path(settings.model), revision=settings.revision, trust_remote_code=False
    )
    limit = input_limit(settings, tokenizer)
    if limit >= settings.max_tokens:
        return None
    return (
        f"teacher.max_tokens is {settings.max_tokens}, but {settings.model} reads {limit}; longer inputs are truncated"
    )


def _role_of(settings: PointwiseTeacherSettings) -> Role:
    """Return the role of the model, which `engine.hf_overrides` may change from a language model to a classifier."""
    if settings.form == "embed":
        return "embed"
    overrides = settings.engine.get("hf_overrides")
    makes_head = isinstance(overrides, dict) and _HEAD_FROM_WORDS in overrides
    return "generate" if settings.form in ("yes_no", "query_likelihood") or makes_head else "score"


def _context_of(settings: PointwiseTeacherSettings) -> int | None:
    """Return `engine.max_model_len` if it is a number of tokens, and not a text such as `8k` or -1 for automatic."""
    length = settings.engine.get("max_model_len")
    return length if isinstance(length, int) and length > 0 else None
