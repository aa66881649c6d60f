"""Interactions of three players and more, of all odd orders at once, by a Gaussian process over pairs.

Half the difference of a pair is an odd function of z in {-1, 1}^d. Its terms c_T prod(z_i, i in T) are taken as drawn
with variance prod(w_i, i in T), each player with a weight of its own, and those of order 1 as free. Of two pairs the
covariance then is the odd part of prod(1 + w_i z_i z'_i), which is sinh(sum a_i z_i z'_i) but for a factor, where
w = tanh(a): as many equations as pairs, for any number of players and terms. Shapley values, 2 sum(c_T / |T|, i in T),
are linear in the terms, so they have a mean and a variance in closed form too.

The weights are those that make the observed pairs most likely, found on some of the pairs by rescaling each weight
until its share in the data is what it should be. Players that take part in nothing get next to none, which is what
makes games of many players and few interactions nearly exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.factoring import whitened

Array = NDArray[np.float64]

STEPS = 6
SEARCHED = 256
"""Pairs on which weights are found, or twice the players where that is more."""
HELD_OUT = 0.2
"""Of the pairs: predicted from the others to judge the fit."""
NODES = 24
"""At most, of the quadrature for 1 / |T|, which is exact for twice as many players."""
LEAST_NOISE, MOST_NOISE = 1e-9, 1e2
LEAST, MOST = 1e-6, 3.0
"""Of a."""


class Prior(NamedTuple):
    a: Array
    noise: float
    """Of a pair, beside the variance 1 of what the kernel explains."""


class Fitted(NamedTuple):
    values: Array
    """(players, K)."""
    variance: Array
    """(K,): the estimated sum of squared errors over players."""
    missed: Array
    """(held out, K): of the last pairs, by how much they were mispredicted from the others."""


def prior(signs: Array, odd: Array, guess: Array) -> Prior:
    """For classes `odd` (pairs, K), each of a similar scale. `guess` is how much each player matters, to begin with."""
    w = 0.6 * (guess + 0.02 * guess.max()) / (1.02 * guess.max()) if guess.max() > 0 else np.full(len(guess), 0.3)
    found, noise = np.arctanh(w), 1e-3
    best, likeliest = Prior(found, noise), -np.inf
    for _ in range(STEPS):
        likely, grow, grow_noise = _rescaling(signs, odd, Prior(found, noise))
        if likely > likeliest:
            best, likeliest = Prior(found, noise), likely
        found = np.clip(found * grow, LEAST, MOST)
        noise = float(np.clip(noise * grow_noise, LEAST_NOISE, MOST_NOISE))
    return best


def fitted(signs: Array, odd: Array, total: Array, given: Prior) -> Fitted:
    """Order 1 is free in it, and half of `total` is what the pair of the full coalition and the empty one has."""
    count, players = len(signs) + 1, signs.shape[1]
    at = np.vstack([np.ones((1, players)), signs])
    seen = np.vstack([total[None] / 2, odd])
    kernel = _kernel(at, given.a)[0]
    kernel.flat[:: count + 1] += given.noise
    kernel[0, 0] += 1e-9 - given.noise
    toward, spread = _shapley(at, given.a)
    lower, solved = whitened(kernel, np.hstack([at, toward, seen]))
    free, across, known = np.split(solved, [players, 2 * players], axis=1)
    kept = count - int(HELD_OUT * count)
    early = np.linalg.lstsq(free[:kept], known[:kept], rcond=None)[0]
    missed = np.tril(lower[kept:, kept:]) @ (known[kept:] - free[kept:] @ early)
    basis, triangle = np.linalg.qr(free)
    inverse = np.linalg.inv(triangle)
    order1 = inverse @ (basis.T @ known)
    rest = known - free @ order1
    values = across.T @ rest + 2 * order1
    scale = (rest**2).sum(axis=0) / (count - players)
    unsure = spread - (across**2).sum() + (((2 * np.eye(players) - across.T @ free) @ inverse) ** 2).sum()
    return Fitted(values, max(float(unsure), 0.0) * scale, missed)


def _kernel(signs: Array, a: Array) -> tuple[Array, Array]:
    """sinh(sum a z z') over its value where z = z', and cosh over the same."""
    most = a.sum()
    up = np.exp((signs * a) @ signs.T - most)
    down = np.exp(-2 * most) / up
    whole = 1 - np.exp(-2 * most)
    return (up - down) / whole, (up + down) / whole


def _rescaling(signs: Array, odd: Array, given: Prior) -> tuple[float, Array, float]:
    """The logarithm of the likelihood of the pairs, and by what to multiply weights and noise to come nearer its peak.

    Order 1 is projected out (restricted likelihood), and each class has a scale of its own, which is fitted.
    """
    count, players = signs.shape
    sinh, cosh = _kernel(signs, given.a)
    matrix = sinh.copy()
    matrix.flat[:: count + 1] += given.noise
    lower = np.linalg.cholesky(matrix)
    inverse = np.linalg.inv(matrix)
    free = inverse @ signs
    inner = signs.T @ free
    project = inverse - free @ np.linalg.solve(inner, free.T)
    dual = project @ odd
    scale = np.maximum((odd * dual).sum(axis=0) / (count - players), np.finfo(float).tiny)
    likely = -np.log(np.diag(lower)).sum() - np.linalg.slogdet(inner)[1] / 2
    likely -= (count - players) / 2 * np.log(scale).mean()
    dual /= np.sqrt(scale * len(scale))
    expected = (signs * ((project * cosh) @ signs)).sum(axis=0)
    observed = sum((signs * one[:, None] * (cosh @ (signs * one[:, None]))).sum(axis=0) for one in dual.T)
    # The kernel is divided by its largest value, which grows with every weight.
    growth = 1 / np.tanh(given.a.sum())
    expected_all, observed_all = growth * (project * sinh).sum(), growth * (dual * (sinh @ dual)).sum()
    ratio = (observed + expected_all) / (expected + observed_all)
    return float(likely), ratio, float((dual**2).sum() / np.trace(project))


def _shapley(signs: Array, a: Array) -> tuple[Array, float]:
    """Covariances of Shapley values with pairs (pairs, players), and the sum of their variances.

    1 / |T| is the integral of t^(|T|-1) from 0 to 1, under which the sum over all T with i in it is a product again.
    """
    w = np.tanh(a)
    nodes, shares = np.polynomial.legendre.leggauss(min((len(a) + 2) // 2, NODES))
    t, shares = (nodes + 1) / 2, shares / 2
    covariances = np.zeros_like(signs)
    top = _log_sinh(a)
    up, down, x = _products(signs, t, w, top)
    factor = shares[:, None] * w / (1 - x**2)
    covariances = signs * ((up + down) @ factor) - (up - down) @ (factor * x)
    both = np.outer(t, t).ravel()
    up, down, x = _products(np.ones((1, len(a))), both, w, top)
    each = np.outer(shares, shares).ravel()[:, None] * 2 * w * (up.T / (1 + x) + down.T / (1 - x))
    return covariances, float(each.sum())


def _products(signs: Array, t: Array, w: Array, top: float) -> tuple[Array, Array, Array]:
    """prod(1 + t w z) and prod(1 - t w z) over the kernel's value where z = z', (pairs, t); and t w."""
    x = np.outer(t, w)
    level = np.log1p(-(x**2)).sum(axis=1) / 2 - top
    slope = signs @ np.arctanh(x).T
    return np.exp(level + slope), np.exp(level - slope), x


def _log_sinh(a: Array) -> float:
    """The logarithm of the odd part of prod(1 + w), with w = tanh(a)."""
    most = a.sum()
    return float(np.log1p(-(np.tanh(a) ** 2)).sum() / 2 + most + np.log1p(-np.exp(-2 * most)) - np.log(2))
