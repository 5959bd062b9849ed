"""The token sequence that Vespa's ranking features make of a pair is the one that students read.

Scores are then equal too, because they do not depend on padding (test_parity.py).
"""

import re

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from students.batches import tokenize
from tests.testing.facts import FACTS, ROOT
from tests.testing.search_engines import PAGES
from tests.testing.serving import QUERY

MODEL = ROOT / "models" / "minilm-cross"
CLS, SEP = 101, 102
"""Constants of Vespa's tokenInputIds."""


def vespa_inputs(tokenizer, query, document):
    """Return tokenInputIds, tokenAttentionMask and tokenTypeIds without their zeros at the end.

    Written after Vespa's reference of rank features. The embedder `tokenizer` of the page has no special tokens.
    """
    parts = [tokenizer.encode(text, add_special_tokens=False).ids for text in (query, document)]
    first, rest = [CLS, *parts[0], SEP], [*parts[1], SEP]
    types = [0] * len(first) + [1] * len(rest)
    return {"input_ids": first + rest, "attention_mask": [1] * len(types), "token_type_ids": types}


@pytest.mark.parametrize(
    "document", [*(text for _, text in FACTS[:5]), "Sand\nSand melts.", "", "caf\u00e9 \u6f22\u5b57"]
)
def test_token_sequence_of_vespa_is_that_of_students(document):
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    (expected,) = tokenize(AutoTokenizer.from_pretrained(MODEL), [(QUERY, document)], 192)
    assert vespa_inputs(tokenizer, QUERY, document).items() <= expected.items()


def test_the_page_names_the_inputs_of_bert_students():
    page = (PAGES / "vespa.md").read_text()
    inputs = re.findall(r"^ +input (\w+): my_", page, re.MULTILINE)
    assert set(inputs) == set(AutoTokenizer.from_pretrained(MODEL).model_input_names)
    assert "<special-tokens>false</special-tokens>" in page
