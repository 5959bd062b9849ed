"""Sentence encoder that turns texts into unit vectors on workers.

This module imports torch, so import it only where texts are encoded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from actors.retrieval.embeddings import Vectors
from ranking.model_paths import model_path
from students.precision import dtype_of

_BATCH = 32


class SentenceEncoder:
    """A sentence-transformers model, in bf16 on hardware that supports it natively.

    Args:
        model: Name or path of the model.
        revision: Revision of the model on the Hugging Face Hub.
        threads: CPU threads that torch uses.
    """

    def __init__(self, model: str, revision: str | None = None, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = SentenceTransformer(
            model_path(model),
            device=device,
            revision=revision,
            trust_remote_code=False,
            model_kwargs={"dtype": dtype_of("auto", device)},
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Encode texts. Returns unit vectors [texts, dimensions]."""
        vectors = self.model.encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)
