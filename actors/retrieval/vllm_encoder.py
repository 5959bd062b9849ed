"""Sentence encoder that runs in vLLM. Dense retrieval and the pre-ranker use it if `compute.encoder` is `vllm`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.retrieval.embeddings import as_lists
from actors.vllm.crash_log import CrashLog
from actors.vllm.engine import VllmEngine
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from students.bases import max_positions

_ARGUMENTS = {"dtype": "auto", "enforce_eager": True, "max_num_seqs": 64}
_DEFAULT_MAX_TOKENS = 8192
_SENTENCE_TRANSFORMERS_CONFIG = "sentence_bert_config.json"


class VllmTextEncoder:
    """Ray Data actor that encodes texts with vLLM. Maps rows {text_id, text} to rows {text_id, vector}.

    Args:
        model: Name or path of the sentence encoder.
        revision: Revision of the model on the Hugging Face Hub.
        crash_folder: Folder of the crash log.
        gpus: Number of GPUs that the engine uses; 0 runs vLLM's CPU build.
    """

    def __init__(self, model: str, revision: str | None, crash_folder: Folder, gpus: int) -> None:
        from transformers import AutoTokenizer

        path = model_path(model)
        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
        self.max_tokens = min(_max_tokens(path, revision), self.tokenizer.model_max_length)
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


def _max_tokens(path: str, revision: str | None) -> int:
    """Return the maximum number of tokens in a text.

    It is `max_seq_length` in the sentence-transformers config, or else the model's number of positions, or else 8192.
    """
    from transformers import AutoConfig
    from transformers.utils import cached_file

    file = cached_file(
        path, _SENTENCE_TRANSFORMERS_CONFIG, revision=revision, _raise_exceptions_for_missing_entries=False
    )
    length = json.loads(Path(file).read_text(encoding="utf-8")).get("max_seq_length") if file else None
    config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
    return int(length or max_positions(config) or _DEFAULT_MAX_TOKENS)
