"""Construct a BERT sequence classifier whose logit, before training, approximates the cosine of a sentence encoder.

A sentence encoder reads query and document separately, averages the last states of each and multiplies the two means.
A cross-encoder reads both in one sequence and computes its label from the first token. This module rewrites the
encoder's weights as those of a cross-encoder:

- One state dimension, the segment, is +2 for query tokens and -2 for document tokens. The token type embeddings set
  it. In each layer four hidden units restore it; no other weight writes it.
- In each head, the least important of the 32 query-key dimensions, that with the smallest singular value, reads the
  segment instead. It makes tokens attend less to the other text.
- One extra layer: from the first token, half of the heads attend uniformly to the query and the other half uniformly
  to the document. The state of the first token then contains both means, projected to their first principal axes. The
  hidden units compute the product of the means: gelu(x) + gelu(-x) is about 0.8 x^2 for small x, and
  (q + d)^2 - (q - d)^2 = 4 q d.

Differences from the encoder, which training repairs: the segment is not exactly 2, because a layer norm scales each
token differently; document positions start after the query; both means are normalised by their joint length instead of
each by its own. Requires a BERT encoder with exact gelu, mean pooling, an even number of heads and an intermediate size
of four times the hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, BertModel

from tools.constructed_weights import free_dimensions, principal_axes, write_product

SEGMENT = 2.0
"""Value of the segment dimension for query tokens. Document tokens have the negative value."""

_SEPARATION = 2.0
"""Reduction of the attention logit for tokens of the other text, in the encoder's layers."""

_POOL_SEPARATION = 4.0
"""Reduction of the attention logit for tokens of the other text, in the pooling layer."""

_MEAN_SCALE = 30.0
"""Scale of the means, large enough to drown out the first token's previous state."""


@torch.no_grad()
def cosine_classifier(encoder: BertModel, inputs: dict[str, Tensor], vectors: Tensor) -> BertForSequenceClassification:
    """Rewrite an encoder as a classifier with one label and one extra layer.

    The logit is approximately proportional to the cosine; `fit_logits` rescales it.

    Args:
        encoder: The sentence encoder.
        inputs: Some tokenised texts, used to measure the inputs of the encoder's layer norms.
        vectors: The encoder's vectors of some texts, [texts, dimensions]. Used to compute principal axes.
    """
    norms, states = _measure_norms(encoder, inputs)
    segment = int(states.square().mean(0).argmin())
    label = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    config = BertConfig.from_dict(
        encoder.config.to_dict() | label | {"num_hidden_layers": encoder.config.num_hidden_layers + 1}
    )
    classifier = BertForSequenceClassification(config).eval()
    classifier.bert.embeddings.load_state_dict(encoder.embeddings.state_dict(), strict=False)
    *layers, last = classifier.bert.encoder.layer
    _embed_segment(classifier.bert.embeddings, segment, *norms[0])
    for number, (layer, source) in enumerate(zip(layers, encoder.encoder.layer, strict=True)):
        layer.load_state_dict(source.state_dict())
        _separate_texts(layer.attention.self, segment)
        _clear_output(layer.attention.output.dense, segment)
        _preserve(layer.attention.output.LayerNorm, segment, *norms[2 * number + 1])
        _restore_segment(layer, segment)
        _preserve(layer.output.LayerNorm, segment, *norms[2 * number + 2])
    axes = (vectors.shape[1] - 4) // 2
    _pool_means(last, segment, principal_axes(vectors, [segment], axes))
    _multiply_means(last, axes)
    _read_product(classifier, 2 * axes)
    return classifier


def _measure_norms(encoder: BertModel, inputs: dict[str, Tensor]) -> tuple[list[tuple[float, float]], Tensor]:
    """Measure the inputs of the encoder's layer norms.

    Returns:
        A (median standard deviation, median mean) pair for the input of each layer norm, in the encoder's order, and
        all hidden states, [tokens, dimensions].
    """
    mask, norms = inputs["attention_mask"].bool(), []

    def measure(_: Any, args: tuple[Tensor]) -> None:
        values = args[0][mask]
        norms.append((float(values.std(-1, unbiased=False).median()), float(values.mean(-1).median())))

    hooks = [
        module.register_forward_pre_hook(measure)
        for module in encoder.modules()
        if isinstance(module, torch.nn.LayerNorm)
    ]
    states = encoder.eval()(**inputs, output_hidden_states=True).hidden_states
    for hook in hooks:
        hook.remove()
    return norms, torch.cat([state[mask] for state in states])


