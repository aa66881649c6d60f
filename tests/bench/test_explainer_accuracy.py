"""The measure of explanations: what is taken for the truth, and what is said of it. No figure is judged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.append(str(BENCH))

from explainer_accuracy import Figure, Kind, by_definition, by_mooring, verdict  # noqa: E402


def test_the_truth_of_a_unanimity_game() -> None:
    numbers = np.arange(2**5)
    table = ((numbers & 0b10110) == 0b10110).astype(float)[:, None]
    assert np.allclose(by_definition(table)[:, 0], [0, 1 / 3, 1 / 3, 0, 1 / 3])


def test_a_game_is_the_model_s_own_predictions_and_its_truth_is_found_where_all_is_seen() -> None:
    (game,) = Kind("boosted trees", "breast cancer", 6).games(1)
    assert game.table.shape == (64, 1)
    assert game.truth.sum() == pytest.approx(float(game.table[-1, 0] - game.table[0, 0]))
    assert max(by_mooring(game, 2060, 0)) < 1e-20


def test_a_missed_target_is_said() -> None:
    assert verdict(Figure("one", 0.3, "", 0.2, 0.1)) == "MISSED"
    assert verdict(Figure("one", 0.15, "", 0.2, 0.1)) == "reached"
    assert verdict(Figure("one", 0.1, "", 0.2, 0.1)) == "aim reached"
