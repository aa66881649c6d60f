"""Which coalitions of players a model is asked for: all of them, or pairs of a coalition and its complement.

A pair's difference holds all that Shapley values depend on (the odd part of a game); its mean holds what they do not.
Sizes are drawn uniformly, which are the leverage scores of the regression that defines Shapley values (Musco and
Witter, 2025), in equal shares instead of by chance; no coalition is drawn twice. A size with fewer coalitions than its
share gives all, and the others take up the rest.

A design depends on nothing but the number of players, of samples and the seed, so that a record has the same
attributions wherever in a call it stands, and what was factorised for a design serves all its records.
"""

from __future__ import annotations

import secrets
from functools import cached_property, lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.estimation.regression import Regression

HELD_OUT = 0.2
"""Of the pairs."""
TOGETHER = 2048
"""Pairs, whose covariances take 32 MB."""
CELLS = 1 << 25
"""Of an exact design at most; of another a quarter of it, as it takes more to solve. Nobody waits for more."""
KEPT = 16
"""Designs that are kept, with what was computed of them."""
KEPT_CELLS = 1 << 20
"""A design with more cells is not kept."""
PROCESS_SEED = secrets.randbits(63)
"""Takes the place of a seed that was not given; one a process, so that designs are shared."""


class Coalitions:
    """A design: the same for the same players, samples and seed. Pairs lie beside each other unless it is exact."""

    def __init__(self, masks: NDArray[np.bool_], exact: bool, weights: NDArray[np.float64]) -> None:
        self.masks = masks
        self.exact = exact
        self.weights = weights
        """Of the pairs, in the regression whose limit are Shapley values; their mean is 1. Empty when exact."""

    @property
    def players(self) -> int:
        return int(self.masks.shape[1])

    @cached_property
    def signs(self) -> NDArray[np.float64]:
        """(pairs, players): 1 where the first of a pair has the player, else -1."""
        return np.where(self.masks[::2], 1.0, -1.0)

    @cached_property
    def regression(self) -> Regression:
        """Of order 1, over all pairs."""
        return Regression(self.signs, self.weights)

    @cached_property
    def early(self) -> Regression:
        """Of order 1, over the pairs that are not held out."""
        return Regression(self.signs[: -self.held_out], self.weights[: -self.held_out])

    @cached_property
    def leading(self) -> Coalitions:
        """No more pairs than can be solved together."""
        kept = self.weights[:TOGETHER]
        return self if len(kept) == len(self.weights) else Coalitions(self.masks[: 2 * TOGETHER], False, kept)

    @property
    def held_out(self) -> int:
        """How many of the last pairs judge what was fitted to the others."""
        return int(HELD_OUT * len(self.weights))


def coalitions(players: int, samples: int, seed: int | None) -> Coalitions:
    """At most `samples` coalitions, all that there are when they are no more; never the empty and the full one.

    `players` is at least 1; one player has no coalitions to ask for. An odd sample has no complement and is left out.
    So are samples beyond a bound of memory, 400,000 for 20 players and 16,000 for 500.
    """
    if players < 1 or samples < 0:
        raise ValueError(f"no design for {players} players and {samples} samples")
    seed = PROCESS_SEED if seed is None else seed
    if players * (2**players - 2) > CELLS:
        samples = min(samples, CELLS // 4 // players)
    cells = players * min(samples, 2**players - 2)
    return _kept(players, samples, seed) if cells <= KEPT_CELLS else _made(players, samples, seed)


def _made(players: int, samples: int, seed: int) -> Coalitions:
    if 2**players - 2 <= samples:
        return Coalitions(_all(players), True, np.empty(0))
    generator = np.random.default_rng([abs(seed), int(seed < 0), players, samples])
    shares = _shares(players, samples // 2)
    firsts = [_drawn(generator, players, size, share) for size, share in shares.items() if share]
    weights = [
        np.full(share, _pairs(players, size) / (share * comb(players, size) * size * (players - size)))
        for size, share in shares.items()
        if share
    ]
    if not firsts:
        return Coalitions(np.zeros((0, players), dtype=bool), False, np.empty(0))
    # Any leading part of the pairs is a random part of them.
    order = generator.permutation(samples // 2)
    first = np.concatenate(firsts)[order]
    masks = np.stack([first, ~first], axis=1).reshape(-1, players)
    weight = np.concatenate(weights)[order]
    return Coalitions(masks, False, weight / weight.mean())


_kept = lru_cache(maxsize=KEPT)(_made)


def _all(players: int) -> NDArray[np.bool_]:
    numbers = np.arange(1, 2**players - 1, dtype=np.int64)
    masks = np.empty((len(numbers), players), dtype=bool)
    for player in range(players):
        masks[:, player] = (numbers >> player) & 1
    return masks


def _pairs(players: int, size: int) -> int:
    """How many pairs there are of a coalition of this size and its complement."""
    return comb(players, size) // (2 if 2 * size == players else 1)


def _shares(players: int, pairs: int) -> dict[int, int]:
    """How many pairs of each size of their smaller half: sizes 1 to players - 1 alike, as far as there are any."""
    shares: dict[int, int] = {}
    left = pairs
    # Two sizes are in a pair, and one in a pair of halves.
    sizes = {size: 1 if 2 * size == players else 2 for size in range(1, players // 2 + 1)}
    for number, (size, drawn) in enumerate(sizes.items()):
        weight = sum(list(sizes.values())[number:])
        shares[size] = min(_pairs(players, size), round(left * drawn / weight))
        left -= shares[size]
    for size in shares:  # what rounding left over
        more = min(left, _pairs(players, size) - shares[size])
        shares[size] += more
        left -= more
    return shares


def _drawn(generator: np.random.Generator, players: int, size: int, count: int) -> NDArray[np.bool_]:
    """Different coalitions of a size, none the complement of another."""
    halves = 2 * size == players
    available = _pairs(players, size)
    if available <= 4 * count:
        chosen = np.array(list(combinations(range(players), size)))
        chosen = chosen[chosen[:, 0] == 0] if halves else chosen
        chosen = chosen[generator.permutation(available)[:count]]
        masks = np.zeros((count, players), dtype=bool)
        np.put_along_axis(masks, chosen, True, axis=1)
        return masks
    found = np.zeros((0, players), dtype=bool)
    while len(found) < count:
        ranks = generator.random((count, players)).argsort(axis=1)
        more = ranks < size
        if halves:
            more[~more[:, 0]] ^= True
        found = np.concatenate([found, more])
        _, first = np.unique(np.packbits(found, axis=1), axis=0, return_index=True)
        found = found[np.sort(first)]
    return found[:count]
