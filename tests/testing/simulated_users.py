"""Users made by code: position-biased and cascading clicks on rankings whose documents they find relevant or not."""

import numpy as np

DEPTH = 10


def relevances(generator, exposures, quality):
    """Relevance of shown documents, [exposures, DEPTH]: the better a ranking, the higher up what is relevant."""
    chances = 0.5 * np.exp(-quality * np.arange(DEPTH) / DEPTH)
    return generator.random((exposures, DEPTH)) < chances


def position_biased(generator, relevant):
    """Each position is looked at by itself, lower ones less often; what is relevant is clicked, and now and then what is not."""
    looked = generator.random(relevant.shape) < 1 / np.arange(1, DEPTH + 1)
    return looked & (generator.random(relevant.shape) < np.where(relevant, 0.6, 0.05))


def cascading(generator, relevant):
    """Positions are looked at from the top until something is clicked, or patience ends."""
    would = generator.random(relevant.shape) < np.where(relevant, 0.6, 0.05)
    patient = generator.random(relevant.shape) < 0.85
    going = np.cumprod(np.hstack([np.ones((len(relevant), 1)), patient[:, :-1]]), axis=1).astype(bool)
    stopped = np.cumsum(would, axis=1) - would > 0
    return would & going & ~stopped


def keys(generator, count, quality, clicking, spread=0.5):
    """Users of an arm, who differ in how often they search and how well they are served.

    Returns (clicked exposures [keys], exposures [keys]).
    """
    shown = generator.geometric(0.4, count)
    owner = np.repeat(np.arange(count), shown)
    lucky = generator.normal(0, spread, count)
    satisfied = 1 / (1 + np.exp(-1 - lucky[owner]))
    relevant = relevances(generator, len(owner), quality) & (generator.random((len(owner), DEPTH)) < satisfied[:, None])
    clicked = clicking(generator, relevant).any(axis=1)
    return np.bincount(owner, clicked, count), shown.astype(float)
