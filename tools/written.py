"""What the models whose first weights are written have in common: dimensions of heads made free, principal axes, products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Linear

_UNIT = 0.3
"""What hidden units make of a dimension of a normalised state: small enough for gelu to be a parabola."""

_PARABOLA = 0.798
"""gelu(x) + gelu(-x) = this x^2: 2 / sqrt(2 pi)."""


@torch.no_grad()
def free_dimensions(query: Linear, key: Linear, size: int, count: int) -> None:
    """Free so many dimensions of each head, the last, in its queries and keys; logits are as near to what they were as can be.

    size: dimensions of a head. What is freed is what matters least: the smallest singular values of their product.
    """
    for start in range(0, query.out_features, size):
        rows = slice(start, start + size)
        left, of_asked = torch.linalg.qr(torch.cat([query.weight[rows], query.bias[rows, None]], 1).T)
        right, of_keys = torch.linalg.qr(key.weight[rows].T)
        u, values, v = torch.linalg.svd(of_asked @ of_keys.T)
        queries, keys = (left @ u * values.sqrt()).T, (right @ v.T * values.sqrt()).T
        queries[-count:], keys[-count:] = 0, 0
        query.weight[rows], query.bias[rows] = queries[:, :-1], queries[:, -1]
        key.weight[rows], key.bias[rows] = keys, 0.0


def principal_axes(vectors: Tensor, left_out: Sequence[int], count: int) -> Tensor:
    """The first principal axes of unit vectors, [texts, dimensions]: [count, dimensions], rotated at random, so that each holds alike much.

    left_out: dimensions that they do not read.
    """
    held = vectors.double().index_fill(1, torch.tensor(left_out), 0.0)
    axes = torch.linalg.eigh(held.T @ held).eigenvectors[:, -count:].T
    rotation = torch.linalg.qr(torch.randn(count, count, generator=torch.Generator().manual_seed(1)).double()).Q
    rotated: Tensor = (rotation @ axes).float()
    return rotated


@torch.no_grad()
def write_product(
    inner: Linear, outer: Linear, left: Sequence[int], right: Sequence[int], results: tuple[int, int]
) -> None:
    """Let the first four hidden units of each pair of dimensions multiply the two, since gelu(x) + gelu(-x) = .8 x^2 for a small x,
    and (l + r)^2 - (l - r)^2 = 4 l r.

    left, right: dimensions of a state. results: ten times the mean of the products goes to the first, and its negative to the second.
    """
    pairs = len(left)
    share = 10 / (4 * _PARABOLA * _UNIT**2 * pairs)
    for number, (of_left, of_right, sign) in enumerate(((1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1))):
        units = torch.arange(pairs) + number * pairs
        inner.weight[units, torch.tensor(left)] = of_left * _UNIT
        inner.weight[units, torch.tensor(right)] = of_right * _UNIT
        outer.weight[results[0], units] = sign * share
        outer.weight[results[1], units] = -sign * share
