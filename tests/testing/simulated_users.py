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
