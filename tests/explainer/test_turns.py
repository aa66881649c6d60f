"""In a crowd of calls those come first that are over soonest, and a stalled one holds nobody up."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.explainer.work.turns import AT_ONCE, STALLED_S, Turns


@dataclass
class Asking:
    work_left: int
    width: int = 1
    is_held: bool = False
    heard_at: float = 0.0


def crowd(turns: Turns, *works: int, model: str = "m", first: int = 1) -> dict[int, Asking]:
    calls = {number: Asking(work) for number, work in enumerate(works, first)}
    for number, call in calls.items():
        turns.join(number, model, call, 0.0)
    return calls


def going(calls: dict[int, Asking]) -> list[int]:
    return [number for number, call in calls.items() if not call.is_held]


def test_a_few_all_go_on() -> None:
    turns = Turns()
    assert going(crowd(turns, *[9] * AT_ONCE)) == [1, 2, 3, 4]
    assert not turns.is_crowded


def test_of_equals_the_oldest_go_first_and_the_next_follows_who_ends() -> None:
    turns = Turns()
    calls = crowd(turns, *[9] * 10)
    assert going(calls) == [1, 2, 3, 4]
    assert turns.is_crowded
    del calls[2]
    assert turns.leave(2, 1.0) == [5]
    assert going(calls) == [1, 3, 4, 5]
    assert turns.leave(99, 1.0) == [], "a call that never began to ask"


def test_a_small_call_goes_before_large_ones() -> None:
    turns = Turns()
    calls = crowd(turns, *[9] * 6)
    small = Asking(1)
    assert turns.join(7, "m", small, 0.0) == [7]
    assert not small.is_held
    assert going(calls) == [1, 2, 3]
    assert turns.leave(7, 1.0) == [4]


def test_what_is_nearly_done_is_not_put_off() -> None:
    turns = Turns()
    calls = crowd(turns, *[9] * 6)
    calls[4].work_left = 3
    turns.join(7, "m", late := Asking(5), 0.0)
    assert going(calls) == [1, 2, 4]
    assert not late.is_held


def test_where_many_requests_are_taken_at_a_time_more_calls_ask() -> None:
    turns, calls = Turns(), {number: Asking(9, width=5) for number in range(1, 20)}
    for number, call in calls.items():
        turns.join(number, "m", call, 0.0)
    assert going(calls) == [*range(1, 11)]


def test_models_do_not_wait_for_each_other() -> None:
    turns = Turns()
    calls = crowd(turns, *[9] * 6) | crowd(turns, *[9] * 6, model="other", first=11)
    assert going(calls) == [1, 2, 3, 4, 11, 12, 13, 14]


def test_a_stalled_call_holds_nobody_up() -> None:
    turns = Turns()
    calls = crowd(turns, *[9] * 7)
    calls[1].heard_at = calls[2].heard_at = STALLED_S
    assert turns.settle(STALLED_S) == [5, 6]
    assert going(calls) == [1, 2, 3, 4, 5, 6]
    calls[3].heard_at = STALLED_S + 1
    assert turns.settle(STALLED_S + 1) == []
    assert going(calls) == [1, 2, 3, 4, 5]
