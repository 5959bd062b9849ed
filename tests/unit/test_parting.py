"""Query and document read apart: at no attention across, what two readings of a bi-encoder give."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from ranking.encoders import model_path
from ranking.errors import InputError
from students.bases import check_base
from students.batches import pad, tokenize
from students.kinds import build, tokenizer_of
from students.parting import sides_of
from students.scoring import forward_pairs
from students.settings import RraBertSettings
from tests.tiny_models import tiny_deberta, tiny_xlm_roberta

PAIRS = [("merge two lists", "heapq merges sorted inputs"), ("x", ""), ("검색 질의", "문서의 검색"), ("how long", "a longer text " * 2)]


@pytest.fixture(scope="module", params=["minilm", "xlm-roberta"])
def base(request, tmp_path_factory):
    return model_path("minilm") if request.param == "minilm" else str(tiny_xlm_roberta(tmp_path_factory.mktemp("base")))


def apart(base, text):
    """A text's mean state over all its tokens, as sentence-transformers pools."""
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModel.from_pretrained(base).eval()
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)


def test_without_attention_across_the_score_is_the_bi_encoders(base):
    settings = RraBertSettings(reading="parted", cross_bias=-1e4, max_length=64)
    model, tokenizer = build(settings, base).eval(), tokenizer_of(settings, base)
    with torch.inference_mode():
        scores = forward_pairs(model, tokenizer, PAIRS, 64).tolist()
    expected = [20 * float(torch.cosine_similarity(apart(base, query), apart(base, document), dim=0)) for query, document in PAIRS]
    assert scores == pytest.approx(expected, abs=1e-3)


def test_attention_across_is_felt_and_padding_is_not(base):
    settings = RraBertSettings(reading="parted", cross_bias=0.0, max_length=64)
    model, tokenizer = build(settings, base).eval(), tokenizer_of(settings, base)
    with torch.inference_mode():
        together = forward_pairs(model, tokenizer, PAIRS, 64)
        alone = torch.cat([forward_pairs(model, tokenizer, [pair], 64) for pair in PAIRS])
        model.cross_bias = -1e4
        closed = forward_pairs(model, tokenizer, PAIRS, 64)
    assert torch.allclose(together, alone, atol=1e-4)
    assert (together - closed).abs().max() > 1e-3


def test_sides_and_the_tokens_between_them():
    settings = RraBertSettings(reading="parted", max_length=64)
    tokenizer = tokenizer_of(settings, model_path("minilm"))
    batch = pad(tokenizer, tokenize(tokenizer, [("sort list", "sorted"), ("a", "b c d"), ("a", "")], 16))
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0]) == ["[CLS]", "sort", "list", "[SEP]", "[CLS]", "sorted", "[SEP]", "[PAD]"]
    sides = sides_of(batch["segments"], batch["attention_mask"])
    assert sides.tolist() == [[1, 1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 2, 2, 2, 2, 2], [1, 1, 1, 2, 2, 0, 0, 0]]


def test_what_cannot_be_parted_is_refused(tmp_path):
    base = str(tiny_deberta(tmp_path))
    with pytest.raises(InputError, match="reading: parted needs an architecture of bert"):
        check_base(base, RraBertSettings(base=base, reading="parted", max_length=32))
    with pytest.raises(ValueError, match="parted needs head: interaction"):
        RraBertSettings(head="cls", reading="parted")
