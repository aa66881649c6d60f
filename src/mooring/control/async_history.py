"""What the queue remembers of endpoints, and for how long it remembers jobs.

An endpoint's route is written down while it is there, so that its jobs can be ended as it wanted when it is gone. That
an endpoint is gone shows by its uid, which no later endpoint has; so jobs that come late, from a gateway that was
killed, end too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from mooring.clock import Clock
from mooring.control.publishing import RoutePublisher
from mooring.errors import MooringError
from mooring.hosting.async_inference import AsyncRoute
from mooring.hosting.async_jobs import KnownEndpoint
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, Version
from mooring.store import Connection, Store, endpoints
from mooring.store.queue import Queue

log = logging.getLogger("mooring.control")

LOOK_S = 2.0
FORGET_EVERY = 30
"""Looks, which come sooner when an endpoint changes."""
GONE = "The endpoint was deleted."

EndGone = Callable[[Route, AsyncRoute], Awaitable[None]]
"""Ends every job that an endpoint has left; the route has no variants."""


class AsyncHistory:
    """Follows routes from `start` on."""

    def __init__(self, queue: Queue, store: Store, publisher: RoutePublisher, clock: Clock, history_s: float) -> None:
        self._queue = queue
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._history_s = history_s
        self._unwritten: dict[str, dict[str, Any]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, end_gone: EndGone) -> None:
        """Remember, end and forget until `close`."""
        self._publisher.follow(self)
        self._task = asyncio.create_task(self._keep(end_gone), name="history of jobs")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    # The publisher's follower.

    def routed(self, route: Route) -> None:
        """Remember it, and at once: it may be gone in a moment."""
        if route.async_inference is not None:
            self._unwritten[route.async_inference.uid] = facts_of(route, route.async_inference)
            self._wake.set()

    def dropped(self, key: str) -> None:
        """Its uid says so too."""

    def uses(self, replica_id: str) -> bool:
        """It calls nobody."""
        return False

    async def _keep(self, end_gone: EndGone) -> None:
        looks = 0
        while True:
            try:
                await self.look(end_gone)
                if not looks % FORGET_EVERY:
                    await self._queue.forget(self._clock.wall() - self._history_s)
            except MooringError as error:
                log.warning("the history of asynchronous invocations waits: %s", error)
            except Exception:
                log.exception("the history of asynchronous invocations waits")
            looks += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def look(self, end_gone: EndGone) -> None:
        """Write down what routes said, and end the jobs of endpoints that are gone."""
        known = await self._queue.known()
        for uid, facts in list(self._unwritten.items()):
            if uid not in known or known[uid].facts != facts:
                await self._queue.know(uid, facts)
            if self._unwritten.get(uid) is facts:
                del self._unwritten[uid]
        if not known:
            return
        backlog = await self._queue.backlog()
        wanted = [each for each in known.values() if each.ended is None or each.uid in backlog]
        gone = await self._store.read(lambda connection: _gone(connection, wanted))
        for each in gone:
            await self._queue.end_endpoint(each.uid, GONE, 1)
        for each in wanted:  # one that an update made answer at once is there, and its queue has ended
            if each.uid in backlog and (each in gone or each.ended is not None):
                route = route_of(each)
                assert route.async_inference is not None
                await end_gone(route, route.async_inference)


def facts_of(route: Route, asynchronous: AsyncRoute) -> dict[str, Any]:
    """What is remembered of an endpoint."""
    return {**asdict(route.scope), "endpoint": route.endpoint, "asynchronous": asdict(asynchronous)}


def route_of(known: KnownEndpoint) -> Route:
    """The route of an endpoint that is remembered, without variants; of one of which nothing is, under its uid."""
    facts = known.facts
    asynchronous = facts.get("asynchronous") or {"uid": known.uid, "output_path": "", "failure_path": None}
    return Route(
        scope=Scope(facts.get("account", ""), facts.get("region", "")),
        endpoint=facts.get("endpoint", known.uid),
        version=Version(0, 0),
        variants=(),
        status="Deleting",
        body_limit_bytes=0,
        invocation_timeout_s=0.0,
        async_inference=AsyncRoute(**asynchronous),
    )


def _gone(connection: Connection, wanted: list[KnownEndpoint]) -> list[KnownEndpoint]:
    return [each for each in wanted if endpoints.by_uid(connection, each.uid) is None]
