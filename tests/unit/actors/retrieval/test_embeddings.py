"""Vectors by content: looked up where they are, encoded once where not. No model runs here."""

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
def memory(tmp_path):
    folder = Folder(tmp_path)
    known = ["alpha", "beta"]
    table = pa.table(
        {"text_id": [text_id_of(text) for text in known], "vector": as_lists(np.stack([fake_vector(t) for t in known]))}
    )
    model_folder(folder, "some/model").write_table("part-1.parquet", table)
    return folder


def encodings(held, monkeypatch):
    asked = []

    def encode(texts):
        asked.append(list(texts))
        return np.stack([fake_vector(text) for text in texts])

    monkeypatch.setattr(held, "_encode", encode)
    return asked


def test_known_texts_are_not_encoded_and_new_ones_only_once(memory, monkeypatch):
    held = TextVectors(memory, "some/model")
    asked = encodings(held, monkeypatch)
    texts = ["beta", "gamma", "alpha", "gamma"]
    assert np.allclose(held.of(texts), np.stack([fake_vector(text) for text in texts]))
    assert np.allclose(held.of(["gamma", "alpha"]), np.stack([fake_vector("gamma"), fake_vector("alpha")]))
    assert asked == [["gamma"]]


def test_vectors_of_another_model_are_not_taken(memory, monkeypatch):
    held = TextVectors(memory, "other/model")
    asked = encodings(held, monkeypatch)
    held.of(["alpha"])
    assert asked == [["alpha"]]


def test_texts_without_a_vector_are_found_once_each(memory):
    known = text_ids_in(model_folder(memory, "some/model"))
    found = without_known(pa.table({"text": ["beta", "gamma", "alpha", "gamma"]}), known)
    assert found.to_pylist() == [{"text_id": text_id_of("gamma"), "text": "gamma"}]
    assert without_known(pa.table({"text": pa.array([], pa.string())}), known).num_rows == 0
    assert without_known(pa.table({"text": ["x"]}), text_ids_in(memory / "none")).num_rows == 1
