"""Trials of changes: made once for each, asked for at every pass."""

from __future__ import annotations

import asyncio

import pytest

from mooring.control.trials import NOTHING_TO_TRY, UNDER_WAY, Change, ChangeKind, Outcome, Trial, Trials
from tests.store.making import an_endpoint


def change(kind: ChangeKind = ChangeKind.CREATE, number: float = 1) -> Change:
    record = an_endpoint()
    return Change(kind, number, record.generation, record.config, record.variants)


class Attempts:
    """What was tried, and what it comes to."""

    def __init__(self, *outcomes: str | Exception | None) -> None:
        self.begun: list[float] = []
        self.go = asyncio.Event()
        self._outcomes = list(outcomes)

    def attempt(self, change: Change) -> Outcome:
        return self._outcome(change.number)

    async def _outcome(self, number: float) -> str | None:
        self.begun.append(number)
        await self.go.wait()
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def ended(trials: Trials, of: Change) -> Trial:
    while (found := trials.of(of)) is UNDER_WAY:
        await asyncio.sleep(0)
    return found


def test_a_trial_is_made_once_and_wakes_the_worker() -> None:
    async def scene() -> None:
        woken = asyncio.Event()
        attempts = Attempts("no good")
        trials = Trials([lambda _: None, attempts.attempt], woken.set)
        assert [trials.of(change()), trials.of(change())] == [UNDER_WAY, UNDER_WAY]
        attempts.go.set()
        await woken.wait()
        assert [trials.of(change()), trials.of(change())] == [Trial(failure="no good")] * 2
        assert attempts.begun == [1]

    asyncio.run(scene())


def test_another_change_is_tried_anew_and_the_one_before_is_given_up() -> None:
    async def scene() -> None:
        attempts = Attempts(None)
        trials = Trials([attempts.attempt], lambda: None)
        assert trials.of(change()) is UNDER_WAY
        while not attempts.begun:
            await asyncio.sleep(0)
        later = change(ChangeKind.UPDATE, 2)
        assert trials.of(later) is UNDER_WAY
        attempts.go.set()
        assert await ended(trials, later) == Trial()
        assert attempts.begun == [1, 2]

    asyncio.run(scene())


def test_nothing_to_try_is_over_at_once() -> None:
    async def scene() -> None:
        assert Trials([lambda _: None, lambda _: None], lambda: None).of(change()) is NOTHING_TO_TRY

    asyncio.run(scene())


def test_an_attempt_that_breaks_is_made_again() -> None:
    async def scene() -> None:
        attempts = Attempts(OSError("no room"), None)
        attempts.go.set()
        trials = Trials([attempts.attempt], lambda: None)
        with pytest.raises(OSError, match="no room"):
            await ended(trials, change())
        assert await ended(trials, change()) == Trial()

    asyncio.run(scene())


def test_an_attempt_does_not_go_on_beside_one_that_broke() -> None:
    async def scene() -> None:
        broken, other = Attempts(OSError("no room"), None), Attempts(None)
        broken.go.set()
        trials = Trials([broken.attempt, other.attempt], lambda: None)
        with pytest.raises(OSError, match="no room"):
            await ended(trials, change())
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1, "the other was given up"
        other.go.set()
        assert await ended(trials, change()) == Trial()
        assert other.begun == [1, 1]

    asyncio.run(scene())


def test_one_failure_of_several_attempts_is_told() -> None:
    async def scene() -> None:
        first, second = Attempts(None), Attempts("second")
        first.go.set()
        second.go.set()
        assert await ended(Trials([first.attempt, second.attempt], lambda: None), change()) == Trial(failure="second")

    asyncio.run(scene())
