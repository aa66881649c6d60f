"""Order 1: the regression whose limit are Shapley values, over pairs (paired leverage sampling).

It is exact where a game has no interactions of three players or more, needs no assumption anywhere else, and is what
every other estimate has to beat on pairs that it did not see.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RANK = 1e-5
"""Of the largest singular value: what is less counts as nothing known, and is solved with least norm."""


class Fitted(NamedTuple):
    values: Array
    """(players, K); sums to `total` but for rounding."""
    variance: float
    """The estimated sum of squared errors over players and classes."""


def fitted(signs: Array, weights: Array, odd: Array, total: Array) -> Fitted:
    """From `odd`, half the difference of each pair (pairs, K), under the constraint that the values sum to `total`."""
    count, players = signs.shape
    if count == 0:
        return Fitted(np.tile(total / players, (players, 1)), float("inf") if players > 1 else 0.0)
    # What is left after an equal share is orthogonal to the constraint.
    equal = total / players
    rest = odd - signs.sum(axis=1, keepdims=True) * equal / 2
    across = signs - signs.mean(axis=1, keepdims=True)
    root = np.sqrt(weights)[:, None]
    left, sizes, right = np.linalg.svd(across * root / 2, full_matrices=False)
    kept = sizes > RANK * sizes[0] if sizes[0] > 0 else np.zeros(len(sizes), dtype=bool)
    inverse = (right[kept].T / sizes[kept]) @ left[:, kept].T * root.T
    found = inverse @ rest
    residual = rest - across @ found / 2
    free = count - int(kept.sum())
    if int(kept.sum()) < players - 1 or free <= 0:
        return Fitted(found + equal, float("inf"))
    spread = (residual**2).sum(axis=1) * (count / free)
    return Fitted(found + equal, float((inverse**2).sum(axis=0) @ spread))
