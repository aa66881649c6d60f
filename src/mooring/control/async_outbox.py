"""Notifications of asynchronous endpoints: what is owed to topics, published until they have it.

On its own, and each topic by itself, so that one which fails or hangs holds nothing up but what is owed to it. A
notification whose topic refuses it (there is no such topic) is tried a few times too, as a topic may be made again;
then it is given up, and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mooring.clock import Clock
from mooring.control.topics import Topics
from mooring.errors import MooringError, Refused
from mooring.hosting.async_jobs import Owed
from mooring.store.queue import Queue

log = logging.getLogger("mooring.control")

AT_ONCE = 32
"""Notifications of a topic."""
MOST_TOPICS = 64
"""Topics that are told something at a time; those that hang leave room for so many others."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
LOOK_S = 1.0
UNPUBLISHED = "notifications of asynchronous endpoints are not published"
REFUSALS = 5
"""Tries of what a topic refuses."""
TRIES = 200
"""Of what could not be told for some other reason: with the pauses between them more than half a day."""


class AsyncOutbox:
    """`run` is the one task; `owed` wakes it."""

    def __init__(self, queue: Queue, topics: Topics, clock: Clock, failed: Callable[[Owed], None]) -> None:
        self._queue = queue
        self._topics = topics
        self._clock = clock
        self._failed = failed
        self._wake = asyncio.Event()
        self._telling: dict[str, asyncio.Task[None]] = {}
        """By topic: each has its own turn, so that one which hangs holds up nothing but what is owed to itself."""

    def owed(self) -> None:
        """There is something new."""
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._begin()
                except Exception as error:
                    log.warning("%s: %s", UNPUBLISHED, error, exc_info=not isinstance(error, MooringError))
                try:
                    async with asyncio.timeout(LOOK_S):  # what was postponed is due with time alone
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            telling = list(self._telling.values())
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)

    async def _begin(self) -> None:
        while len(self._telling) < MOST_TOPICS and (found := await self._queue.owed(AT_ONCE, tuple(self._telling))):
            by_topic: dict[str, list[Owed]] = {}
            for each in found:
                by_topic.setdefault(each.notification.topic, []).append(each)
            for topic, owed in by_topic.items():
                self._telling[topic] = asyncio.create_task(self._tell(topic, owed), name=f"telling {topic}")

    async def _tell(self, topic: str, owed: list[Owed]) -> None:
        try:
            outcomes = await asyncio.gather(*(self._is_told(each) for each in owed), return_exceptions=True)
            done = [each.id for each, outcome in zip(owed, outcomes, strict=True) if outcome is True]
            if done:
                await self._queue.told(done)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        except Exception as error:
            log.warning("%s: %s", UNPUBLISHED, error, exc_info=not isinstance(error, MooringError))
            await asyncio.sleep(LOOK_S)
        finally:
            del self._telling[topic]
            self._wake.set()

    async def _is_told(self, owed: Owed) -> bool:
        notification = owed.notification
        try:
            await self._topics.publish(notification.topic, notification.message, f"{owed.job_id}-{owed.id}")
        except MooringError as error:
            await self._not_told(owed, error)
            return False
        return True

    async def _not_told(self, owed: Owed, error: MooringError) -> None:
        tries = owed.attempts + 1
        self._failed(owed)
        if tries >= (REFUSALS if isinstance(error, Refused) else TRIES):
            log.warning("job %s is not told to %a: %s", owed.job_id, owed.notification.topic, error)
            await self._queue.given_up(owed.id, str(error))
        else:
            pause = min(FIRST_PAUSE_S * 2 ** min(owed.attempts, 16), LONGEST_PAUSE_S)
            await self._queue.postponed(owed.id, self._clock.uptime() + pause, str(error))
