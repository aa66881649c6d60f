"""What alarms do when their state changes: they tell SNS topics, and ask scaling policies.

An action is owed from the moment that the change of state is on disk, and until it is on disk that it was taken: a
control that was killed in between is followed by one that takes it, perhaps again. One topic that does not answer
holds up nothing but what the same alarm has to tell it. Other kinds of actions add themselves with `handle`; what
nobody handles is noted in the alarm's history as failed, as on AWS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mooring.control.alarm_book import AlarmBook
from mooring.control.topics import Topics
from mooring.errors import MooringError, Refused, Unavailable
from mooring.hosting.naming import Scope
from mooring.metrics.alarms import Alarm, Owed

log = logging.getLogger("mooring.control")

ATTEMPTS = 5
PAUSE_S = 2.0
Handle = Callable[[Alarm, Owed], Awaitable[None]]
"""Takes an action. Raises `Unavailable` for what may be tried again, and another `MooringError` for what may not."""
Lane = tuple[str, str, str, str]
"""Account, region and name of an alarm, and the ARN of an action: each waits for its own only."""


class AlarmActions:
    """`run` is the one task."""

    def __init__(self, book: AlarmBook, topics: Topics) -> None:
        self._book = book
        self._topics = topics
        self._handlers: list[tuple[str, Handle]] = [(":sns:", self._publish)]
        self._attempts: dict[str, int] = {}
        self._lanes: set[Lane] = set()

    def handle(self, part: str, handler: Handle) -> None:
        """Have `handler` take the actions whose ARN has this part, such as `:autoscaling:`."""
        self._handlers.append((part, handler))

    async def run(self) -> None:
        """Take what is owed until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._book.changed.clear()
                for alarm in self._book.all():
                    for action in {owed.action for owed in alarm.owed}:
                        lane = (alarm.account, alarm.region, alarm.name, action)
                        if lane not in self._lanes:
                            self._lanes.add(lane)
                            group.create_task(self._take(lane), name="an action of an alarm")
                await self._book.changed.wait()

    async def _take(self, lane: Lane) -> None:
        """Whatever an alarm owes to one topic or policy, in its order."""
        account, region, name, action = lane
        try:
            while (alarm := self._book.get(Scope(account, region), name)) is not None:
                owed = next((each for each in alarm.owed if each.action == action), None)
                if owed is None:
                    return
                if not await self._taken(alarm, owed):
                    await asyncio.sleep(PAUSE_S)
        finally:
            self._lanes.discard(lane)

    async def _taken(self, alarm: Alarm, owed: Owed) -> bool:
        """Whether an action needs no further attempt."""
        problem = None
        try:
            await self._handler(owed.action)(alarm, owed)
        except Unavailable as error:
            tried = self._attempts[owed.id] = self._attempts.get(owed.id, 0) + 1
            if tried < ATTEMPTS:
                return False
            problem = str(error)
        except MooringError as error:
            problem = str(error)
        except Exception as error:
            log.exception("an action of alarm %s failed", alarm.name)
            problem = type(error).__name__
        self._attempts.pop(owed.id, None)
        outcome = "Succeeded" if problem is None else "Failed"
        if problem is None:
            summary = f"Successfully executed action {owed.action}"
        else:
            summary = f"Failed to execute action {owed.action}. Received error: {problem}"
            log.warning("alarm %a: %a", alarm.name, summary)
        data: dict[str, object] = {"actionState": outcome, "notificationResource": owed.action, "error": problem}
        await self._done(alarm, owed, summary, data)
        return True

    async def _done(self, alarm: Alarm, owed: Owed, summary: str, data: dict[str, object]) -> None:
        """Until it is on disk, so that what was taken is not taken again and again while the disk is full."""
        while True:
            try:
                return await self._book.done(alarm, owed.id, summary, data)
            except MooringError as error:
                log.warning("what became of an action of alarm %a cannot be written: %s", alarm.name, error)
                await asyncio.sleep(PAUSE_S)

    def _handler(self, action: str) -> Handle:
        found = next((handler for part, handler in self._handlers if part in action), None)
        return self._nobody if found is None else found

    async def _nobody(self, alarm: Alarm, owed: Owed) -> None:
        raise Refused("Mooring tells SNS topics of alarms and asks scaling policies, and has no other actions.")

    async def _publish(self, alarm: Alarm, owed: Owed) -> None:
        await self._topics.publish(owed.action, owed.message, owed.id, owed.subject)
