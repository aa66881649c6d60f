"""What the work on all endpoints shares, and one job that is in hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mooring.async_inference.capturing import CapturedCall, Shelf
from mooring.async_inference.counting import Counters
from mooring.async_inference.data_log import Instance
from mooring.async_inference.delivering import Delivering
from mooring.async_inference.dispatching import Lane, Seat
from mooring.async_inference.fetching import Fetching
from mooring.async_inference.room import Room
from mooring.async_inference.spooling import Spool
from mooring.clock import Clock
from mooring.errors import Unavailable
from mooring.hosting.async_inference import AsyncRoute, Job
from mooring.hosting.async_jobs import QueuedJob
from mooring.hosting.routes import Route
from mooring.processes import identity
from mooring.processes.line_logs import LineLogs
from mooring.store.queue import Queue

log = logging.getLogger("mooring.control")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Tools:
    """One for all endpoints."""

    queue: Queue
    fetching: Fetching
    delivering: Delivering
    spool: Spool
    room: Room
    counters: Counters
    data_logs: LineLogs[Instance]
    clock: Clock
    limit: int
    """Of a payload, in bytes."""
    identify: Callable[[str], Mapping[str, Any] | None]
    """The process of a replica, by the replica's id; None where it has none."""
    owed: Callable[[], None]
    """Called when something is owed to a topic."""
    note: Callable[[str, str], None]
    """Has the history of an endpoint, by its uid, say something."""
    shelf: Shelf
    """For captured calls."""
    idle: Callable[[], None]
    """Called when a replica that has left its route has no call any more."""


@dataclass(slots=True, eq=False)
class InHand:
    """A job, and how far it is."""

    queued: QueuedJob
    variant: str
    lane: Lane | None = None
    seat: Seat | None = None
    replica_id: str = ""
    """Of the last call."""
    read: int | None = None
    """How long the input was that it was called with."""
    claimed: bool = False
    answered: bool = False
    ending: bool = False
    """Somebody else ends it: it is not claimed any more."""
    calling: bool = False
    waiting: asyncio.Future[Seat] | None = None
    captured: CapturedCall | None = None
    """Set while it is called, or answered, and that is captured."""
    task: asyncio.Task[None] | None = None


class Endpoint:
    """What an asynchronous endpoint promises now, and what is counted of it."""

    def __init__(self, route: Route, asynchronous: AsyncRoute, tools: Tools) -> None:
        self.route = route
        self.asynchronous = asynchronous
        self._tools = tools

    def count(self, held: InHand, name: str, unit: str, value: float) -> None:
        """See a value of a metric."""
        scope, endpoint = self.route.scope, self.route.endpoint
        self._tools.counters.add(scope, endpoint, held.variant, name, unit, value)

    def age_s(self, job: Job) -> float:
        """How long ago a job was accepted."""
        clock = self._tools.clock
        if job.boot_id == identity.boot_id():
            return max(0.0, clock.uptime() - job.accepted_uptime)
        return max(0.0, clock.wall() - job.accepted_at)

    async def persisted(self, change: Callable[[], Awaitable[bool]]) -> bool:
        """Change the queue, however long its disk is full."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await change()
            except Unavailable as error:
                log.warning("the queue of %s is not written: %s", self.route.endpoint, error)
                self._tools.room.missing(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
