"""Trying out the topics of an asynchronous endpoint before a change of it takes effect, as AWS does.

Each topic gets a test notification at CreateEndpoint, UpdateEndpoint and UpdateEndpointWeightsAndCapacities. One that
cannot be told fails the change. A control that starts in the middle of a change tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mooring.async_inference.notifying import TEST_MESSAGE
from mooring.clock import Clock
from mooring.control.topics import Topics
from mooring.errors import MooringError, Refused
from mooring.hosting.async_inference import topics_of
from mooring.hosting.endpoints import VariantState
from mooring.hosting.failures import topic_refused
from mooring.hosting.rules import Members

PATIENCE_S = 60.0
"""How long a change waits for an SNS that does not answer."""
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """How far it is."""

    over: bool = True
    failure: str | None = None


NOTHING_TO_TRY = Trial()
UNDER_WAY = Trial(over=False)


class TopicTrials:
    """Of one endpoint."""

    def __init__(self, topics: Topics, clock: Clock, wake: Callable[[], None]) -> None:
        self._topics = topics
        self._clock = clock
        self._wake = wake
        self._change: Any = None
        self._task: asyncio.Task[str | None] | None = None

    def of(self, change: Any, config: Members, variants: Sequence[VariantState]) -> Trial:
        """The trial for a change, which is told apart from others by `change`; begun when it is asked for first."""
        wanted = topics_of(config)
        if not wanted:
            return NOTHING_TO_TRY
        if self._task is None or self._change != change:
            self.forget()
            self._change = change
            self._task = asyncio.create_task(self._failure(wanted, _role(config, variants)), name="topics")
            self._task.add_done_callback(lambda _: self._wake())
        return Trial(failure=self._task.result()) if self._task.done() else UNDER_WAY

    def forget(self) -> None:
        """The change is over."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._task = None

    async def _failure(self, topics: list[str], role: str) -> str | None:
        until = self._clock.monotonic() + PATIENCE_S
        for topic in topics:
            while problem := await self._problem(topic):
                if isinstance(problem, Refused) or self._clock.monotonic() > until:
                    return topic_refused(role, topic, str(problem))
                await asyncio.sleep(PAUSE_S)
        return None

    async def _problem(self, topic: str) -> MooringError | None:
        try:
            await self._topics.publish(topic, TEST_MESSAGE, f"{id(self)}-{self._clock.wall()}")
        except MooringError as error:
            return error
        return None


def _role(config: Members, variants: Sequence[VariantState]) -> str:
    role = config.get("ExecutionRoleArn")
    found = next((each.model["ExecutionRoleArn"] for each in variants if "ExecutionRoleArn" in each.model), "")
    return str(role or found)
