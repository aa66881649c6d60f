"""Trying out the topics of an asynchronous endpoint before a change of it takes effect, as AWS does.

Each topic gets a test notification at CreateEndpoint, UpdateEndpoint and UpdateEndpointWeightsAndCapacities. One that
cannot be told fails the change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mooring.async_inference.notifying import TEST_MESSAGE
from mooring.clock import Clock
from mooring.control.topics import Topics
from mooring.control.trials import Change, Outcome
from mooring.errors import MooringError, Refused
from mooring.hosting.async_inference import topics_of
from mooring.hosting.endpoints import VariantState
from mooring.hosting.failures import topic_refused
from mooring.hosting.rules import Members

PATIENCE_S = 60.0
"""How long a change waits for an SNS that does not answer."""
PAUSE_S = 1.0


class TopicTrials:
    """Of one endpoint."""

    def __init__(self, topics: Topics, clock: Clock) -> None:
        self._topics = topics
        self._clock = clock

    def attempt(self, change: Change) -> Outcome | None:
        """Tell every topic of the change's config."""
        wanted = topics_of(change.config)
        return self._failure(wanted, _role(change.config, change.variants)) if wanted else None

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
