"""model.onnx scores the token sequence that Vespa's ranking features make as the service scores the pair."""

import re

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from students.scoring import Scorer
from tests.testing.facts import FACTS
from tests.testing.search_engines import PAGES
from tests.testing.serving import QUERY, shared_student

LENGTH = 256
CLS, SEP = 101, 102
"""Constants of Vespa's tokenInputIds."""


def vespa_inputs(tokenizer, query, document):
    """Return what tokenInputIds, tokenAttentionMask and tokenTypeIds return, after Vespa's reference of rank features.

    The embedder `tokenizer` of the page has no special tokens.
    """
    parts = [tokenizer.encode(text, add_special_tokens=False).ids for text in (query, document)]
    first, rest = [CLS, *parts[0], SEP], [*parts[1], SEP]
    ids, types, mask = np.zeros((3, 1, LENGTH), np.int64)
    ids[0, : len(first + rest)] = first + rest
    mask[0, : len(first + rest)] = 1
    types[0, len(first) : len(first + rest)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def test_scores_of_vespas_token_sequence():
    folder = shared_student("vespa", 1).path
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()  # Vespa counts the ids that are not 0
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    pairs = [(QUERY, text) for _, text in FACTS[:5]] + [("heat", "Sand\nSand melts.")]
    scores = [session.run(["scores"], vespa_inputs(tokenizer, *pair))[0] for pair in pairs]
    assert [score.shape for score in scores] == [(1,)] * len(pairs)  # onnx(cross_encoder){d0:0}
    assert [float(score[0]) for score in scores] == pytest.approx(Scorer(folder).score(pairs), abs=2e-3)


def test_the_page_names_the_inputs_of_the_model():
    folder = shared_student("vespa", 1).path
    inputs = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"]).get_inputs()
    page = (PAGES / "vespa.md").read_text()
    assert set(re.findall(r"^ +input (\w+): my_", page, re.MULTILINE)) == {node.name for node in inputs}
