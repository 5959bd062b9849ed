"""Cache of text embeddings on storage, keyed by the content of the text. No model encodes a text twice.

Each model has a folder of Parquet files with the columns text_id and vector (a unit vector). Importing this module is
cheap; torch is imported only when a text is encoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from actors.retrieval.encoder import SentenceEncoder

_MAX_ENCODED = 100_000
"""Number of vectors in memory above which `TextVectors` drops the vectors it no longer needs."""

Vectors = npt.NDArray[np.float32]


class VectorTable:
    """All vectors in a cache folder, loaded into memory and accessible by text id.

    Attributes:
        ids: Text ids, in the order of `vectors`.
        vectors: Matrix [texts, dimensions].
        prompt_tokens: Prompt tokens of each text, in the order of `vectors`. Empty if the folder has no such column.
        row_of: {text id: row in `vectors`}.
    """

    def __init__(self, folder: Folder) -> None:
        tables = [folder.read_table(name) for name in folder.names(".parquet")]
        self.ids: list[str] = [text_id for table in tables for text_id in table["text_id"].to_pylist()]
        counted = [table["prompt_tokens"] for table in tables if "prompt_tokens" in table.column_names]
        self.prompt_tokens: list[int] = [tokens for column in counted for tokens in column.to_pylist()]
        blocks = [_as_matrix(table["vector"]) for table in tables if table.num_rows]
        self.vectors: Vectors = np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)
        self.row_of = {text_id: row for row, text_id in enumerate(self.ids)}

    def __contains__(self, text_id: str) -> bool:
        """Return whether the folder has a vector for this text id."""
        return text_id in self.row_of

    def __getitem__(self, text_id: str) -> Vectors:
        """Return the vector of a text id."""
        vector: Vectors = self.vectors[self.row_of[text_id]]
        return vector


class TextVectors:
    """Embeddings of texts, read from the cache, or else computed with a sentence encoder and kept in memory.

    Args:
        cache: Folder of the embedding cache.
        model: Name or path of the sentence encoder.
        revision: Revision of the model on the Hugging Face Hub.
    """

    def __init__(self, cache: Folder, model: str, revision: str | None = None) -> None:
        self.model, self.revision = model, revision
        self.table = VectorTable(model_folder(cache, model, revision))
        self.encoded: dict[str, Vectors] = {}
        self._encoder: SentenceEncoder | None = None

    def of(self, texts: Sequence[str]) -> Vectors:
        """Get the embeddings of one or more texts. Returns unit vectors [texts, dimensions]."""
        ids = [text_id_of(text) for text in texts]
        new = {
            text_id: text
            for text_id, text in zip(ids, texts, strict=True)
            if text_id not in self.table and text_id not in self.encoded
        }
        if len(self.encoded) > _MAX_ENCODED:
            self.encoded = {text_id: self.encoded[text_id] for text_id in ids if text_id in self.encoded}
        if new:
            self.encoded.update(zip(new, self._encode(list(new.values())), strict=True))
        return np.stack([self.table[text_id] if text_id in self.table else self.encoded[text_id] for text_id in ids])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        """Encode texts. Loads the encoder at the first call."""
        from actors.retrieval.encoder import SentenceEncoder

        self._encoder = self._encoder or SentenceEncoder(self.model, self.revision)
        return self._encoder.encode(texts)


class TextEncoder:
    """Ray Data actor that encodes texts. Maps rows {text_id, text} to rows {text_id, vector}."""

    def __init__(self, model: str, revision: str | None = None) -> None:
        from actors.retrieval.encoder import SentenceEncoder

        self.encoder = SentenceEncoder(model, revision)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Encode the texts of a batch as unit vectors."""
        if not batch.num_rows:
            return pa.table({"text_id": pa.array([], pa.string())})
        return pa.table(
            {"text_id": batch["text_id"], "vector": as_lists(self.encoder.encode(batch["text"].to_pylist()))}
        )


def text_ids_in(folder: Folder) -> npt.NDArray[np.bytes_]:
    """Read the sorted ids of the texts in a model's folder. Workers on a node share one copy of the array."""
    return np.unique(np.array(folder.read_column("text_id"), dtype="S24"))


def without_known(batch: pa.Table, known: npt.NDArray[np.bytes_]) -> pa.Table:
    """Select the distinct texts whose id is not in `known`. Maps rows {text} to rows {text_id, text}."""
    new = {text_id_of(text): text for text in batch["text"].to_pylist()}
    ids = np.array(list(new), dtype="S24")
    missing = ids[~np.isin(ids, known)].astype(str).tolist()
    return pa.table(
        {
            "text_id": pa.array(missing, pa.string()),
            "text": pa.array([new[text_id] for text_id in missing], pa.string()),
        }
    )


def model_folder(cache: Folder, model: str, revision: str | None = None) -> Folder:
    """Return the folder of a model in an embedding cache. Each revision has its own folder."""
    return cache / (f"{model}@{revision}" if revision else model).replace("/", "--")


def text_id_of(text: str) -> str:
    """Return the id of a text: the first 24 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:24]


def as_lists(vectors: Vectors) -> pa.Array:
    """Convert a matrix to an Arrow column of fixed-size float lists."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def _as_matrix(column: pa.ChunkedArray) -> Vectors:
    """Convert an Arrow column of float lists to a matrix."""
    flat = pa.concat_arrays([chunk.flatten() for chunk in column.chunks])
    return np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(column), -1)
