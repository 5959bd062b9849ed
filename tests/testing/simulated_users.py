"""Simulated users: position-biased and cascading clicks on rankings of relevant and irrelevant documents."""

import numpy as np

DEPTH = 10


def relevances(generator, exposures, quality):
    """Draw the relevance of the shown documents. A higher quality concentrates relevant documents at the top.

    Args:
        generator: NumPy random generator.
        exposures: Number of exposures.
        quality: Decay of the relevance probability over positions; 0 for none.

    Returns:
        Relevance, [exposures, DEPTH], bool.
    """
    probabilities = 0.5 * np.exp(-quality * np.arange(DEPTH) / DEPTH)
    return generator.random((exposures, DEPTH)) < probabilities


def position_biased(generator, relevant):
    """Simulate clicks where each position is examined independently, with probability 1 / position.

    Examined documents are clicked with probability 0.6 if relevant, otherwise 0.05.

    Args:
        generator: NumPy random generator.
        relevant: Relevance, [exposures, DEPTH], bool.

    Returns:
        Clicks, [exposures, DEPTH], bool.
    """
    examined = generator.random(relevant.shape) < 1 / np.arange(1, DEPTH + 1)
    return examined & (generator.random(relevant.shape) < np.where(relevant, 0.6, 0.05))


def cascading(generator, relevant):
    """Simulate clicks of users who scan from the top until the first click or until they give up.

    Users continue to the next position with probability 0.85. Click probabilities are those of `position_biased`.

    Args:
        generator: NumPy random generator.
        relevant: Relevance, [exposures, DEPTH], bool.

    Returns:
        Clicks, [exposures, DEPTH], bool, at most one per exposure.
    """
    attractive = generator.random(relevant.shape) < np.where(relevant, 0.6, 0.05)
    continues = generator.random(relevant.shape) < 0.85
    examined = np.cumprod(np.hstack([np.ones((len(relevant), 1)), continues[:, :-1]]), axis=1).astype(bool)
    after_click = np.cumsum(attractive, axis=1) - attractive > 0
    return attractive & examined & ~after_click


def keys(generator, count, quality, clicking, spread=0.5):
    """Simulate the users of one arm, who differ in search frequency and satisfaction.

    Args:
        generator: NumPy random generator.
        count: Number of keys (users).
        quality: Quality of the arm's rankings, see `relevances`.
        clicking: Click model, `position_biased` or `cascading`.
        spread: Standard deviation of the users' satisfaction, in logits.

    Returns:
        Exposures with a click, [count], and all exposures, [count].
    """
    shown = generator.geometric(0.4, count)
    owner = np.repeat(np.arange(count), shown)
    offsets = generator.normal(0, spread, count)
    satisfied = 1 / (1 + np.exp(-1 - offsets[owner]))
    relevant = relevances(generator, len(owner), quality) & (generator.random((len(owner), DEPTH)) < satisfied[:, None])
    clicked = clicking(generator, relevant).any(axis=1)
    return np.bincount(owner, clicked, count), shown.astype(float)


def position_based_counts(generator, propensities, queries, impressions, orders=2, documents=DEPTH):
    """Simulate clicks of the position-based model on the top of several orders per query, as of the arms of a test.

    The orders have relevant documents at the top, so clicks are confounded with position.

    Args:
        generator: NumPy random generator.
        propensities: Examination probability of each shown position, [depth].
        queries: Number of queries.
        impressions: Number of impressions of each order of a query.
        orders: Number of orders of a query.
        documents: Number of documents of a query.

    Returns:
        Cells (pair, position, shown, clicks), and the attractiveness of each pair, [queries * documents].
    """
    attractive = generator.uniform(0.05, 0.6, (queries, documents))
    cells = {}
    for query in range(queries):
        for _ in range(orders):
            order = np.argsort(-(attractive[query] + generator.normal(0, 0.15, documents)))[: len(propensities)]
            clicks = generator.binomial(impressions, propensities * attractive[query][order])
            for position, (document, clicked) in enumerate(zip(order, clicks, strict=True)):
                cell = cells.setdefault((query * documents + int(document), position), [0, 0])
                cell[0] += impressions
                cell[1] += int(clicked)
    return [(*key, *values) for key, values in sorted(cells.items())], attractive.ravel()
