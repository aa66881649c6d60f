"""How alarms are heard: what is not known is never quiet, and what was said before a decision does not count for it."""

from __future__ import annotations

import asyncio
from typing import cast

from mooring.control.alarm_book import AlarmBook
from mooring.control.alarms import AlarmWatch, CloudWatch
from mooring.hosting.naming import Scope
from mooring.hosting.rollout.rollouts import Heard
from mooring.metrics.alarms import Alarm
from mooring.metrics.evaluating import State
from mooring.store import Store

HERE = Scope("000000000000", "eu-west-1")


class SetClock:
    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def alarm(name: str, state: State) -> Alarm:
    return Alarm(HERE.account, HERE.region, f"arn:{name}", "MetricAlarm", {"AlarmName": name}, 1.0, state)


def hear(store: Store, *names: str, scope: Scope = HERE) -> Heard:
    held = [alarm("ok", State.OK), alarm("bad", State.ALARM), alarm("new", State.INSUFFICIENT_DATA)]
    clock = SetClock()
    return asyncio.run(CloudWatch(AlarmBook(store, clock, held), "", clock).hear(scope, names))


def test_each_alarm_is_looked_for_in_the_endpoints_region() -> None:
    store = cast(Store, None)  # nothing is written
    heard = hear(store, "ok", "bad", "new", "gone")
    assert heard == Heard(100.0, ringing=("bad",), unknown=("gone",))
    assert hear(store, "bad", scope=Scope(HERE.account, "us-east-1")) == Heard(100.0, unknown=("bad",))


def test_what_is_no_answer_is_silence() -> None:
    clock = SetClock()
    elsewhere = CloudWatch(AlarmBook(cast(Store, None), clock, []), "http://127.0.0.1:9", clock)
    heard = asyncio.run(elsewhere.hear(HERE, ("a",)))
    assert heard.silence
    assert not heard.quiet


class Answering:
    """A CloudWatch whose answers a test gives."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.ringing: tuple[str, ...] = ()
        self.questions = 0

    async def hear(self, scope: Scope, names: tuple[str, ...]) -> Heard:
        self.questions += 1
        return Heard(self.clock.now, ringing=self.ringing)


def test_an_answer_counts_for_what_came_before_it_only() -> None:
    async def run() -> None:
        clock = SetClock()
        cloudwatch = Answering(clock)
        changed = asyncio.Event()
        watch = AlarmWatch(cloudwatch, clock, 5.0, changed.set)

        async def heard(since: float) -> Heard | None:
            """What is heard once the question that the first look asks is answered."""
            changed.clear()
            first = watch.heard(HERE, ("a",), since)
            if cloudwatch.questions and watch._asking is None:
                return first
            async with asyncio.timeout(5):
                await changed.wait()
            return watch.heard(HERE, ("a",), since)

        cloudwatch.ringing = ("a",)
        assert await heard(100.0) == Heard(100.0, ringing=("a",))
        assert watch.heard(HERE, ("a",), 100.0) == Heard(100.0, ringing=("a",))
        assert cloudwatch.questions == 1
        # The same alarms in the next rollout: what rang before it is not heard.
        clock.now, cloudwatch.ringing = 102.0, ()
        assert watch.heard(HERE, ("a",), 102.0) is None
        assert await heard(102.0) == Heard(102.0)
        clock.now = 110.0
        assert watch.heard(HERE, ("a",), 102.0) == Heard(102.0)
        assert await heard(102.0) == Heard(110.0)
        assert cloudwatch.questions == 3
        # The clock was set back: what was heard in its future must not keep the alarms from being asked.
        clock.now, cloudwatch.ringing = 60.0, ("a",)
        assert watch.heard(HERE, ("a",), 50.0) is None
        assert await heard(50.0) == Heard(60.0, ringing=("a",))
        watch.forget()

    asyncio.run(run())
