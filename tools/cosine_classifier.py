"""The weights of a BERT sequence classifier that gives, before any training, nearly the cosine of a BERT sentence encoder.

A sentence encoder reads query and document apart, takes the mean of each one's last states and multiplies the two. A
cross-encoder reads both in one sequence, and its one label comes from the first token. Here the former is written as the latter:

- One of a state's dimensions, the segment, holds +2 for tokens of the query and -2 for the document's. The token type
  embeddings set it, no layer writes it but four hidden units of each, which renew it.
- One of the 32 dimensions of each head's queries and keys, that with the smallest singular value of their product, reads the
  segment: tokens attend less to the other text.
- One layer more: of its heads one half attends from the first token to the query and the other half to the document, to
  each token with the same weight, so that the state of the first token holds both means, in their first principal axes. Its
  hidden units give the product of the two, since gelu(x) + gelu(-x) = .8 x^2 for a small x, and (q + d)^2 - (q - d)^2 = 4 q d.

What differs from the encoder: the segment is not everywhere 2, as a layer norm divides each token by a number of its own; the
document's positions begin behind the query; both means are divided by their common length, not each by its own. Training mends
that. The encoder is one of BERT's kind, with exact gelu, mean pooling, an even number of heads, and four hidden units a dimension.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, BertModel

from tools.written import free_dimensions, principal_axes, write_product

SEGMENT = 2.0
"""A token's segment: this for the query, its negative for the document."""

_APART = 2.0
"""How much lower the attention logit of a token of the other text is."""

_POOLED = 4.0
"""The same in the layer that takes the means."""

_LOUD = 30.0
"""By how much the means are multiplied, so that little is left of the first token's own state."""


@torch.no_grad()
def cosine_classifier(encoder: BertModel, inputs: dict[str, Tensor], vectors: Tensor) -> BertForSequenceClassification:
    """Write an encoder as a classifier of one label and of one layer more.

    inputs: some texts, tokenised, to measure the encoder's layer norms with. vectors: what the encoder makes of texts, [texts,
    dimensions]; their principal axes are kept. The classifier's logit is about the cosine; `fit_logits` gives it another scale.
    """
    norms, states = _measured(encoder, inputs)
    segment = int(states.square().mean(0).argmin())
    label = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    config = BertConfig.from_dict(
        encoder.config.to_dict() | label | {"num_hidden_layers": encoder.config.num_hidden_layers + 1}
    )
    classifier = BertForSequenceClassification(config).eval()
    classifier.bert.embeddings.load_state_dict(encoder.embeddings.state_dict(), strict=False)
    *layers, last = classifier.bert.encoder.layer
    _embed_segment(classifier.bert.embeddings, segment, *norms[0])
    for number, (layer, learned) in enumerate(zip(layers, encoder.encoder.layer, strict=True)):
        layer.load_state_dict(learned.state_dict())
        _attend_apart(layer.attention.self, segment)
        _leave(layer.attention.output.dense, segment)
        _keep(layer.attention.output.LayerNorm, segment, *norms[2 * number + 1])
        _renew(layer, segment)
        _keep(layer.output.LayerNorm, segment, *norms[2 * number + 2])
    axes = (vectors.shape[1] - 4) // 2
    _take_means(last, segment, principal_axes(vectors, [segment], axes))
    _multiply(last, axes)
    _read(classifier, 2 * axes)
    return classifier


def _measured(encoder: BertModel, inputs: dict[str, Tensor]) -> tuple[list[tuple[float, float]], Tensor]:
    """The median deviation and mean of what each layer norm is given, in their order, and all states, [tokens, dimensions]."""
    mask, norms = inputs["attention_mask"].bool(), []

    def measure(_: Any, given: tuple[Tensor]) -> None:
        held = given[0][mask]
        norms.append((float(held.std(-1, unbiased=False).median()), float(held.mean(-1).median())))

    hooks = [
        module.register_forward_pre_hook(measure)
        for module in encoder.modules()
        if isinstance(module, torch.nn.LayerNorm)
    ]
    states = encoder.eval()(**inputs, output_hidden_states=True).hidden_states
    for hook in hooks:
        hook.remove()
    return norms, torch.cat([held[mask] for held in states])


