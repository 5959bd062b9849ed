"""Clipping of long texts before tokenization."""

import random

import pytest
from transformers import AutoTokenizer

from ranking.model_paths import model_path
from students.batches import tokenize
from students.clipping import CHARACTERS_PER_TOKEN, clip
from students.pair_templates import with_prompt_template

LIMIT = 32
WORDS = ["ranking", "a", "internationalisation", "x" * 60, "漢字", "e\u0301", "foo(bar)[1]", "...", "\n\n", "   "]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(model_path("minilm-cross"))


def texts(count=200):
    rng = random.Random(7)
    return [rng.choice([" ", "", "\n"]).join(rng.choices(WORDS, k=rng.randrange(2000))) for _ in range(count)]


def test_clipping_keeps_the_first_tokens(tokenizer):
    def first_tokens(values):
        return tokenizer(values, truncation=True, max_length=LIMIT, add_special_tokens=False)["input_ids"]

    long = [text for text in texts() if len(tokenizer(text, verbose=False)["input_ids"]) > 2 * LIMIT]
    clipped = clip(tokenizer, long, LIMIT)
    assert first_tokens(clipped) == first_tokens(long)
    assert sum(map(len, clipped)) < sum(map(len, long)) / 3


def test_short_texts_are_unchanged(tokenizer):
    short = ["", " ", "word", "two words " * 20]
    assert clip(tokenizer, short, LIMIT) == short


@pytest.mark.parametrize("filler", [" ", "x", "e\u0301", "\n"])
def test_texts_with_few_tokens_are_cut_at_a_fixed_length(tokenizer, filler):
    (clipped,) = clip(tokenizer, [filler * 100_000], LIMIT)
    assert len(clipped) <= CHARACTERS_PER_TOKEN * 2 * LIMIT


def test_pairs_with_long_texts_are_tokenized_as_before(tokenizer):
    rng = random.Random(8)
    values = texts()
    # not two very long texts, whose overflowing tokens the tokenizer would combine pairwise in gigabytes of memory
    lengths = [(10, 100_000), (100, 100_000), (1000, 1000), (20_000, 20)]
    pairs = []
    for _ in range(200):
        query, document = rng.choice(lengths)
        pairs.append((rng.choice(values)[:query] or "q", rng.choice(values)[:document]))
    for each in (tokenizer, with_prompt_template(tokenizer)):
        rows = tokenize(each, pairs, LIMIT)
        encoded = each([q for q, _ in pairs], [d for _, d in pairs], truncation="longest_first", max_length=LIMIT)
        assert [row["input_ids"] for row in rows] == encoded["input_ids"]
