"""Sentence encoder that runs in vLLM. Dense retrieval and the pre-ranker use it if `compute.encoder` is `vllm`."""

from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa

from actors.retrieval.embeddings import as_lists
from actors.vllm.crash_log import CrashLog
from actors.vllm.engine import VllmEngine
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from students.input_limits import max_input_tokens

_ARGUMENTS = {"dtype": "auto", "enforce_eager": True, "max_num_seqs": 64}
_DEFAULT_MAX_TOKENS = 8192


class VllmTextEncoder:
    """Ray Data actor that encodes texts with vLLM. Maps rows {text_id, text} to rows {text_id, vector}.

    Args:
        model: Name or path of the sentence encoder.
        revision: Revision of the model on the Hugging Face Hub.
        crash_folder: Folder of the crash log.
        gpus: Number of GPUs that the engine uses; 0 runs vLLM's CPU build.
    """

    def __init__(self, model: str, revision: str | None, crash_folder: Folder, gpus: int) -> None:
        from transformers import AutoConfig, AutoTokenizer

        path = model_path(model)
        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
        self.max_tokens = max_input_tokens(path, revision, config, self.tokenizer) or _DEFAULT_MAX_TOKENS
        crash_log = CrashLog(crash_folder)
        crash_log.check()
        self.engine = VllmEngine(model, revision, "embed", _ARGUMENTS, gpus, crash_log, "candidates.retrievers")

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Encode the texts of a batch as unit vectors."""
        if not batch.num_rows:
            return pa.table({"text_id": pa.array([], pa.string())})
        tokens = self.tokenizer(batch["text"].to_pylist(), truncation=True, max_length=self.max_tokens)["input_ids"]
        vectors = np.stack(await asyncio.gather(*(self.engine.pool(row) for row in tokens)))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return pa.table({"text_id": batch["text_id"], "vector": as_lists(vectors)})