def _embed_segment(embeddings: Any, segment: int, deviation: float, mean: float) -> None:
    types = embeddings.token_type_embeddings.weight
    types[1] = types[0]
    for table in (embeddings.word_embeddings, embeddings.position_embeddings):
        table.weight[:, segment] = 0
    types[:2, segment] = torch.tensor([3.0, -3.0]) * deviation
    _keep(embeddings.LayerNorm, segment, SEGMENT / 3, mean * SEGMENT / 3 / deviation)


def _attend_apart(attention: Any, segment: int) -> None:
    """Give the least of each head's dimensions to the segment. Logits are as before, but for that dimension's part."""
    size = attention.attention_head_size
    for module in (attention.query, attention.key, attention.value):
        module.weight[:, segment] = 0
    free_dimensions(attention.query, attention.key, size, 1)
    for module in (attention.query, attention.key):
        module.weight[:, segment] = 0  # what was nothing is nearly nothing now
        module.weight[size - 1 :: size, segment] = (_APART / 2 * size**0.5) ** 0.5 / SEGMENT


def _leave(dense: Any, segment: int) -> None:
    dense.weight[segment] = 0
    dense.bias[segment] = 0


def _keep(norm: Any, segment: int, deviation: float, mean: float) -> None:
    """Let a layer norm give back what it was given in that dimension."""
    norm.weight[segment] = deviation
    norm.bias[segment] = mean


def _renew(layer: Any, segment: int) -> None:
    """Two of the four hidden units that matter least take the segment away, two write +2 or -2, by its sign."""
    inner, outer = layer.intermediate.dense, layer.output.dense
    inner.weight[:, segment] = 0
    _leave(outer, segment)
    units = (inner.weight.norm(dim=1) * outer.weight.norm(dim=0)).argsort()[:4]
    inner.weight[units] = 0
    outer.weight[:, units] = 0
    inner.weight[units, segment] = torch.tensor([1.0, -1.0, 8.0 / SEGMENT, 8.0 / SEGMENT])
    inner.bias[units] = torch.tensor([0.0, 0.0, 4.0, -4.0])
    outer.weight[segment, units] = torch.tensor([-1.0, 1.0, SEGMENT / 4, -SEGMENT / 4])
    outer.bias[segment] = -SEGMENT


def _take_means(layer: Any, segment: int, axes: Tensor) -> None:
    """Dimensions 0 to axes - 1 of the first token become the query's mean, as many behind them the document's."""
    attention, output = layer.attention.self, layer.attention.output
    for dense in (attention.query, attention.key, attention.value, output.dense):
        dense.weight.zero_()
        dense.bias.zero_()
    size, count = attention.attention_head_size, len(axes)
    half = attention.num_attention_heads // 2 * size
    attention.query.bias[::size] = 1.0
    attention.key.weight[::size, segment] = _POOLED / 2 * size**0.5 / SEGMENT
    attention.key.weight[half::size, segment] *= -1
    for number, start in enumerate((0, half)):
        attention.value.weight[start : start + count] = _LOUD * axes
        output.dense.weight[number * count : (number + 1) * count, start : start + count] = torch.eye(count)


def _multiply(layer: Any, axes: int) -> None:
    """The product of both means goes to the two dimensions behind them, with either sign; about 10 times the cosine."""
    inner, outer = layer.intermediate.dense, layer.output.dense
    inner.weight[: 4 * axes] = 0
    inner.bias.zero_()
    outer.weight.zero_()
    outer.bias.zero_()
    write_product(inner, outer, range(axes), range(axes, 2 * axes), (2 * axes, 2 * axes + 1))


def _read(classifier: BertForSequenceClassification, place: int) -> None:
    """The pooler and the label read that product."""
    pooler = classifier.bert.pooler.dense
    pooler.bias.zero_()
    pooler.weight[0] = 0
    pooler.weight[0, place], pooler.weight[0, place + 1] = 0.05, -0.05
    classifier.classifier.weight.zero_()
    classifier.classifier.bias.zero_()
    classifier.classifier.weight[0, 0] = 1.0


@torch.no_grad()
def fit_logits(classifier: BertForSequenceClassification, logits: Tensor, wanted: Tensor) -> None:
    """Bring logits as near to those wanted, [pairs], as a scale and a shift of all can."""
    scale = float(torch.cov(torch.stack([logits, wanted]))[0, 1] / logits.var())
    classifier.classifier.weight.mul_(scale)
    classifier.classifier.bias.mul_(scale).add_(float(wanted.mean() - scale * logits.mean()))
