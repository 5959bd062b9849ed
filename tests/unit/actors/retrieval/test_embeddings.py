"""Embedding cache: cached texts are looked up, new texts are encoded once. The encoder is a fake."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from actors.retrieval.embeddings import TextVectors, as_lists, model_folder, text_id_of, text_ids_in, without_known
from ranking.storage.folder import Folder


def fake_vector(text):
    numbers = np.frombuffer(hashlib.md5(text.encode()).digest(), dtype=np.uint8)[:4].astype(np.float32) + 1
    return numbers / np.linalg.norm(numbers)


@pytest.fixture
def cache(tmp_path):
    folder = Folder(tmp_path)
    known = ["alpha", "beta"]
    table = pa.table(
        {"text_id": [text_id_of(text) for text in known], "vector": as_lists(np.stack([fake_vector(t) for t in known]))}
    )
    model_folder(folder, "some/model").write_table("part-1.parquet", table)
    return folder


def record_encoded(vectors, monkeypatch):
    """Replace the encoder by a fake. Returns the list of encoded batches."""
    encoded = []

    def encode(texts):
        encoded.append(list(texts))
        return np.stack([fake_vector(text) for text in texts])

    monkeypatch.setattr(vectors, "_encode", encode)
    return encoded


def test_cached_texts_are_not_encoded_and_new_texts_only_once(cache, monkeypatch):
    vectors = TextVectors(cache, "some/model")
    encoded = record_encoded(vectors, monkeypatch)
    texts = ["beta", "gamma", "alpha", "gamma"]
    assert np.allclose(vectors.of(texts), np.stack([fake_vector(text) for text in texts]))
    assert np.allclose(vectors.of(["gamma", "alpha"]), np.stack([fake_vector("gamma"), fake_vector("alpha")]))
    assert encoded == [["gamma"]]


def test_vectors_of_another_model_are_not_used(cache, monkeypatch):
    vectors = TextVectors(cache, "other/model")
    encoded = record_encoded(vectors, monkeypatch)
    vectors.of(["alpha"])
    assert encoded == [["alpha"]]


def test_vectors_of_another_revision_are_not_used(cache, monkeypatch):
    model_folder(cache, "some/model", "refs/pr/1").write_table(
        "part-1.parquet", model_folder(cache, "some/model").read_table("part-1.parquet").slice(0, 1)
    )
    vectors = TextVectors(cache, "some/model", "refs/pr/1")
    encoded = record_encoded(vectors, monkeypatch)
    vectors.of(["alpha", "beta"])
    assert encoded == [["beta"]]


def test_without_known_returns_distinct_new_texts(cache):
    known = text_ids_in(model_folder(cache, "some/model"))
    new = without_known(pa.table({"text": ["beta", "gamma", "alpha", "gamma"]}), known)
    assert new.to_pylist() == [{"text_id": text_id_of("gamma"), "text": "gamma"}]
    assert without_known(pa.table({"text": pa.array([], pa.string())}), known).num_rows == 0
    assert without_known(pa.table({"text": ["x"]}), text_ids_in(cache / "none")).num_rows == 1
