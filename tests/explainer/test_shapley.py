"""Shapley values beside closed forms, and what must hold of any game."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mooring.explainer.shapley import Attributions, attributions, coalitions, log_odds
from tests.explainer.games import by_definition, numbers_of

Game = Callable[[NDArray[np.bool_]], NDArray[np.float64]]


def played(game: Game, players: int, samples: int = 2**15, seed: int = 1) -> Attributions:
    """The attributions of a game whose function takes (coalitions, players)."""
    design = coalitions(players, samples, seed)
    ends = game(np.array([[False] * players, [True] * players]))
    values = game(design.masks) if len(design.masks) else np.zeros((0, *ends.shape[1:]))
    if ends.ndim == 1:
        return attributions(design, values[:, None], ends[:1], ends[1:])
    return attributions(design, values, ends[0], ends[1])


def close(found: Attributions, truth: object) -> bool:
    truth = np.asarray(truth, dtype=float)
    values = found.values[:, 0] if truth.ndim == 1 else found.values
    return bool(np.linalg.norm(values - truth) <= 1e-12 * np.linalg.norm(truth))


def unanimity(*members: int) -> Game:
    return lambda masks: masks[:, members].all(axis=1).astype(float)


def linear(weights: NDArray[np.float64], constant: float = 3.0) -> Game:
    return lambda masks: masks @ weights + constant


def house(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows = np.where(masks, [2005, 3200, 3, 2.5, 0.9, 1], [1995, 3000, 4, 2, 1, 2])
    year, feet, beds, baths, lot, garage = rows.T
    return 150 * feet + 10000 * beds + 15000 * baths + 15000 * lot + 15000 * garage - 5000 * (2022 - year)


def council(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    return (masks[:, :5].all(axis=1) & (masks[:, 5:].sum(axis=1) >= 4)).astype(float)


@pytest.mark.parametrize(
    ("game", "truth"),
    [
        (house, [50000, 30000, -10000, 7500, -1500, -15000]),
        (linear(np.array([1.0, 2.0, 0.0])), [1, 2, 0]),
        (unanimity(0, 2, 3), [1 / 3, 0, 1 / 3, 1 / 3, 0, 0]),
        (lambda masks: masks[:, 0] * (masks[:, 1] | masks[:, 2]) * 1.0, [2 / 3, 1 / 6, 1 / 6]),
        (lambda masks: (masks * [1.0, 2.0, 4.0]).max(axis=1), [1 / 3, 5 / 6, 17 / 6]),
        (lambda masks: masks[:, :3].all(axis=1) + 2.0 * masks[:, 3], [1 / 3, 1 / 3, 1 / 3, 2]),
        (council, [421 / 2145] * 5 + [4 / 2145] * 10),
        (lambda masks: masks[:, 0] * 5.0, [5]),
    ],
    ids=["house", "linear", "unanimity", "glove", "airport", "unanimity and one", "security council", "one player"],
)
def test_closed_forms(game: Game, truth: list[float]) -> None:
    found = played(game, len(truth))
    assert close(found, truth)
    assert found.error == 0.0


@pytest.mark.parametrize("players", range(1, 12))
def test_default_budgets_of_eleven_players_are_exact(players: int) -> None:
    weights = np.random.default_rng(players).normal(size=2**players)
    found = played(lambda masks: weights[numbers_of(masks)], players, 2 * players + 2048)
    assert close(found, by_definition(weights))


@pytest.mark.parametrize(("players", "samples"), [(12, 2072), (20, 2088), (112, 2272), (14, 30), (40, 82)])
def test_linear_games_are_exact_from_samples(players: int, samples: int) -> None:
    weights = np.random.default_rng(3).normal(size=players)
    found = played(linear(weights), players, samples)
    assert close(found, weights)
    assert found.error <= 1e-9


def test_pairwise_games_are_exact_from_samples() -> None:
    matrix = np.random.default_rng(4).normal(size=(15, 15))
    found = played(lambda masks: np.einsum("ci,ij,cj->c", masks, matrix, masks), 15, 200)
    assert close(found, (matrix + matrix.T).sum(axis=1) / 2)


def test_interactions_of_few_players_are_found_from_samples() -> None:
    found = played(lambda masks: unanimity(1, 4, 7)(masks) + 2 * unanimity(2, 9)(masks) + masks[:, 3], 20, 2088)
    truth = np.zeros(20)
    truth[[1, 4, 7]] = 1 / 3
    truth[[2, 9, 3]] = 1
    assert np.linalg.norm(found.values[:, 0] - truth) <= 1e-4 * np.linalg.norm(truth)


ANY = st.floats(-1e6, 1e6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(0, 120),
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.sampled_from([1e-300, 1, 1e300]),
)
def test_sums_hold_and_all_is_finite(players: int, samples: int, seed: int, classes: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    design = coalitions(players, samples, seed)
    values = generator.normal(size=(len(design.masks), classes)) * scale
    empty, full = generator.normal(size=(2, classes)) * scale
    found = attributions(design, values, empty, full)
    assert np.isfinite(found.values).all()
    assert found.error >= 0
    sums = found.values.sum(axis=0) - (full - empty)
    assert np.abs(sums).max() <= 1e-15 * players * max(np.abs(found.values).max(), scale)


@pytest.mark.parametrize("samples", [0, 1, 2, 3, 5, 11, 29, 200, 2072])
@pytest.mark.parametrize("value", [0.0, 0.7, 1e-320, -1e307])
def test_games_without_any_difference(samples: int, value: float) -> None:
    found = played(lambda masks: np.full(len(masks), value), 12, samples)
    assert not found.values.any()
    assert found.error == 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32))
def test_symmetric_players_and_dummies_when_exact(players: int, seed: int) -> None:
    by_size = np.random.default_rng(seed).normal(size=players)
    found = played(lambda masks: by_size[masks[:, :-1].sum(axis=1)], players)
    assert np.allclose(found.values[:-1, 0], found.values[0, 0], rtol=0, atol=1e-13)
    assert abs(found.values[-1, 0]) <= 1e-13


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32))
def test_attributions_of_a_sum_are_sums_when_exact(players: int, seed: int) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 2**players))
    both = [played(lambda masks, of=of: of[numbers_of(masks)], players).values for of in (one, other, one + other)]
    assert np.allclose(both[0] + both[1], both[2], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("players", "samples"), [(6, 62), (12, 300), (16, 2080), (30, 40)])
def test_classes_that_sum_to_one_have_attributions_that_sum_to_zero(players: int, samples: int) -> None:
    weights = np.random.default_rng(5).normal(size=(players, 3)) * 2

    def softmax(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        raised = np.exp(masks @ weights)
        return raised / raised.sum(axis=1, keepdims=True)

    found = played(softmax, players, samples)
    assert np.abs(found.values.sum(axis=1)).max() <= 1e-12 * np.abs(found.values).max()


def test_the_same_seed_gives_the_same_bits() -> None:
    table = np.random.default_rng(6).normal(size=2**13)
    first, again, other = (played(lambda masks: table[numbers_of(masks)], 13, 500, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


def test_log_odds_keep_away_from_the_ends() -> None:
    found = log_odds(np.array([0.0, 0.5, 1.0, 0.8]))
    assert np.isfinite(found).all()
    assert found[1] == 0.0
    assert found[0] == pytest.approx(-found[2], rel=1e-5)
    assert found[3] == pytest.approx(np.log(4))


def test_shapes_that_do_not_fit_are_refused() -> None:
    design = coalitions(3, 6, 0)
    with pytest.raises(ValueError, match="values of 6 coalitions"):
        attributions(design, np.zeros((5, 1)), np.zeros(1), np.zeros(1))


@pytest.mark.parametrize("samples", [2, 3, 10, 57, 200, 2074])
def test_games_of_thirteen_are_solved_without_a_warning_whatever_the_budget(samples: int) -> None:
    found = played(lambda masks: np.exp(masks @ np.linspace(-1, 2, 13)), 13, samples)
    assert np.isfinite(found.values).all()
    assert 0 < found.error <= 1


def test_more_pairs_than_are_solved_together() -> None:
    weights = np.random.default_rng(7).normal(size=16)

    def game(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-(masks @ weights)))

    few, many = played(game, 16, 2080), played(game, 16, 12000)
    truth = played(game, 16, 2**16).values
    assert np.linalg.norm(many.values - truth) < np.linalg.norm(few.values - truth)
    assert many.values.sum() == pytest.approx(truth.sum(), rel=1e-13)


def test_designs_are_bounded_whatever_was_asked_for() -> None:
    assert coalitions(40, 10**12, 1).masks.size <= 2**23
