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

from mooring.explainer.estimation.factoring import BLOCK, whitened
from mooring.explainer.estimation.regression import alone

Array = NDArray[np.float64]

STEPS = 5
SEARCHED = 128
"""Pairs on which weights are found, or one and a half times the players where that is more."""
AT_ONCE = 3 * BLOCK
"""Rows of covariances; whole blocks, so that what is not written is not read."""
ENOUGH = 8
"""Fewer pairs say nothing of weights."""
NODES = 24
"""At most, of the quadrature for 1 / |T|, which is exact for twice as many players."""
LEAST_NOISE, MOST_NOISE = 1e-9, 1e2
LEAST, MOST, SUM = 1e-6, 3.0, 300.0
"""Of a: of one, of one, of all."""


class Prior(NamedTuple):
    a: Array
    noise: float
    """The variance of what each pair has on its own, where that of what it shares with others is 1."""


class Fitted(NamedTuple):
    values: Array
    """(players, K)."""
    variance: Array
    """(K,): the estimated sum of squared errors over players."""
    missed: Array
    """(held out, K): of the last pairs, by how much they were mispredicted from the others."""


def prior(signs: Array, odd: Array, free: Array, guess: Array, first: float) -> Prior:
    """For classes `odd` (pairs, K), each of a similar scale.

    The search begins with weights like `guess`, how much each player matters, whose sum (of a) is at most `first`.
    """
    largest = guess.max()
    a = np.arctanh(0.6 * (guess + 0.02 * largest) / (1.02 * largest)) if largest > 0 else np.ones(len(guess))
    a, noise = a * min(1.0, first / a.sum()), 1e-3
    best, likeliest = Prior(a, noise), -np.inf
    searched = max(SEARCHED, 3 * len(guess) // 2)
    signs, odd, free = signs[:searched], odd[:searched], free[:searched]
    for _ in range(STEPS if len(signs) >= ENOUGH else 0):
        likely, grow, grow_noise = _rescaling(signs, odd, free, Prior(a, noise))
        if likely > likeliest:
            best, likeliest = Prior(a, noise), likely
        a = np.clip(a * grow, LEAST, MOST)
        a *= min(1.0, SUM / a.sum())
        noise = float(np.clip(noise * grow_noise, LEAST_NOISE, MOST_NOISE))
    return best


def fitted(signs: Array, odd: Array, free: Array, worth: Array, given: Prior, held_out: int) -> Fitted:
    """Of pairs and of the full coalition with the empty one, which comes first among `signs`.

    `free` (pairs, parts) is what pairs have of what no prior bounds, `worth` (parts, players) what that is worth.
    """
    count, parts = free.shape
    toward, spread = _toward(signs, given)
    factor, free, across, known = _solved(signs, given, free, toward, odd)
    kept = count - held_out
    basis, triangle = np.linalg.qr(free[:kept])
    early = np.linalg.solve(triangle, basis.T @ known[:kept])
    surprise = known[kept:] - free[kept:] @ early
    missed = np.triu(factor[kept:, kept:]).T @ surprise
    basis, triangle = np.linalg.qr(free)
    inverse = np.linalg.inv(triangle)
    unbounded = inverse @ (basis.T @ known)
    rest = known - free @ unbounded
    # Weights were not found on what is held out, so that it says how far to trust them.
    scale = (rest**2).sum(axis=0) / (count - parts)
    scale = np.maximum(scale, (surprise**2).sum(axis=0) / max(held_out, 1))
    unsure = spread - (across**2).sum() + (((worth.T - across.T @ free) @ inverse) ** 2).sum()
    return Fitted(across.T @ rest + worth.T @ unbounded, max(float(unsure), 0.0) * scale, missed)


def _toward(signs: Array, given: Prior) -> tuple[Array, float]:
    """Covariances of Shapley values with pairs (pairs, players), and the sum of their variances.

    What no interaction explains is no error of measurement, but the game's own.
    """
    shared, spread = _shapley(signs, given.a)
    own, squares = alone(signs)
    return shared + given.noise * own, spread + given.noise * (squares + float((own[0] ** 2).sum()))


def _solved(signs: Array, given: Prior, *sides: Array) -> list[Array]:
    """The factor of the covariances of pairs (its upper half), and each side whitened by it."""
    count = len(signs)
    ends = np.cumsum([count, *(side.shape[1] for side in sides)])
    system = np.empty((count, ends[-1]))
    for side, end in zip(sides, ends[1:], strict=True):
        system[:, end - side.shape[1] : end] = side
    for start in range(0, count, AT_ONCE):
        rows = system[start : start + AT_ONCE, start:count]
        np.matmul(signs[start : start + AT_ONCE] * given.a, signs[start:].T, out=rows)
        np.sinh(rows, out=rows)
        rows *= 1 / np.sinh(given.a.sum())
    system[np.arange(count), np.arange(count)] += given.noise
    whitened(system)
    return np.split(system, ends[:-1], axis=1)


def _kernel(signs: Array, a: Array) -> tuple[Array, Array]:
    """sum a z z', and the kernel, which is its sinh over the value where z = z'."""
    inner = (signs * a) @ signs.T
    kernel = np.sinh(inner)
    kernel *= 1 / np.sinh(a.sum())
    return inner, kernel


def _rescaling(signs: Array, odd: Array, free: Array, given: Prior) -> tuple[float, Array, float]:
    """The logarithm of the likelihood of the pairs, and by what to multiply weights and noise to come nearer its peak.

    What is free is projected out (restricted likelihood), and each class has a scale of its own, which is fitted.
    """
    count, parts = free.shape
    inner, kernel = _kernel(signs, given.a)
    system = np.hstack([kernel, np.eye(count), free, odd])
    factor, root, free, known = np.split(system, np.cumsum([count, count, parts]), axis=1)
    factor[np.arange(count), np.arange(count)] += given.noise
    whitened(system)
    basis, triangle = np.linalg.qr(free)
    root = root - basis @ (basis.T @ root)
    known = known - basis @ (basis.T @ known)
    scale = np.maximum((known**2).sum(axis=0) / (count - parts), np.finfo(float).tiny)
    likely = -np.log(np.diag(factor)).sum() - np.log(np.abs(np.diag(triangle))).sum()
    likely -= (count - parts) / 2 * np.log(scale).mean()
    project, dual = root.T @ root, root.T @ (known / np.sqrt(scale * len(scale)))
    # Derivatives of the kernel by the logarithms of weights; it is divided by its largest value, which grows with each.
    surplus = np.cosh(inner) / np.sinh(given.a.sum())
    expected = (signs * ((project * surplus) @ signs)).sum(axis=0)
    observed = sum((signs * one[:, None] * (surplus @ (signs * one[:, None]))).sum(axis=0) for one in dual.T)
    growth = 1 / np.tanh(given.a.sum())
    expected_all, observed_all = growth * (project * kernel).sum(), growth * (dual * (kernel @ dual)).sum()
    ratio = (observed + expected_all) / (expected + observed_all)
    return float(likely), ratio, float((dual**2).sum() / np.trace(project))


def _shapley(signs: Array, a: Array) -> tuple[Array, float]:
    """The same of what interactions explain.

    1 / |T| is the integral of t^(|T|-1) from 0 to 1, under which the sum over all T with i in it is a product again.
    """
    w = np.tanh(a)
    nodes, shares = np.polynomial.legendre.leggauss(min((len(a) + 2) // 2, NODES))
    t, shares = (nodes + 1) / 2, shares / 2
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
