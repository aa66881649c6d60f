"""Rows are numbered by their text, and their scores are held for as long as somebody may ask."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.work import predictions as module
from mooring.explainer.work.predictions import REMEMBERED_BYTES, ROW_BYTES, TEXT, Predictions, Room


def scores_of(row: bytes) -> list[float]:
    """What a model might say of it: the same for the same text."""
    return [float(sum(row)), float(len(row))]


def predict(predictions: Predictions, first: int, rows: int) -> int:
    """Have so many of the unsent rows predicted; the number of the next one."""
    sent = [predictions.unsent.popleft() for _ in range(min(rows, len(predictions.unsent)))]
    if sent:
        predictions.put(first, np.array([scores_of(row) for row in sent]))
    return first + len(sent)


def test_the_same_row_is_sent_once() -> None:
    predictions = Predictions(2, Room())
    first = predictions.number([b"1,2", b"1,3", b"1,2"])
    again = predictions.number([b"1,3", b"9"])
    assert first.tolist() == [0, 1, 0]
    assert again.tolist() == [1, 2]
    assert list(predictions.unsent) == [b"1,2", b"1,3", b"9"]
    assert not predictions.are_there(first)
    predict(predictions, 0, 2)
    assert predictions.are_there(first)
    assert not predictions.are_there(again)
    assert predictions.scores(first).tolist() == [scores_of(row) for row in (b"1,2", b"1,3", b"1,2")]


def test_what_is_known_is_not_sent() -> None:
    predictions = Predictions(2, Room())
    predictions.know(b"1,1", np.array([0.25, 0.75]))
    predictions.know(b"0,0", np.array([0.5, 0.5]))
    predictions.know(b"0,0", np.array([9.0, 9.0]))
    numbers = predictions.number([b"0,0", b"1,1"])
    assert not predictions.unsent
    assert predictions.are_there(numbers)
    assert predictions.scores(numbers).tolist() == [[0.5, 0.5], [0.25, 0.75]]


def test_a_row_under_way_is_not_known_too() -> None:
    predictions = Predictions(2, Room())
    numbers = predictions.number([b"7"])
    predictions.know(b"7", np.array([1.0, 1.0]))
    assert predictions.number([b"7"]).tolist() == numbers.tolist()


def test_long_rows_are_told_apart() -> None:
    predictions = Predictions(2, Room())
    long = b"x" * (TEXT + 1)
    assert predictions.number([long, long + b"y", long]).tolist() == [0, 1, 0]


def test_what_is_remembered_is_bounded_over_all_calls() -> None:
    room = Room(10 * (ROW_BYTES + TEXT))
    one, other = Predictions(1, room), Predictions(1, room)
    one.number([b"%d" % i for i in range(8)])
    assert other.number([b"a", b"b", b"c"]).tolist() == [0, 1, 2]
    assert other.number([b"a", b"b", b"c"]).tolist() == [3, 4, 5], "there was no room to remember them"
    one.close()
    one.close()
    assert room.left == 10 * (ROW_BYTES + TEXT)
    other.close()
    third = Predictions(1, room)
    assert third.number([b"a", b"a"]).tolist() == [0, 0]
    assert REMEMBERED_BYTES >= module.ROWS * ROW_BYTES


def test_scores_that_nobody_needs_are_let_go() -> None:
    predictions = Predictions(3, Room(0))
    first = 0
    for turn in range(200):
        start = predictions.count
        numbers = predictions.number([b"%d-%d" % (turn, i) for i in range(500)])
        while predictions.unsent:
            count = min(64, len(predictions.unsent))
            for _ in range(count):
                predictions.unsent.popleft()
            predictions.put(first, np.full((count, 3), float(turn)))
            first += count
        assert predictions.are_there(numbers)
        assert (predictions.scores(numbers) == turn).all()
        predictions.settle(start)
    assert len(predictions._scores) < 5000


@given(
    st.lists(st.lists(st.binary(max_size=2), min_size=1, max_size=12), max_size=30),
    st.lists(st.integers(1, 9), min_size=1),
    st.integers(0, 60),
    st.sets(st.binary(max_size=1), max_size=3),
)
def test_each_row_has_its_own_scores(groups: list[list[bytes]], sizes: list[int], room: int, known: set[bytes]) -> None:
    """However many may be remembered, whenever answers come, and whatever is let go meanwhile."""
    predictions = Predictions(2, Room(room * (ROW_BYTES + TEXT)))
    for row in known:
        predictions.know(row, np.array(scores_of(row)))
    held: list[tuple[int, list[bytes], np.ndarray]] = []
    answered = sent = 0
    for turn, rows in enumerate(groups):
        held.append((predictions.count, rows, predictions.number(rows)))
        before = answered
        answered = predict(predictions, answered, sizes[turn % len(sizes)])
        sent += answered - before
        while held and predictions.are_there(held[0][2]):
            _, asked, numbers = held.pop(0)
            assert predictions.scores(numbers).tolist() == [scores_of(row) for row in asked]
        predictions.settle(held[0][0] if held else predictions.count)
    answered = predict(predictions, answered, 10_000)
    for _, asked, numbers in held:
        assert predictions.are_there(numbers)
        assert predictions.scores(numbers).tolist() == [scores_of(row) for row in asked]
    if room >= sum(map(len, groups)):
        assert answered == len({row for rows in groups for row in rows} - known)
