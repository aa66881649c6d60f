"""Games whose truth is the definition itself, over all coalitions, and of kinds that differ in how players interact."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Callable[[np.random.Generator, NDArray[np.bool_]], Array]


def all_of(players: int) -> NDArray[np.bool_]:
    """Every coalition, by number: bit i is player i."""
    return (np.arange(2**players)[:, None] >> np.arange(players)) & 1 == 1


def numbers_of(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = masks @ (1 << np.arange(masks.shape[1]))
    return found


def by_definition(table: Array) -> Array:
    """From the values of all coalitions by number: each player's marginal contributions, weighted."""
    players = len(table).bit_length() - 1
    numbers = np.arange(len(table))
    sizes = all_of(players).sum(axis=1)
    weights = np.array([1 / (players * comb(players - 1, size)) for size in range(players)])
    found = []
    for player in range(players):
        without = numbers[numbers >> player & 1 == 0]
        found.append((weights[sizes[without]] * (table[without | 1 << player] - table[without])).sum())
    return np.array(found)


def vote(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    weights = generator.gamma(1, size=masks.shape[1])
    return (masks @ weights > generator.uniform(0.3, 0.7) * weights.sum()).astype(float)


def airport(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    return (masks * generator.exponential(size=masks.shape[1])).max(axis=1)


def noise(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    return generator.normal(size=len(masks))


def noisy(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    return masks @ generator.normal(size=masks.shape[1]) + 0.3 * noise(generator, masks)


def network(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    inner = masks @ generator.normal(size=(masks.shape[1], 40)) + generator.normal(size=40)
    return np.maximum(inner, 0) @ generator.normal(size=40)


def logistic(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    weights = generator.normal(size=masks.shape[1]) * 1.5
    return 1 / (1 + np.exp(weights.sum() / 2 - masks @ weights))


def trees(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    total = np.zeros(len(masks))
    for _ in range(30):
        asked = generator.permutation(masks.shape[1])[:4]
        total += generator.normal(size=16)[numbers_of(masks[:, asked])]
    return total


def agreements(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    """A sum of unanimity games of all sizes."""
    total = np.zeros(len(masks))
    for _ in range(50):
        members = generator.permutation(masks.shape[1])[: generator.integers(1, masks.shape[1])]
        total += generator.uniform() * masks[:, members].all(axis=1)
    return total


def parity(generator: np.random.Generator, masks: NDArray[np.bool_]) -> Array:
    """Of seven players, beside a little of each."""
    some = generator.permutation(masks.shape[1])[:7]
    signs = np.where(masks[:, some], 1.0, -1.0).prod(axis=1)
    return signs + masks @ generator.normal(size=masks.shape[1]) * 0.2


KINDS: list[Kind] = [vote, airport, noise, noisy, network, logistic, trees, agreements, parity]