def _embed_segment(embeddings: Any, segment: int, deviation: float, mean: float) -> None:
    """Write the segment into the token type embeddings. The embedding layer norm scales it to `SEGMENT`."""
    types = embeddings.token_type_embeddings.weight
    types[1] = types[0]
    for table in (embeddings.word_embeddings, embeddings.position_embeddings):
        table.weight[:, segment] = 0
    types[:2, segment] = torch.tensor([3.0, -3.0]) * deviation
    _preserve(embeddings.LayerNorm, segment, SEGMENT / 3, mean * SEGMENT / 3 / deviation)


def _separate_texts(attention: Any, segment: int) -> None:
    """Use the least important dimension of each head to lower the attention between query and document."""
    size = attention.attention_head_size
    for module in (attention.query, attention.key, attention.value):
        module.weight[:, segment] = 0
    free_dimensions(attention.query, attention.key, size, 1)
    for module in (attention.query, attention.key):
        module.weight[:, segment] = 0  # removes rounding errors of the decomposition
        module.weight[size - 1 :: size, segment] = (_SEPARATION / 2 * size**0.5) ** 0.5 / SEGMENT


def _clear_output(dense: Any, segment: int) -> None:
    """Stop a projection from writing the segment dimension."""
    dense.weight[segment] = 0
    dense.bias[segment] = 0


def _preserve(norm: Any, segment: int, deviation: float, mean: float) -> None:
    """Make a layer norm return its input unchanged in the segment dimension."""
    norm.weight[segment] = deviation
    norm.bias[segment] = mean


def _restore_segment(layer: Any, segment: int) -> None:
    """Restore the segment with the four least important hidden units: two remove it, two write +2 or -2 by sign."""
    inner, outer = layer.intermediate.dense, layer.output.dense
    inner.weight[:, segment] = 0
    _clear_output(outer, segment)
    units = (inner.weight.norm(dim=1) * outer.weight.norm(dim=0)).argsort()[:4]
    inner.weight[units] = 0
    outer.weight[:, units] = 0
    inner.weight[units, segment] = torch.tensor([1.0, -1.0, 8.0 / SEGMENT, 8.0 / SEGMENT])
    inner.bias[units] = torch.tensor([0.0, 0.0, 4.0, -4.0])
    outer.weight[segment, units] = torch.tensor([-1.0, 1.0, SEGMENT / 4, -SEGMENT / 4])
    outer.bias[segment] = -SEGMENT


def _pool_means(layer: Any, segment: int, axes: Tensor) -> None:
    """Write the query's mean into the first `axes` dimensions of the first token, the document's mean into the next."""
    attention, output = layer.attention.self, layer.attention.output
    for dense in (attention.query, attention.key, attention.value, output.dense):
        dense.weight.zero_()
        dense.bias.zero_()
    size, count = attention.attention_head_size, len(axes)
    half = attention.num_attention_heads // 2 * size
    attention.query.bias[::size] = 1.0
    attention.key.weight[::size, segment] = _POOL_SEPARATION / 2 * size**0.5 / SEGMENT
    attention.key.weight[half::size, segment] *= -1
    for number, start in enumerate((0, half)):
        attention.value.weight[start : start + count] = _MEAN_SCALE * axes
        output.dense.weight[number * count : (number + 1) * count, start : start + count] = torch.eye(count)


def _multiply_means(layer: Any, axes: int) -> None:
    """Write the product of the means, about 10 times the cosine, and its negative into the next two dimensions."""
    inner, outer = layer.intermediate.dense, layer.output.dense
    inner.weight[: 4 * axes] = 0
    inner.bias.zero_()
    outer.weight.zero_()
    outer.bias.zero_()
    write_product(inner, outer, range(axes), range(axes, 2 * axes), (2 * axes, 2 * axes + 1))


def _read_product(classifier: BertForSequenceClassification, position: int) -> None:
    """Make the pooler and the classification head read the product of the means."""
    pooler = classifier.bert.pooler.dense
    pooler.bias.zero_()
    pooler.weight[0] = 0
    pooler.weight[0, position], pooler.weight[0, position + 1] = 0.05, -0.05
    classifier.classifier.weight.zero_()
    classifier.classifier.bias.zero_()
    classifier.classifier.weight[0, 0] = 1.0


@torch.no_grad()
def fit_logits(classifier: BertForSequenceClassification, logits: Tensor, targets: Tensor) -> None:
    """Fit the classifier's scale and shift to target logits, by least squares.

    Args:
        classifier: The classifier, changed in place.
        logits: Its current logits, [pairs].
        targets: The logits to approximate, [pairs].
    """
    scale = float(torch.cov(torch.stack([logits, targets]))[0, 1] / logits.var())
    classifier.classifier.weight.mul_(scale)
    classifier.classifier.bias.mul_(scale).add_(float(targets.mean() - scale * logits.mean()))
