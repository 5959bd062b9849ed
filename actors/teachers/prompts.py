"""The prompts of a listwise teacher, as tokens that fit its context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from actors.rows import PickedList, records
from actors.settings import ListwiseTeacherSettings
from actors.teachers.answers import Memory, list_id_of, shown_order
from ranking.encoders import model_path
from ranking.labelling.prompts import Prompt
from ranking.records import content
from ranking.storage import Folder

_FEWEST_TOKENS = 8
_PROMPTS = pa.schema(
    [
        ("list_id", pa.string()),
        ("number", pa.int64()),
        ("attempt", pa.int64()),
        ("documents", pa.int64()),
        ("document_tokens", pa.int64()),
        ("tokenized_prompt", pa.list_(pa.int64())),
        ("max_tokens", pa.int64()),
        ("temperature", pa.float64()),
        ("structured", pa.bool_()),
    ]
)


class PromptWriter:
    """Ray Data actor, one only: lists to the prompts that are still to be asked, each in its next attempt."""

    def __init__(self, memory: Folder, settings: ListwiseTeacherSettings, prompt: Prompt) -> None:
        from transformers import AutoConfig, AutoTokenizer

        self.memory = Memory(memory)
        self.settings = settings
        self.prompt = prompt
        path = model_path(settings.model)
        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=settings.revision)
        limit = AutoConfig.from_pretrained(path, revision=settings.revision).get_text_config().max_position_embeddings
        self.context = int(settings.engine.get("max_model_len") or limit)

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = []
        for row in records(batch, PickedList):
            documents, list_id = len(row.picked), list_id_of(row)
            for number in range(self.settings.orders if documents else 0):
                held = self.memory.best(list_id, number, documents)
                asked = len(self.memory.asked(list_id, [number]))
                if held is None or (not held[1].usable and asked < self.settings.attempts):
                    rows.append(self._row(row, list_id, number, asked + 1))
        return pa.Table.from_pylist(rows, schema=_PROMPTS)

    def _row(self, row: PickedList, list_id: str, number: int, attempt: int) -> dict[str, Any]:
        order = shown_order(row, list_id, number, attempt, self.settings.seed)
        texts = [content(row.picked[i].candidate.title, row.picked[i].candidate.text) for i in order]
        answer_tokens = len(self.tokenizer.encode(" > ".join(f"[{n}]" for n in range(1, len(texts) + 1)))) + 16
        room, limit = self.context - answer_tokens, self.settings.document_tokens
        tokens = self._fill(row.text, texts, limit, f"{list_id} {number} {attempt}")
        while len(tokens) > room and limit > _FEWEST_TOKENS:
            limit = max(_FEWEST_TOKENS, min(limit - 1, limit - (len(tokens) - room) // max(1, len(texts)) - 1))
            tokens = self._fill(row.text, texts, limit, f"{list_id} {number} {attempt}")
        return {
            "list_id": list_id,
            "number": number,
            "attempt": attempt,
            "documents": len(texts),
            "document_tokens": limit,
            "tokenized_prompt": tokens,
            "max_tokens": answer_tokens,
            "temperature": self.settings.temperature,
            "structured": self.settings.structured,
        }

    def _fill(self, query: str, texts: Sequence[str], limit: int, seed: str) -> list[int]:
        special = [*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()]
        messages = self.prompt.messages(query, [self._cut(text, limit) for text in texts], seed, special)
        filled = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, enable_thinking=False)
        return list(self.tokenizer.encode(filled, add_special_tokens=False))

    def _cut(self, text: str, limit: int) -> str:
        """Cut a text to so many tokens of the teacher's tokenizer, at a token's end."""
        head = text[: limit * 32]
        offsets = self.tokenizer(head, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return head[: offsets[limit - 1][1]] if len(offsets) > limit else head
