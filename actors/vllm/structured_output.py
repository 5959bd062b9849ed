"""Structured output for listwise answers, inside vLLM: only distinct identifiers in range can be written.

A logits processor and not a grammar: that identifiers are distinct is no regular language of practical
size (`ranking.labels.listwise_answers.may_go_on`). The model may stop after any whole chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from ranking.labels.answer_constraints import DOCUMENTS, ListRules

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig


class ListProcessor(AdapterLogitsProcessor):  # type: ignore[misc]
    """Masks every token that would make the answer none in form."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        super().__init__(vllm_config, device, is_pin_memory)
        from transformers import AutoTokenizer

        model = vllm_config.model_config
        self.rules = ListRules(AutoTokenizer.from_pretrained(model.tokenizer, revision=model.tokenizer_revision))

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> Any:
        documents = (params.extra_args or {}).get(DOCUMENTS)
        if documents is None:
            return None

        def mask(output_ids: list[int], logits: torch.Tensor) -> torch.Tensor:
            allowed = torch.tensor(self.rules.allowed(tuple(output_ids), int(documents)), device=logits.device)
            masked = torch.full_like(logits, float("-inf"))
            masked[allowed] = logits[allowed]
            return masked

        return mask
