"""Designs: what they hold, and that they depend on nothing else than they say."""

from __future__ import annotations

import subprocess
import sys
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.explainer.estimation.coalitions import coalitions

PLAYERS = st.integers(1, 24)
SAMPLES = st.integers(0, 400)
SEEDS = st.integers(-(2**63), 2**63)


@settings(max_examples=150, deadline=None)
@given(PLAYERS, SAMPLES, SEEDS)
def test_a_design_has_no_more_than_its_samples_and_none_twice(players: int, samples: int, seed: int) -> None:
    design = coalitions(players, samples, seed)
    masks = design.masks
    assert len(masks) == min(samples // 2 * 2, 2**players - 2)
    assert design.exact == (samples >= 2**players - 2)
    assert len(np.unique(masks, axis=0)) == len(masks)
    assert masks.any(axis=1).all()
    assert not masks.all(axis=1).any()


@settings(max_examples=100, deadline=None)
@given(PLAYERS, SAMPLES, SEEDS)
def test_complements_lie_beside_each_other(players: int, samples: int, seed: int) -> None:
    design = coalitions(players, samples, seed)
    if not design.exact:
        assert np.array_equal(design.masks[::2], ~design.masks[1::2])
        assert len(design.weights) == len(design.masks) // 2
        assert (design.weights > 0).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(2, 600), SEEDS)
def test_sizes_have_equal_shares_as_far_as_there_are_coalitions(players: int, samples: int, seed: int) -> None:
    design = coalitions(players, samples, seed)
    found = np.bincount(design.masks.sum(axis=1), minlength=players + 1)
    # Two are as good as equal, as pairs of halves count for two; what is left of a division goes where there is room.
    unfilled = [found[size] for size in range(1, players) if found[size] < comb(players, size)]
    if not design.exact and len(unfilled) > 1:
        assert max(unfilled) - min(unfilled) <= 4
        assert max(found) <= max(unfilled) + 4


def test_the_same_seed_is_the_same_design_in_another_process() -> None:
    module = "mooring.explainer.estimation.coalitions"
    code = f"from {module} import coalitions as c; print(hash(c(20, 300, 7).masks.tobytes()))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "0"}
        ).stdout
        for _ in range(2)
    }
    assert len(told) == 1


def test_seeds_differ_and_none_is_one_for_a_process() -> None:
    assert not np.array_equal(coalitions(20, 300, 1).masks, coalitions(20, 300, 2).masks)
    assert not np.array_equal(coalitions(20, 300, 1).masks, coalitions(20, 300, -1).masks)
    assert coalitions(20, 300, None) is coalitions(20, 300, None)


@pytest.mark.parametrize(("players", "samples"), [(112, 2272), (500, 3048), (30, 2108)])
def test_many_players(players: int, samples: int) -> None:
    design = coalitions(players, samples, 5)
    assert design.masks.shape == (samples, players)
    assert len(np.unique(design.masks, axis=0)) == samples


@pytest.mark.parametrize(("players", "samples"), [(0, 10), (-1, 10), (3, -1)])
def test_no_design_for_nobody(players: int, samples: int) -> None:
    with pytest.raises(ValueError, match="no design"):
        coalitions(players, samples, 0)
