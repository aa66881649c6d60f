"""Order 1: the regression whose limit are Shapley values, over pairs (paired leverage sampling).

It is exact where a game has no interactions of three players or more, needs no assumption anywhere else, and is what
every other estimate has to beat on pairs that it did not see. What depends on the pairs alone is computed once.
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RANK = 1e-5
"""Of the largest singular value: what is less counts as nothing known, and is solved with least norm."""


class Fitted(NamedTuple):
    values: Array
    """(players, K); sums to the total but for rounding."""
    variance: float
    """The estimated sum of squared errors over players and classes; infinite where there are too few pairs to tell."""


class Regression:
    """For pairs of which `signs` (pairs, players) says who is in the first, with their `weights`."""

    def __init__(self, signs: Array, weights: Array) -> None:
        self._signs = signs
        # What is left after an equal share is orthogonal to the constraint on the sum.
        self._across = signs - signs.mean(axis=1, keepdims=True)
        root = np.sqrt(weights)[:, None]
        left, sizes, right = np.linalg.svd(self._across * root / 2, full_matrices=False)
        kept = sizes > RANK * sizes.max(initial=0.0)
        self._inverse = (right[kept].T / sizes[kept]) @ left[:, kept].T * root.T
        self._free = len(signs) - int(kept.sum())
        self.determined = int(kept.sum()) == signs.shape[1] - 1 and self._free > 0
        """Whether there are more pairs than it takes."""
        own, whole = alone(signs)
        self._unseen = whole - float((own**2).sum())
        self._seen = ((self._inverse - own.T) ** 2).sum(axis=0)

    def fitted(self, odd: Array, total: Array) -> Fitted:
        """From `odd`, half the difference of each pair (pairs, K), under the constraint that values sum to `total`."""
        equal = total / self._signs.shape[1]
        rest = odd - self._signs.sum(axis=1, keepdims=True) * equal / 2
        found = self._inverse @ rest
        if not self.determined:
            return Fitted(found + equal, float("inf"))
        residual = ((rest - self._across @ found / 2) ** 2).sum(axis=1) * (len(odd) / self._free)
        # Of pairs that were seen, the values have other shares than they should; of the others, none.
        return Fitted(found + equal, float(self._seen @ residual + self._unseen * residual.mean()))


def alone(signs: Array) -> tuple[Array, float]:
    """What Shapley values have of each pair on its own (pairs, players), and the sum of its squares over all pairs.

    The full coalition and the empty one are no pair in this sum, but may be one among `signs`.
    """
    players = signs.shape[1]
    sizes = (signs > 0).sum(axis=1, keepdims=True)
    ways = np.array([2 / comb(players, size) for size in range(players + 1)])
    found = np.where(signs > 0, 1 / np.maximum(sizes, 1), -1 / np.maximum(players - sizes, 1)) * ways[sizes]
    squares = sum(2 * players / (comb(players, size) * size * (players - size)) for size in range(1, players))
    return found, squares
