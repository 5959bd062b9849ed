"""Form `yes_no` of the pointwise teacher with the prompt that a reranker was trained with."""

from __future__ import annotations

from typing import Any

from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.pointwise.pointwise_teacher import CrossEncoder, classifier_overrides
from actors.vllm.pooling_cache import PromptTokens
from ranking.errors import InputError
from ranking.prompts import control_tokens
from ranking.prompts.published_prompts import load_published_prompt


class PublishedYesNo(CrossEncoder):
    """Difference of the logits of two answers as a generative model's next token, or the logit of one answer."""

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        super().__init__(settings)
        self.prompt = load_published_prompt(settings.prompt_file, settings.instruction)
        self.special = control_tokens(self.tokenizer)
        answers = [token for token in (self.prompt.negative, self.prompt.positive) if token is not None]
        for token in answers:
            if token not in self.tokenizer.get_vocab():
                raise InputError(
                    f"teacher.model {settings.model!r}: the tokenizer has no token {token!r}, which the prompt "
                    f"{settings.prompt_file.name} needs; use the model that the prompt belongs to"
                )
        method = "from_2_way_softmax" if len(answers) == 2 else "no_post_processing"
        self.engine_arguments: dict[str, Any] = {"hf_overrides": classifier_overrides(settings, answers, method)}

    def tokens(self, value: tuple[str, str]) -> PromptTokens:
        """Fill and tokenize the prompt piece by piece, with the document truncated to `max_tokens`."""
        query, text = value
        encoding = self.tokenizer(
            text, add_special_tokens=False, truncation=True, max_length=self.max_tokens, return_offsets_mapping=True
        )
        end = encoding["offset_mapping"][-1][1] if encoding["input_ids"] else 0
        pieces = self.prompt.fill(query, text[:end], self.special)
        return [token for piece in pieces for token in self.tokenizer.encode(piece, add_special_tokens=False)], None
