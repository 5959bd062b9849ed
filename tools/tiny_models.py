"""Tiny models with random weights, for tests that need a real engine but no meaningful answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    XLMRobertaConfig,
)

from ranking.model_paths import model_path

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_generator(folder: Path, hidden: int = 64, layers: int = 2, context: int = 2048) -> Path:
    """Write a Qwen3 decoder with random weights and a byte-level tokenizer of 400 tokens.

    `hidden=768` and `layers=12` give 113M parameters.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    text = ["Rank the documents [1] > [2] > [12] > [13] that answer the query, the best first: yes or no"] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.add_tokens(["yes", "no"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=512,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        head_dim=32,
        max_position_embeddings=context,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def tiny_cross_encoder(folder: Path) -> Path:
    """Write a sequence classifier with one label: the bundled sentence encoder with a random classification head."""
    torch.manual_seed(0)
    source = model_path("minilm")
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, trust_remote_code=False)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, trust_remote_code=False).save_pretrained(folder)
    return folder


def tiny_bert(folder: Path, labels: Sequence[str] | None = None) -> Path:
    """Write a BERT with random weights that reads 64 tokens: an encoder, or a sequence classifier if it has labels."""
    torch.manual_seed(0)
    names = {} if labels is None else {"id2label": dict(enumerate(labels))}
    config = BertConfig(hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, **names)
    config.max_position_embeddings = 64
    (BertModel if labels is None else BertForSequenceClassification)(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path("minilm"), trust_remote_code=False).save_pretrained(folder)
    return folder


_TEXTS = [
    "merge two sorted lists into one",
    "how to pause a program for some seconds",
    "검색 질의에 맞는 문서를 찾는다",
    "join parts of a path",
] * 4
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def tiny_xlm_roberta(folder: Path) -> Path:
    """Write an XLM-RoBERTa with random weights and a unigram tokenizer."""
    tokenizer = _unigram_tokenizer(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>", "<s>", "</s>", " </s>")
    fast = _fast_tokenizer(
        tokenizer, cls="<s>", sep="</s>", pad="<pad>", unk="<unk>", mask="<mask>", bos="<s>", eos="</s>"
    )
    config = XLMRobertaConfig(
        vocab_size=len(fast), max_position_embeddings=130, type_vocab_size=1, pad_token_id=fast.pad_token_id, **_SIZES
    )
    return _save_untrained(folder, config, fast)


def tiny_deberta(folder: Path) -> Path:
    """Write a DeBERTa-v3 with random weights and a unigram tokenizer."""
    tokenizer = _unigram_tokenizer(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[UNK]", "[CLS]", "[SEP]", "")
    config = DebertaV2Config(
        vocab_size=len(_bert_tokenizer(tokenizer)),
        max_position_embeddings=128,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        pad_token_id=0,
        **_SIZES,
    )
    return _save_untrained(folder, config, _bert_tokenizer(tokenizer))


def tiny_modern_bert(folder: Path, pooling: str = "cls") -> Path:
    """Write a ModernBERT with random weights and a byte-level tokenizer. Every second layer attends to 16 tokens.

    Args:
        folder: Folder to write to.
        pooling: Input of the classifier: the `cls` token or the `mean` of all tokens.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer.train_from_iterator(
        _TEXTS,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    tokenizer.post_processor = _template(tokenizer, "[CLS]", "[SEP]", "")
    fast = _bert_tokenizer(tokenizer)
    ids = {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
    config = ModernBertConfig(
        vocab_size=len(fast),
        max_position_embeddings=128,
        local_attention=16,
        global_attn_every_n_layers=2,
        classifier_pooling=pooling,
        **ids,
        **_SIZES,
    )
    return _save_untrained(folder, config, fast)


def tiny_student(folder: Path) -> str:
    """Write a BERT with random weights, and return a value for the setting `students` that uses it as base model.

    The model has 17 MB, so that an upload to S3 needs two parts.
    """
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    source = model_path("minilm")
    config = AutoConfig.from_pretrained(source, trust_remote_code=False, **sizes)
    _save_untrained(folder, config, AutoTokenizer.from_pretrained(source, trust_remote_code=False))
    return json.dumps([{"name": "rra-bert", "kind": "rra_bert", "base": str(folder), "max_length": 96}])


def _unigram_tokenizer(special: list[str], unknown: str, begin: str, end: str, between: str) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        _TEXTS, trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token=unknown)
    )
    tokenizer.post_processor = _template(tokenizer, begin, end, between)
    return tokenizer


def _template(tokenizer: Tokenizer, begin: str, end: str, between: str) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end}{between} $B {end}",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in (begin, end)],
    )


def _bert_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return _fast_tokenizer(tokenizer, cls="[CLS]", sep="[SEP]", pad="[PAD]", unk="[UNK]", mask="[MASK]")


def _fast_tokenizer(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    tokens = {f"{name}_token": token for name, token in special.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **tokens
    )


def _save_untrained(folder: Path, config: Any, tokenizer: Any) -> Path:
    torch.manual_seed(0)
    AutoModel.from_config(config, trust_remote_code=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
