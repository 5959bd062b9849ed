"""Pairs that are assembled from separately tokenized texts equal those of the tokenizer, or are not assembled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ranking.model_paths import model_path
from students.batches import tokenize
from students.pair_assembly import assembler_of
from students.pair_templates import with_prompt_template

CORPUS = ["merge several sorted inputs into one", "the quick brown fox, Zürich 漢字", "don't panic (x[1]) == 42"] * 20
WORDS = ["merge", "a", "sorted", "<s>", "[SEP]", "</s>", "x" * 30, "漢字", "🙂", "\n"]
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(["merge", "a", "sorted", "<s>", "[SEP]", "</s>", "x" * 30, "漢字", "🙂", "\n"])).map(
        " ".join
    ),
    st.integers(0, 90).map(lambda words: "a " * words),
)


def byte_level(post_processor=None, **options):
    """Train a small byte-level BPE tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "</s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **options)


def roberta():
    return byte_level(processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=False))


def sentencepiece_like():
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return tokenizer


TOKENIZERS = {
    "bert": lambda: AutoTokenizer.from_pretrained(model_path("minilm-cross")),
    "roberta": roberta,
    "byte-level without special tokens": lambda: byte_level(processors.ByteLevel(trim_offsets=False)),
    "metaspace": sentencepiece_like,
    "prompt of RRA-GPT": lambda: with_prompt_template(byte_level()),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


@settings(max_examples=150)
@given(query=TEXTS, documents=st.lists(TEXTS, min_size=1, max_size=4), max_length=st.sampled_from([24, 33, 64]))
def test_assembled_pairs_equal_the_tokenizers(tokenizer, query, documents, max_length):
    assembler = ASSEMBLERS.setdefault((id(tokenizer), max_length), None) or assembler_of(tokenizer, max_length)
    ASSEMBLERS[id(tokenizer), max_length] = assembler
    assert assembler is not None
    tokens = assembler.query(query)
    if tokens is None:  # more than half of the tokens
        assert len(tokenizer(query, add_special_tokens=False)["input_ids"]) > assembler.max_tokens // 2
        return
    rows = [assembler.row(tokens, document) for document in assembler.documents(documents)]
    assert rows == tokenize(tokenizer, [(query, document) for document in documents], max_length)


ASSEMBLERS = {}


def test_long_documents_are_clipped_in_the_same_way(tokenizer):
    assembler = assembler_of(tokenizer, 40)
    documents = ["word " * 5000, "x" * 5000, " " * 5000, "漢字" * 3000]
    rows = [assembler.row(assembler.query("a query"), document) for document in assembler.documents(documents)]
    assert rows == tokenize(tokenizer, [("a query", document) for document in documents], 40)
    assert all(len(document) <= assembler.max_tokens for document in assembler.documents(documents))


def test_tokenizer_that_truncates_on_the_left_is_not_used():
    tokenizer = AutoTokenizer.from_pretrained(model_path("minilm-cross"), truncation_side="left")
    assert assembler_of(tokenizer, 32) is None


def test_tokenizer_that_puts_the_document_first_is_not_used():
    first = processors.TemplateProcessing("$A", "<s> $B </s> $A", [("<s>", 0), ("</s>", 1)])
    assert assembler_of(byte_level(first), 32) is None


def test_tokenizer_with_an_input_per_word_is_not_used():
    class WithPositions(PreTrainedTokenizerFast):
        """A tokenizer that returns an input which depends on the whole pair."""

        def __call__(self, *arguments, **options):
            encoded = super().__call__(*arguments, **options)
            encoded["positions"] = [list(range(len(ids))) for ids in encoded["input_ids"]]
            return encoded

    tokenizer = WithPositions(tokenizer_object=byte_level().backend_tokenizer, pad_token="<pad>")
    assert assembler_of(tokenizer, 32) is None
