"""What must go well before a change of an endpoint takes effect, apart from its replicas.

Each attempt looks after one thing that may be wrong with a change: topics that cannot be told, an explainer that cannot
explain. It is made once for a change, while the replicas start. A control that starts in the middle of a change tries
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from mooring.hosting.endpoints import EndpointRecord, Rollout, VariantState
from mooring.hosting.rules import Members


class ChangeKind(StrEnum):
    """What happens to an endpoint."""

    CREATE = "create"
    UPDATE = "update"
    SCALE = "scale"


class Change(NamedTuple):
    """What is to take effect."""

    kind: ChangeKind
    number: float
    """Tells it apart from others of its kind."""
    generation: int
    """Of the fleet that it is about."""
    config: Members
    variants: Sequence[VariantState]


def creation(record: EndpointRecord) -> Change:
    """The endpoint is new."""
    return Change(ChangeKind.CREATE, record.generation, record.generation, record.config, record.variants)


def update(rollout: Rollout) -> Change:
    """The endpoint gets another config."""
    return Change(ChangeKind.UPDATE, rollout.generation, rollout.generation, rollout.config, rollout.variants)


def scaling(record: EndpointRecord) -> Change:
    """Weights and numbers change, or the endpoint starts again."""
    return Change(ChangeKind.SCALE, record.modified_at, record.generation, record.config, record.variants)


@dataclass(frozen=True, slots=True)
class Trial:
    """How far it is."""

    over: bool = True
    failure: str | None = None


NOTHING_TO_TRY = Trial()
UNDER_WAY = Trial(over=False)

Outcome = Coroutine[Any, Any, str | None]
"""Why the change fails, if it does."""
Attempt = Callable[[Change], Outcome | None]
"""None where a change gives nothing to try."""


class Trials:
    """Of one endpoint."""

    def __init__(self, attempts: Sequence[Attempt], wake: Callable[[], None]) -> None:
        self._attempts = attempts
        self._wake = wake
        self._change: tuple[ChangeKind, float] | None = None
        self._task: asyncio.Task[str | None] | None = None

    def of(self, change: Change) -> Trial:
        """The trial of a change, begun when it is asked for first."""
        if self._task is None or self._change != (change.kind, change.number):
            self.forget()
            outcomes = [outcome for attempt in self._attempts if (outcome := attempt(change)) is not None]
            if not outcomes:
                return NOTHING_TO_TRY
            self._change = (change.kind, change.number)
            self._task = asyncio.create_task(_failure(outcomes), name=f"trial of {change.kind} {change.number:g}")
            self._task.add_done_callback(lambda _: self._wake())
        if not self._task.done():
            return UNDER_WAY
        done = self._task
        if done.exception() is not None:
            self._task = None  # the next pass tries again
        return Trial(failure=done.result())

    def forget(self) -> None:
        """The change is over."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._task = None


async def _failure(outcomes: Sequence[Outcome]) -> str | None:
    """Of all attempts together, none of which goes on when one breaks."""
    attempts = [asyncio.ensure_future(each) for each in outcomes]
    try:
        found = await asyncio.gather(*attempts)
    finally:
        for each in attempts:
            each.cancel()
    return next((each for each in found if each is not None), None)
