"""Token Selection: hand-computed selections in English and Korean, by tokens and by whole words."""

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ranking.errors import InputError
from ranking.languages import analyzer_for
from ranking.model_paths import model_path
from students.batches import KEYS, SEGMENTS, pad, tokenize
from students.token_selection import IGNORED, TokenKeys, frequent_terms, matched_words, select_tokens

KOREAN = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "서울",
    "날씨",
    "부산",
    "맛",
    "##집",
    "맛집",
    "##는",
    "##의",
    "는",
    "좋다",
    "오늘",
    "추천",
    ",",
    "?",
]


@pytest.fixture(scope="module")
def english():
    return AutoTokenizer.from_pretrained(model_path("minilm"))


@pytest.fixture(scope="module")
def korean():
    """Return a WordPiece tokenizer over whole Korean syllables."""
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(KOREAN)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.fixture(scope="module")
def byte_level():
    """Return a byte-level BPE tokenizer, as in ModernBERT: a word has a different token at the start of a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["Lists are sorted lists", "sorted lists are Lists 서울 날씨 서울"] * 5, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def selected(tokenizer, query, document, match="token", **options):
    """Return the selected document tokens, spelled as in the tokenizer's vocabulary."""
    batch = pad(
        tokenizer, tokenize(tokenizer, [(query, document), ("x", "")], 64, TokenKeys(tokenizer, match, **options))
    )
    mask = select_tokens(batch[KEYS], batch[SEGMENTS])
    assert not mask[1].any()
    return tokenizer.convert_ids_to_tokens(batch["input_ids"][0][mask[0]].tolist())


def test_select_tokens_matches_hand_computed_mask():
    keys = torch.tensor(
        [[IGNORED, 5, 7, IGNORED, 7, 5, 9, IGNORED, IGNORED], [IGNORED, 9, IGNORED, 9, 5, 7, IGNORED, 1, 1]]
    )
    segments = torch.tensor([[0, 1, 1, 0, 2, 2, 2, 2, 0], [0, 1, 0, 2, 2, 2, 0, 0, 0]])
    mask = select_tokens(keys, segments).int().tolist()
    assert mask == [[0, 0, 0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0, 0]]


def test_english_ignores_stop_words_punctuation_and_case(english):
    assert selected(english, "How do I merge the sorted lists?", "Merge? The LISTS are sorted, and merged lists.") == [
        "merge",
        "lists",
        "sorted",
        "lists",
    ]
    assert selected(english, "what is it", "it is what it is") == []
    assert selected(english, "c++ [SEP] !", "! + [SEP] c") == ["c"]


def test_subwords_match_as_tokens_but_not_as_words(english):
    assert english.tokenize("heapq heapify") == ["heap", "##q", "heap", "##ify"]
    assert selected(english, "heapq", "heapify, or Heapq") == ["heap", "heap", "##q"]
    assert selected(english, "heapq", "heapify, or Heapq", "word") == ["heap", "##q"]


def test_korean_particles_match_as_tokens_but_not_as_words(korean):
    # The particle of "날씨는" is a separate token. As a word, "날씨는" differs from "날씨".
    assert korean.tokenize("날씨는 맛집") == ["날씨", "##는", "맛집"]
    assert selected(korean, "서울 날씨는?", "오늘 서울의 날씨, 부산 날씨는 좋다") == ["서울", "날씨", "날씨"]
    assert selected(korean, "서울 날씨는?", "오늘 서울의 날씨, 부산 날씨는 좋다", "word") == ["날씨", "##는"]
    assert selected(korean, "부산 맛집", "맛집, 부산") == ["맛집", "부산"]


def test_byte_level_word_start_marks_do_not_count(byte_level):
    assert byte_level.tokenize("lists lists") != [byte_level.tokenize("lists")[0]] * 2
    for match in ("token", "word"):
        assert [token.strip("Ġ") for token in selected(byte_level, "lists", "sorted lists", match)] == ["lists"]
    # At the start of a text the word is split into different bytes, so only whole words match.
    assert byte_level.tokenize("서울") != byte_level.tokenize("날씨 서울")[-len(byte_level.tokenize("서울")) :]
    assert selected(byte_level, "서울", "날씨 서울", "word") == byte_level.tokenize("날씨 서울")[-1:]


