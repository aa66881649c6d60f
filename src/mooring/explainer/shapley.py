"""Shapley values of games given as numbers: exact where every coalition is known, estimated from pairs where not.

Estimates are linear in the values of all classes alike, so that what holds for sums of classes holds for their
attributions, and they sum to the difference of the full and the empty coalition to the last digit. Interactions of
three players and more are modelled (`interactions`) as far as that predicts held-out pairs better than their absence
(`regression`).
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mooring.explainer import interactions, regression
from mooring.explainer.coalitions import Coalitions, coalitions

__all__ = ["Attributions", "Coalitions", "attributions", "coalitions", "log_odds"]

Array = NDArray[np.float64]

CLIP = 1e-12
NOTHING = 1e-13
"""Of the largest value: what is smaller is rounding."""
AT_ONCE = 1 << 18
"""Coalitions that the closed form takes at a time."""


class Attributions(NamedTuple):
    values: Array
    """(players, K); columns sum to full - empty."""
    error: float
    """The estimated relative error, of all classes together: the norm of what is wrong over the norm of the values."""


def attributions(design: Coalitions, values: Array, empty: Array, full: Array) -> Attributions:
    """Of each player, for K classes: `values` (coalitions, K), `empty` and `full` (K)."""
    if values.shape[0] != len(design.masks) or values.shape[1:] != empty.shape or empty.shape != full.shape:
        raise ValueError(f"{values.shape} values of {len(design.masks)} coalitions and {full.shape} of the full one")
    scale = max(float(np.abs(each).max(initial=0.0)) for each in (values, empty, full))
    if scale == 0.0:
        return Attributions(np.zeros((design.players, len(full))), 0.0)
    values, empty, full = values / scale, empty / scale, full / scale
    total = full - empty
    if design.exact:
        found, error = _exact(design, values - empty, total), 0.0
    else:
        found, error = _estimated(design, (values[::2] - values[1::2]) / 2, total)
    return Attributions(_efficient(found, total) * scale, error)


def log_odds(probabilities: Array) -> Array:
    """Of probabilities in [0, 1], which are kept away from 0 and 1."""
    kept = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.log(kept) - np.log1p(-kept)


def _exact(design: Coalitions, gains: Array, total: Array) -> Array:
    """Of `gains` over the empty coalition: each player's share of the total, and what coalitions with it have more."""
    players = design.players
    found = np.tile(total / players, (players, 1))
    # |S|! (d-|S|-1)! / d! for each player that joins S; as a player of S it joined the others.
    joined = np.array([0.0] + [1 / (size * comb(players, size)) for size in range(1, players + 1)])
    awaited = np.array([1 / ((players - size) * comb(players, size)) for size in range(players)] + [0.0])
    for start in range(0, len(design.masks), AT_ONCE):
        masks = design.masks[start : start + AT_ONCE]
        sizes = masks.sum(axis=1)
        some = gains[start : start + AT_ONCE]
        found += masks.T.astype(float) @ (some * (joined + awaited)[sizes, None])
        found -= awaited[sizes] @ some
    return found


def _estimated(design: Coalitions, odd: Array, total: Array) -> tuple[Array, float]:
    signs, weights = design.signs, design.weights
    additive = regression.fitted(signs, weights, odd, total)
    rest = odd - signs @ additive.values / 2
    left = np.abs(rest).max(initial=0.0)
    if left <= NOTHING or not np.isfinite(additive.variance):
        return additive.values, _relative(additive.variance if left > NOTHING else 0.0, additive.values)
    deeper = _deeper(design, rest, additive.values)
    if deeper is None:
        return additive.values, _relative(additive.variance, additive.values)
    held = len(deeper.missed)
    early = regression.fitted(signs[:-held], weights[:-held], odd[:-held], total)
    alternative = odd[-held:] - signs[-held:] @ early.values / 2
    if (deeper.missed**2).sum() >= (alternative**2).sum():
        return additive.values, _relative(additive.variance, additive.values)
    found = additive.values + deeper.values
    return found, _relative(float(deeper.variance.sum()), found)


def _deeper(design: Coalitions, rest: Array, additive: Array) -> interactions.Fitted | None:
    """What interactions explain of the rest, in all classes with the same weights; None where they are too many."""
    signs, players = design.signs, design.players
    searched = max(interactions.SEARCHED, 2 * players)
    if len(signs) < 2 * players:
        return None
    scales = np.sqrt((rest**2).mean(axis=0))
    scales[scales <= NOTHING] = 1.0
    rest = rest / scales
    guess = np.sqrt(((additive / scales) ** 2).sum(axis=1))
    try:
        given = interactions.prior(signs[:searched], rest[:searched], guess)
        found = interactions.fitted(signs, rest, np.zeros(rest.shape[1]), given)
    except np.linalg.LinAlgError:
        return None
    return interactions.Fitted(found.values * scales, found.variance * scales**2, found.missed * scales)


def _efficient(found: Array, total: Array) -> Array:
    """The same values with the sum that they must have; twice, for the rounding of the first time."""
    for _ in range(2):
        found = found + (total - found.sum(axis=0)) / len(found)
    return found


def _relative(variance: float, found: Array) -> float:
    norm = float(np.linalg.norm(found))
    if variance <= 0.0:
        return 0.0
    return float(np.sqrt(variance)) / norm if norm > 0 else float("inf")
