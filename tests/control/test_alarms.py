"""How alarms are heard: what is not known is never quiet, and what was said before a decision does not count for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mooring.control.alarms import AlarmWatch, CloudWatch
from mooring.errors import NotInstalled, Unavailable
from mooring.hosting.naming import Scope
from mooring.hosting.rollout.rollouts import Heard
from mooring.http1.messages import Request
from mooring.wire.errors import WireResponse

HERE = Scope("000000000000", "eu-west-1")


class SetClock:
    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Neighbours:
    """Answers as the neighbours' process would, or raises."""

    def __init__(self, outcome: Any, status: int = 200) -> None:
        self.outcome = outcome
        self.status = status
        self.asked: list[Request] = []

    async def ask(self, request: Request, request_id: str) -> WireResponse:
        self.asked.append(request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return WireResponse(self.status, (), json.dumps(self.outcome).encode())


def hear(outcome: Any, *names: str, status: int = 200) -> tuple[Heard, list[Request]]:
    neighbours = Neighbours(outcome, status)
    return asyncio.run(CloudWatch(neighbours, "", SetClock()).hear(HERE, names)), neighbours.asked


def alarm(name: str, state: str) -> dict[str, str]:
    return {"AlarmName": name, "StateValue": state}


def test_each_alarm_is_looked_for_in_the_endpoints_region() -> None:
    answer = {
        "MetricAlarms": [alarm("ok", "OK"), alarm("bad", "ALARM"), alarm("new", "INSUFFICIENT_DATA")],
        "CompositeAlarms": [alarm("both", "ALARM")],
    }
    heard, asked = hear(answer, "ok", "bad", "new", "both", "gone")
    assert heard == Heard(100.0, ringing=("bad", "both"), unknown=("gone",))
    assert b"/eu-west-1/monitoring/" in dict(asked[0].headers)[b"authorization"]
    assert json.loads(asked[0].body)["AlarmNames"] == ["ok", "bad", "new", "both", "gone"]


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        (Unavailable("it is being started"), 200, "it is being started"),
        (NotInstalled(), 200, "pip install 'mooring[neighbours]'"),
        ({"message": "no"}, 500, "status 500"),
        ("nonsense", 200, "AttributeError"),
        ({"MetricAlarms": [{"AlarmName": "a"}]}, 200, "KeyError"),
    ],
)
def test_what_is_no_answer_is_silence(outcome: Any, status: int, words: str) -> None:
    heard, _ = hear(outcome, "a", status=status)
    assert words in str(heard.silence)
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