def test_stop_words_can_be_replaced(english):
    assert selected(english, "what is it", "it is what it is", stop_words=()) == ["it", "is", "what", "it", "is"]


def test_stop_words_follow_the_language(english):
    assert selected(english, "what die list", "what die list", language="german") == ["what", "list"]
    assert selected(english, "what die list", "what die list", language="none") == ["what", "die", "list"]


def test_whole_words_match_by_stem_in_other_languages(english, korean):
    assert selected(english, "Häuser", "ein haus", "word", language="german") == ["ha", "##us"]
    assert selected(english, "Häuser", "ein haus", "word") == []
    pair = ("서울 날씨는?", "오늘 서울의 날씨, 부산 날씨는 좋다")
    assert selected(korean, *pair, "word", language="korean") == ["서울", "##의", "날씨", "날씨", "##는"]
    assert selected(korean, "는", "는", "word", language="korean") == []


def test_frequent_terms_are_counted_by_stem(english):
    texts = ["ein Haus", "viele Häuser", "Regen"]
    assert len(frequent_terms(english, texts, "word", 0.5, "german")) == 1
    assert frequent_terms(english, texts, "word", 0.5) == set()


def test_matched_words_need_no_extra(korean, monkeypatch):
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    analyzer_for.cache_clear()
    documents = ["서울의 날씨", "날씨는 좋다"]
    assert matched_words(korean, "서울 날씨 는", documents, "korean") == [["날씨"], []]
    with pytest.raises(InputError, match="korean needs the package kiwipiepy"):
        TokenKeys(korean, "word", language="korean")
    assert TokenKeys(korean, "token", language="korean").stop_words
    analyzer_for.cache_clear()


def test_frequent_terms_are_not_selected(english):
    texts = ["heapq merges lists", "sorted lists", "Lists and lists of heaps", "a deque"]
    for match in ("token", "word"):
        keys = TokenKeys(english, match)
        (lists,) = {key for key in keys.compute(*encoded_words(english, "lists")) if key != IGNORED}
        assert frequent_terms(english, texts, match, 0.5) == {lists}  # three of four texts contain it
        assert frequent_terms(english, texts, match, 0.75) == set()
    frequent = frequent_terms(english, texts, "word", 0.5)
    assert selected(english, "merge sorted lists", "sorted lists, LISTS and a merge", "word", frequent=frequent) == [
        "sorted",
        "merge",
    ]


def encoded_words(tokenizer, text):
    """Return input IDs, segments and word IDs of a document."""
    encoded = tokenizer(text, add_special_tokens=False)
    return encoded["input_ids"], [2] * len(encoded["input_ids"]), encoded.word_ids()


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=6), st.lists(st.integers(-1, 5), min_size=1, max_size=12))
def test_selection_matches_its_definition(query, document):
    keys = torch.tensor([[IGNORED, *query, IGNORED, *document]])
    segments = torch.tensor([[0, *[1] * len(query), 0, *[2] * len(document)]])
    expected = [key != IGNORED and key in query for key in document]
    assert select_tokens(keys, segments)[0, len(query) + 2 :].tolist() == expected


@pytest.mark.parametrize("match", ["token", "word"])
def test_unknown_words_never_match(english, match):
    query, document = "\U0001f680 stocks", "\U0001f4a9 of stocks"
    batch = pad(english, tokenize(english, [(query, document)], 32, TokenKeys(english, match)))
    chosen = select_tokens(batch[KEYS], batch[SEGMENTS])[0].tolist()
    tokens = english.convert_ids_to_tokens(batch["input_ids"][0])
    assert tokens.count("[UNK]") == 2
    assert [token for token, is_chosen in zip(tokens, chosen, strict=True) if is_chosen] == ["stocks"]
