"""Sentence encoders on a worker: texts in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer

from ranking.encoders import model_path
from ranking.storage import Folder

Vectors = npt.NDArray[np.float32]
_BATCH = 32


class SentenceEncoder:
    """A sentence encoder by sentence-transformers, in bf16, one CPU thread unless given more."""

    def __init__(self, model: str, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = SentenceTransformer(model_path(model), device=device, model_kwargs={"dtype": "bfloat16"})

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Encode texts into unit vectors [texts, dimensions]."""
        vectors = self.model.encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


class DocumentEncoder:
    """Ray Data actor: rows {doc_id, content} to {doc_id, vector}."""

    def __init__(self, model: str) -> None:
        self.encoder = SentenceEncoder(model)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"doc_id": batch["doc_id"], "vector": as_lists(self.encoder.encode(batch["content"].to_pylist()))})


class VectorTable:
    """Vectors by id, read from the parquet parts of a folder (columns: id_column, vector)."""

    def __init__(self, folder: Folder, id_column: str) -> None:
        tables = [folder.read_table(name) for name in folder.names(".parquet")]
        self.ids: list[str] = [row_id for table in tables for row_id in table[id_column].to_pylist()]
        blocks = [_as_matrix(table["vector"]) for table in tables if table.num_rows]
        self.vectors: Vectors = np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)
        self.row_of = {row_id: row for row, row_id in enumerate(self.ids)}

    def __contains__(self, row_id: str) -> bool:
        return row_id in self.row_of

    def __getitem__(self, row_id: str) -> Vectors:
        vector: Vectors = self.vectors[self.row_of[row_id]]
        return vector


def as_lists(vectors: Vectors) -> pa.Array:
    """Turn a matrix into an Arrow column of float lists."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def _as_matrix(column: pa.ChunkedArray) -> Vectors:
    flat = pa.concat_arrays([chunk.flatten() for chunk in column.chunks])
    return np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(column), -1)
