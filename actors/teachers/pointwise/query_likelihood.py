"""Form `query_likelihood` of the pointwise teacher: the log-probability of the query given the document.

Source: Ponte and Croft, SIGIR 1998; with language models as in UPR (arXiv 2204.07496).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.vllm.engine import Task
from actors.vllm.pooling_cache import PromptTokens
from ranking.model_paths import model_path
from ranking.prompts import control_tokens, sanitize
from ranking.prompts.likelihood_prompts import load_likelihood_prompt


class QueryLikelihood:
    """Scores a document by the log-probability of the query's tokens after a prompt with the document.

    A model with a chat template reads the prompt as chat messages and the query as its own answer. Any other model
    reads them as plain text.
    """

    task: Task = "generate"
    engine_arguments: dict[str, Any] = {}

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(
            model_path(settings.model), revision=settings.revision, trust_remote_code=False
        )
        self.prompt = load_likelihood_prompt(settings.prompt_file)
        self.special = control_tokens(self.tokenizer)
        self.max_tokens = settings.max_tokens
        self.mean = settings.likelihood == "mean"

    def inputs(self, query: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
        """Return the query-document pairs."""
        return [(json.dumps([query, text], ensure_ascii=False), (query, text)) for text in texts]

    def tokens(self, value: tuple[str, str]) -> PromptTokens:
        """Fill and tokenize the prompt, with the document truncated to `max_tokens`, and append the query's tokens.

        Returns:
            The token ids, and the index of the query's first token.

        Raises:
            ValueError: The query has no tokens.
        """
        query, text = value
        encoding = self.tokenizer(
            text, add_special_tokens=False, truncation=True, max_length=self.max_tokens, return_offsets_mapping=True
        )
        end = encoding["offset_mapping"][-1][1] if encoding["input_ids"] else 0
        prompt = self._encoded(self.prompt.messages(query, text[:end], self.special))
        answer = self.tokenizer.encode(sanitize(query, self.special), add_special_tokens=False)
        if not answer:
            raise ValueError("the query has no tokens, so it has no likelihood")
        return prompt + answer, len(prompt)

    def scores(self, vectors: Sequence[np.ndarray]) -> list[float]:
        """Return the sum of the log-probabilities of the query's tokens, or their mean."""
        return [float(total / count if self.mean else total) for total, count in vectors]

    def _encoded(self, messages: list[dict[str, str]]) -> list[int]:
        if self.tokenizer.chat_template:
            filled = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
            )
            return list(self.tokenizer.encode(filled, add_special_tokens=False))
        filled = "\n\n".join(message["content"] for message in messages) + "\n"
        begin = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        return [*begin, *self.tokenizer.encode(filled, add_special_tokens=False)]
