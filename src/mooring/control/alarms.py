"""The alarms that may turn an update back: asked of CloudWatch, beside the work on the endpoint.

Guarantees: what is not known is never told as quiet. An alarm that CloudWatch does not have is unknown, and a
CloudWatch that does not answer, or not in time, is silent. INSUFFICIENT_DATA is quiet, as on AWS: an alarm has no data
while nobody calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from mooring.clock import Clock
from mooring.control.alarm_book import AlarmBook
from mooring.control.elsewhere import client_of
from mooring.hosting.naming import Scope
from mooring.hosting.rollout.rollouts import CLOCK_SLACK_S, Heard

log = logging.getLogger("mooring.control")

ASK_LIMIT_S = 40.0
READ_S, ATTEMPTS = 10, 2


class CloudWatch:
    """The CloudWatch that has the alarms: Mooring's own, or another by its URL."""

    def __init__(self, book: AlarmBook, url: str, clock: Clock) -> None:
        self._book = book
        self._url = url
        self._clock = clock

    async def hear(self, scope: Scope, names: tuple[str, ...]) -> Heard:
        """How these alarms of the account and region are. It always returns."""
        began = round(self._clock.wall(), 3)
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                states = await self._theirs(scope, names) if self._url else self._own(scope, names)
        except TimeoutError:
            return Heard(began, silence=f"no answer within {ASK_LIMIT_S:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a foreign service says is not that all is well
            log.warning("CloudWatch does not tell of alarms: %s", error)
            return Heard(began, silence=f"{type(error).__name__}: {error}")
        return Heard(
            began,
            ringing=tuple(name for name in names if states.get(name) == "ALARM"),
            unknown=tuple(name for name in names if name not in states),
        )

    def _own(self, scope: Scope, names: tuple[str, ...]) -> dict[str, str]:
        found = (self._book.get(scope, name) for name in names)
        return {alarm.name: alarm.state for alarm in found if alarm is not None}

    async def _theirs(self, scope: Scope, names: tuple[str, ...]) -> dict[str, str]:
        return await asyncio.to_thread(_asked, self._url, scope.region, names)


class AlarmWatch:
    """The last answer about one rollout's alarms, never older than it should be. `on_change` follows each answer."""

    def __init__(self, cloudwatch: CloudWatch, clock: Clock, interval_s: float, on_change: Callable[[], None]) -> None:
        self._cloudwatch = cloudwatch
        self._clock = clock
        self._interval_s = interval_s
        self._on_change = on_change
        self._asking: asyncio.Task[Heard] | None = None
        self._heard: Heard | None = None
        self._names: tuple[str, ...] = ()

    def heard(self, scope: Scope, names: tuple[str, ...], since: float) -> Heard | None:
        """The last answer to a question that was asked after `since`; None when there is none.

        Another question is on its way when the last one is too old.
        """
        if names != self._names:
            self.forget()
            self._names = names
        if self._asking is not None and self._asking.done():
            self._heard, self._asking = self._asking.result(), None
        now = self._clock.wall()
        if self._heard is not None and self._heard.at > now + CLOCK_SLACK_S:  # the clock was set back since
            self._heard = None
        held = self._heard
        if self._asking is None and (held is None or held.at < since <= now or now - held.at >= self._interval_s):
            self._asking = asyncio.create_task(self._cloudwatch.hear(scope, names), name="a look at alarms")
            self._asking.add_done_callback(lambda done: done.cancelled() or self._on_change())
        return held if held is not None and held.at >= since else None

    def forget(self) -> None:
        """Another rollout has other alarms."""
        if self._asking is not None:
            self._asking.cancel()
        self._asking, self._heard, self._names = None, None, ()


def _question(names: tuple[str, ...]) -> dict[str, Any]:
    return {"AlarmNames": list(names), "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}


def _states(answer: dict[str, Any]) -> dict[str, str]:
    alarms = [*(answer.get("MetricAlarms") or ()), *(answer.get("CompositeAlarms") or ())]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}


def _asked(url: str, region: str, names: tuple[str, ...]) -> dict[str, str]:
    client = client_of("cloudwatch", region, url, read_s=READ_S, attempts=ATTEMPTS)
    try:
        return _states(client.describe_alarms(**_question(names)))
    finally:
        client.close()
