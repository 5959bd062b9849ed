"""What an engine pooled, an embedding or a score, kept on storage by the text's or pair's content."""

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
"""A prompt, and where its second text begins for models that need to know."""


@dataclass(frozen=True)
class PooledOutput:
    """What was pooled. tokens: that it took. fresh: whether it was pooled for the one who asked, just now."""

    vector: np.ndarray
    tokens: int
    fresh: bool


class PoolingCache:
    """Asks the engine once for each text or pair, however many lists hold it. pool: the engine's."""

    def __init__(self, folder: Folder, pool: Pool) -> None:
        self.folder = folder
        self.pool = pool
        table = VectorTable(folder)
        self._held = {text_id: (table.vectors[row], table.prompt_tokens[row]) for text_id, row in table.row_of.items()}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._unwritten: list[str] = []

    async def get(self, text_id: str, tokens: Callable[[], PromptTokens]) -> PooledOutput:
        """Look up or pool. tokens: makes the prompt, where it is needed. Raises ValueError for what the engine refuses."""
        fresh = text_id not in self._held and text_id not in self._under_way
        if fresh:
            self._under_way[text_id] = asyncio.create_task(self._pool(text_id, tokens))
        if text_id not in self._held:
            await self._under_way[text_id]
        return PooledOutput(*self._held[text_id], fresh)

    async def write(self) -> None:
        """Write what is not written yet, beside the event loop."""
        ids, self._unwritten = self._unwritten, []
        if ids:
            vectors = np.stack([self._held[text_id][0] for text_id in ids])
            tokens = [self._held[text_id][1] for text_id in ids]
            table = pa.table({"text_id": ids, "prompt_tokens": tokens, "vector": as_lists(vectors)})
            await asyncio.to_thread(self.folder.write_table, f"part-{uuid.uuid4().hex}.parquet", table)

    async def _pool(self, text_id: str, tokens: Callable[[], PromptTokens]) -> None:
        try:
            prompt, second_from = tokens()
            self._held[text_id] = (await self.pool(prompt, second_from), len(prompt))
            self._unwritten.append(text_id)
        finally:
            del self._under_way[text_id]
