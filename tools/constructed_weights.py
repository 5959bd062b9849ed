"""Building blocks for models with constructed initial weights: free head dimensions, principal axes and products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Linear

_UNIT = 0.3
"""Scale of the inputs of hidden units. Small enough for gelu(x) + gelu(-x) to be close to a parabola."""

_PARABOLA = 0.798
"""2 / sqrt(2 pi): gelu(x) + gelu(-x) is about _PARABOLA * x^2 for small x."""


@torch.no_grad()
def free_dimensions(query: Linear, key: Linear, size: int, count: int) -> None:
    """Free the last query-key dimensions of each attention head, changing the logits as little as possible.

    Truncates the singular value decomposition of each head's query-key product: the directions with the smallest
    singular values become the free dimensions.

    Args:
        query: Query projection, changed in place.
        key: Key projection, changed in place.
        size: Dimensions per head.
        count: Dimensions to free per head.
    """
    for start in range(0, query.out_features, size):
        rows = slice(start, start + size)
        left, query_factor = torch.linalg.qr(torch.cat([query.weight[rows], query.bias[rows, None]], 1).T)
        right, key_factor = torch.linalg.qr(key.weight[rows].T)
        u, values, v = torch.linalg.svd(query_factor @ key_factor.T)
        queries, keys = (left @ u * values.sqrt()).T, (right @ v.T * values.sqrt()).T
        queries[-count:], keys[-count:] = 0, 0
        query.weight[rows], query.bias[rows] = queries[:, :-1], queries[:, -1]
        key.weight[rows], key.bias[rows] = keys, 0.0


def principal_axes(vectors: Tensor, ignored: Sequence[int], count: int) -> Tensor:
    """Compute the first principal axes of unit vectors, rotated at random to spread the variance evenly over them.

    Args:
        vectors: Unit vectors, [texts, dimensions].
        ignored: Dimensions that get zero weight.
        count: Number of axes.

    Returns:
        The axes, [count, dimensions].
    """
    masked = vectors.double().index_fill(1, torch.tensor(ignored), 0.0)
    axes = torch.linalg.eigh(masked.T @ masked).eigenvectors[:, -count:].T
    rotation = torch.linalg.qr(torch.randn(count, count, generator=torch.Generator().manual_seed(1)).double()).Q
    rotated: Tensor = (rotation @ axes).float()
    return rotated


@torch.no_grad()
def write_product(
    inner: Linear, outer: Linear, left: Sequence[int], right: Sequence[int], results: tuple[int, int]
) -> None:
    """Write a feed-forward layer that multiplies pairs of state dimensions, with four hidden units per pair.

    gelu(x) + gelu(-x) is about 0.8 x^2 for small x, and (l + r)^2 - (l - r)^2 = 4 l r.

    Args:
        inner: First projection of the layer. Uses its first 4 * pairs hidden units.
        outer: Second projection of the layer.
        left: First dimension of each pair.
        right: Second dimension of each pair.
        results: Two state dimensions. The first receives ten times the mean of the products, the second its negative.
    """
    pairs = len(left)
    share = 10 / (4 * _PARABOLA * _UNIT**2 * pairs)
    for number, (left_sign, right_sign, sign) in enumerate(((1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1))):
        units = torch.arange(pairs) + number * pairs
        inner.weight[units, torch.tensor(left)] = left_sign * _UNIT
        inner.weight[units, torch.tensor(right)] = right_sign * _UNIT
        outer.weight[results[0], units] = sign * share
        outer.weight[results[1], units] = -sign * share
