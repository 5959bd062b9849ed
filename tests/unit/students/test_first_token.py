"""Computing the last layer for the first token only: same scores, less compute, and an unchanged saved model."""

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    ElectraConfig,
    ModernBertConfig,
    RobertaPreLayerNormConfig,
    XLMRobertaConfig,
)

from students.classifier import PairClassifier
from students.first_token import first_token_only, read_first_token_only

TINY = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 0,
    "num_labels": 1,
}
BERT_CONFIGS = [BertConfig, ElectraConfig, XLMRobertaConfig]


def student(config, attention="sdpa", **more):
    torch.manual_seed(3)
    config = config(**{**TINY, **more})
    classifier = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    return PairClassifier(classifier.eval())


def batch():
    torch.manual_seed(4)
    mask = torch.ones(5, 12, dtype=torch.long)
    mask[1, 7:] = mask[4, 3:] = 0
    return {"input_ids": torch.randint(1, 50, (5, 12)) * mask, "attention_mask": mask}


def scores_and_tokens(model):
    """Return the scores, and how many tokens per pair the last feed-forward layer computes."""
    tokens = []
    hook = model.base.encoder.layer[-1].intermediate.register_forward_hook(
        lambda _, inputs, __: tokens.append(inputs[0].shape[1])
    )
    with torch.inference_mode():
        scores = model(batch())
    hook.remove()
    return scores, tokens


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", BERT_CONFIGS)
def test_computes_one_token_with_the_same_scores(config, attention):
    model = student(config, attention)
    before, all_tokens = scores_and_tokens(model)
    assert before.std() > 0
    with first_token_only(model):
        during, one = scores_and_tokens(model)
    after, all_again = scores_and_tokens(model)
    assert (all_tokens, one, all_again) == ([12], [1], [12])
    assert torch.allclose(before, during, atol=1e-6)
    assert torch.equal(before, after)


def test_gradients_are_the_same():
    model = student(BertConfig, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)

    def gradients():
        model.zero_grad()
        model(batch()).square().sum().backward()
        return {name: weights.grad.clone() for name, weights in model.named_parameters() if weights.grad is not None}

    whole = gradients()
    with first_token_only(model):
        first = gradients()
    assert whole.keys() == first.keys()
    for name, gradient in whole.items():
        assert torch.allclose(gradient, first[name], atol=1e-5), name


def test_saved_model_computes_all_tokens(tmp_path):
    model = student(BertConfig)
    names = set(model.state_dict())
    read_first_token_only(model)
    assert set(model.state_dict()) == names
    model.classifier.save_pretrained(tmp_path)
    loaded = PairClassifier(AutoModelForSequenceClassification.from_pretrained(tmp_path).eval())
    assert scores_and_tokens(loaded)[1] == [12]


@pytest.mark.parametrize(
    "config", [ModernBertConfig, RobertaPreLayerNormConfig]
)  # the second uses the module names of BERT
def test_other_architectures_are_unchanged(config):
    model = student(config, num_hidden_layers=2, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2)
    with torch.inference_mode():
        before = model(batch())
        with first_token_only(model):
            assert torch.equal(model(batch()), before)


@pytest.mark.parametrize("config", BERT_CONFIGS)
def test_attention_dropout_applies_in_training_only(config):
    model = student(config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    read_first_token_only(model)
    model.base.encoder.layer[-1].train()
    inputs = batch()
    assert len({tuple(model(inputs).tolist()) for _ in range(5)}) == 5
    model.eval()
    assert len({tuple(model(inputs).tolist()) for _ in range(5)}) == 1
