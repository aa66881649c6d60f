"""Readings: which records are explained, and how their features come to the model again, to the byte."""

from __future__ import annotations

import numpy as np
import pytest

from mooring.explainer.faults import Unexplainable
from mooring.explainer.records import baseline_lines, body_of
from tests.explainer.making import plan_of, reading_of


def test_a_masked_record_keeps_the_text_of_its_cells() -> None:
    plan = plan_of("0,0,0.0,x")
    reading = reading_of(plan, "1,2.50,0.0,a b\r\n5,6,7,y", "0.25\n0.75\n")
    assert reading.selected == [True, True]
    assert [scores.tolist() for scores in reading.scores] == [[0.25], [0.75]]
    game = reading.game(0)
    assert (game.players, game.varying.tolist()) == (4, [0, 1, 3])
    masks = np.array([[True, False, False], [False, True, True], [True, True, True]])
    assert game.lines(masks, 0) == [b"1,0,0.0,x", b"0,2.50,0.0,a b", b"1,2.50,0.0,a b"]
    assert body_of(baseline_lines(plan, "text/csv")) == b"0,0,0.0,x"


def test_a_record_has_as_many_features_as_the_baseline() -> None:
    with pytest.raises(Unexplainable, match="Record 1 of the request has 3 features and the baseline has 4"):
        reading_of(plan_of(), "1,2,3,4\n1,2,3", "0.1\n0.2")
