"""Cache of pooled model outputs (embeddings or logits) on storage, keyed by the content of the text or text pair."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actors.retrieval.embeddings import VectorTable, as_lists
from ranking.storage.folder import Folder

Pool = Callable[[Sequence[int], int | None], Awaitable[np.ndarray]]
PromptTokens = tuple[Sequence[int], int | None]
"""Token ids of a prompt, and the index of its second text's first token for models with token types, else None."""


@dataclass(frozen=True)
class PooledOutput:
    """The engine's output for one text or pair.

    Attributes:
        vector: Embedding or logits, [values], float32.
        tokens: Number of prompt tokens.
        fresh: True if this call computed the output, False if it came from the cache or a concurrent call.
    """

    vector: np.ndarray
    tokens: int
    fresh: bool


class PoolingCache:
    """Runs the model once for each text or pair, however many candidate lists contain it.

    Args:
        folder: Folder of the cache.
        pool: The engine's pooling function, `VllmEngine.pool`.
    """

    def __init__(self, folder: Folder, pool: Pool) -> None:
        self.folder = folder
        self.pool = pool
        table = VectorTable(folder)
        self._outputs = {
            text_id: (table.vectors[row], table.prompt_tokens[row]) for text_id, row in table.row_of.items()
        }
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._unwritten: list[str] = []

    async def get(self, text_id: str, tokens: Callable[[], PromptTokens]) -> PooledOutput:
        """Look up an output, or compute it.

        Args:
            text_id: Content hash of the text or pair.
            tokens: Function that makes the prompt; called only on a cache miss.

        Raises:
            ValueError: The engine rejects the prompt.
        """
        fresh = text_id not in self._outputs and text_id not in self._in_flight
        if fresh:
            self._in_flight[text_id] = asyncio.create_task(self._pool(text_id, tokens))
        if text_id not in self._outputs:
            await self._in_flight[text_id]
        return PooledOutput(*self._outputs[text_id], fresh)

    async def write(self) -> None:
        """Write new outputs to storage in a background thread."""
        ids, self._unwritten = self._unwritten, []
        if ids:
            vectors = np.stack([self._outputs[text_id][0] for text_id in ids])
            tokens = [self._outputs[text_id][1] for text_id in ids]
            table = pa.table({"text_id": ids, "prompt_tokens": tokens, "vector": as_lists(vectors)})
            await asyncio.to_thread(self.folder.write_table, f"part-{uuid.uuid4().hex}.parquet", table)

    async def _pool(self, text_id: str, tokens: Callable[[], PromptTokens]) -> None:
        try:
            prompt, second_start = tokens()
            self._outputs[text_id] = (await self.pool(prompt, second_start), len(prompt))
            self._unwritten.append(text_id)
        finally:
            del self._in_flight[text_id]
