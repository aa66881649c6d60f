"""The estimated error beside the true one, and the regression that interactions must not be worse than."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mooring.explainer.shapley import attributions, coalitions
from tests.explainer.games import KINDS, Kind, all_of, by_definition, numbers_of

RECORDS = 20


@cache
def solved(kind: Kind, players: int, samples: int) -> list[tuple[float, float, float]]:
    """Of some games: the estimated relative error, the true one, and that of paired leverage sampling."""
    masks, found = all_of(players), []
    for seed in range(RECORDS):
        table = kind(np.random.default_rng([seed, players]), masks)
        truth = by_definition(table)
        design = coalitions(players, samples, seed)
        values = table[numbers_of(design.masks)][:, None]
        done = attributions(design, values, table[:1], table[-1:])
        additive = design.regression.fitted((values[::2] - values[1::2]) / 2, table[-1:] - table[:1]).values
        size = np.linalg.norm(truth)
        wrong, beside = (float(np.linalg.norm(each[:, 0] - truth) / size) for each in (done.values, additive))
        found.append((done.error, wrong, beside))
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("players", "samples"), [(12, 400), (12, 2072)])
def test_estimated_errors_are_near_true_ones(kind: Kind, players: int, samples: int) -> None:
    ratios = [estimated / true for estimated, true, _ in solved(kind, players, samples)]
    assert 0.5 <= np.median(ratios) <= 4.0
    assert min(ratios) >= 0.2


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("players", "samples"), [(12, 400), (12, 2072)])
def test_means_of_squared_errors_are_no_worse_than_paired_leverage(kind: Kind, players: int, samples: int) -> None:
    found = np.array(solved(kind, players, samples))
    assert (found[:, 1] ** 2).mean() <= 1.1 * (found[:, 2] ** 2).mean()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("samples", [8, 16, 24, 40])
def test_few_samples_are_no_worse_than_nothing(kind: Kind, samples: int) -> None:
    for estimated, true, beside in solved(kind, 9, samples):
        assert 0 <= estimated <= 1.0
        assert true <= max(1.0, 2 * beside) + 1.0
