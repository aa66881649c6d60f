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

from mooring.explainer.estimation import interactions
from mooring.explainer.estimation.coalitions import Coalitions, coalitions

__all__ = ["Attributions", "Coalitions", "attributions", "coalitions", "log_odds"]

Array = NDArray[np.float64]

CLIP = 1e-12
NOTHING = 1e-13
"""Of the largest value: what is smaller is rounding."""
CROWDED = 2
"""Pairs a player: with fewer, order 1 is bounded by its prior too, but for the equal share of all."""
WIDE, NARROW = 6.0, 0.3
"""Where the search for weights begins: with interactions of many orders, and with next to none when crowded."""
SURER = 0.9
"""What squared errors must have come down to, seen and estimated, before interactions are believed in."""
UNKNOWN = 1.0
"""The relative error of what is no better than nothing."""
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
    signs, players = design.signs, design.players
    equal = np.tile(total / players, (players, 1))
    if _nothing(odd - signs @ equal / 2):
        return equal, UNKNOWN if len(odd) < players - 1 and total.any() else 0.0
    additive = design.regression.fitted(odd, total)
    if design.regression.determined and _nothing(odd - signs @ additive.values / 2):
        return additive.values, 0.0
    if len(odd) > len(design.leading.weights):
        leading = _estimated(design.leading, odd[: len(design.leading.weights)], total)
        return min(leading, _with_error(*additive), key=lambda found: found[1])
    if len(odd) < CROWDED * players:
        deeper = _deeper(design, odd, total, equal, np.ones((1, players)), NARROW)
        return (equal, UNKNOWN) if deeper is None else _with_error(deeper.values, deeper.variance)
    deeper = _deeper(design, odd, total, additive.values, np.eye(players), WIDE)
    if deeper is not None and _surer(design, odd, total, deeper, additive.variance):
        return _with_error(deeper.values, deeper.variance)
    return _with_error(*additive)


def _surer(design: Coalitions, odd: Array, total: Array, deeper: interactions.Fitted, variance: float) -> bool:
    """Whether interactions predict held-out pairs better than order 1 does, and are thought to be better."""
    held = design.held_out
    early = design.early.fitted(odd[:-held], total).values
    missed = odd[-held:] - design.signs[-held:] @ early / 2
    better = (deeper.missed**2).sum() < SURER * (missed**2).sum()
    return bool(better and deeper.variance.sum() < SURER * variance)


def _deeper(
    design: Coalitions, odd: Array, total: Array, start: Array, free: Array, first: float
) -> interactions.Fitted | None:
    """With interactions, of the same weights in all classes, where `free` (parts, players) may differ from `start`."""
    signs = np.vstack([np.ones((1, design.players)), design.signs])
    rest = np.vstack([total / 2, odd]) - signs @ start / 2
    scales = np.sqrt((rest**2).mean(axis=0))
    scales[scales <= NOTHING] = 1.0
    rest /= scales
    guess = np.sqrt(((start / scales) ** 2).sum(axis=1))
    parts = signs @ free.T
    early = slice(1, len(rest) - design.held_out)
    try:
        given = interactions.prior(signs[early], rest[early], parts[early], guess, first)
        found = interactions.fitted(signs, rest, parts, 2 * free, given, design.held_out)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(found.values).all():
        return None
    return interactions.Fitted(start + found.values * scales, found.variance * scales**2, found.missed * scales)


def _efficient(found: Array, total: Array) -> Array:
    """The same values with the sum that they must have; twice, for the rounding of the first time."""
    for _ in range(2):
        found = found + (total - found.sum(axis=0)) / len(found)
    return found


def _nothing(rest: Array) -> bool:
    return float(np.abs(rest).max(initial=0.0)) <= NOTHING


def _with_error(found: Array, variance: Array | float) -> tuple[Array, float]:
    wrong, norm = float(np.sqrt(np.sum(variance))), float(np.linalg.norm(found))
    return found, min(wrong / norm, UNKNOWN) if norm > 0 else UNKNOWN
