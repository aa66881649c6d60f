"""Order 1: what it comes to when pairs become many."""

from __future__ import annotations

import numpy as np
import pytest

from mooring.explainer.estimation.coalitions import coalitions
from mooring.explainer.estimation.regression import Regression
from tests.explainer.games import by_definition, numbers_of


@pytest.mark.parametrize("seed", range(4))
def test_with_nearly_all_pairs_it_is_nearly_the_definition(seed: int) -> None:
    """Of noise, which interactions of all orders are in. It is so by the weights of its pairs, and not by itself."""
    table = np.random.default_rng(seed).normal(size=2**10)
    truth, total = by_definition(table), table[-1:] - table[:1]

    def error(samples: int, *, weighted: bool = True) -> float:
        design = coalitions(10, samples, seed)
        values = table[numbers_of(design.masks)]
        weights = design.weights if weighted else np.ones_like(design.weights)
        found = Regression(design.signs, weights).fitted((values[::2] - values[1::2])[:, None] / 2, total)
        return float(np.linalg.norm(found.values[:, 0] - truth) / np.linalg.norm(truth))

    assert error(1020) < 0.03
    assert error(1020) < error(700) < 0.3
    assert error(1020, weighted=False) > 0.3
