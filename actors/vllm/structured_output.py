"""Logits processor for vLLM that restricts listwise answers to chains of distinct document identifiers in range.

An answer for three documents is for example "[3] > [1]". A grammar does not work, because a regular language that keeps
the identifiers distinct is impractically large (`ranking.labels.listwise_answers.is_answer_prefix`). The model may
stop after any complete chain of identifiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from ranking.labels.answer_constraints import DOCUMENTS, ListRules

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig


class ListProcessor(AdapterLogitsProcessor):
    """Logits processor that masks every token that would make the answer malformed."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        super().__init__(vllm_config, device, is_pin_memory)
        from transformers import AutoTokenizer

        model = vllm_config.model_config
        self.rules = ListRules(
            AutoTokenizer.from_pretrained(model.tokenizer, revision=model.tokenizer_revision, trust_remote_code=False)
        )

    def is_argmax_invariant(self) -> bool:
        """Return False: masking can change the most likely token."""
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> Any:
        """Return the function that masks the logits of a request, or None if the request is not listwise."""
        documents = (params.extra_args or {}).get(DOCUMENTS)
        if documents is None:
            return None

        def mask(output_ids: list[int], logits: torch.Tensor) -> torch.Tensor:
            allowed = torch.tensor(self.rules.allowed_tokens(tuple(output_ids), int(documents)), device=logits.device)
            masked = torch.full_like(logits, float("-inf"))
            masked[allowed] = logits[allowed]
            return masked

        return mask
