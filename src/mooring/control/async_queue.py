"""The queue of asynchronous inference as control holds it: what goes in, what is remembered, what people ask after.

Who does the jobs (`mooring.control.async_work`) joins with `start`, and is told of what arrives.
"""

from __future__ import annotations

from typing import Protocol

from mooring.clock import Clock
from mooring.control.async_history import AsyncHistory
from mooring.control.async_intake import AsyncIntake
from mooring.control.async_invocations import AsyncInvocations
from mooring.control.publishing import RoutePublisher
from mooring.hosting.async_inference import AsyncRoute
from mooring.hosting.routes import Route
from mooring.paths import Paths
from mooring.settings import AsyncSettings
from mooring.store import Store
from mooring.store.queue import Queue


class Work(Protocol):
    """Who does the jobs."""

    def arrived(self, uids: set[str]) -> None:
        """Endpoints that have jobs which may be done now."""
        ...

    async def end_gone(self, route: Route, asynchronous: AsyncRoute) -> None:
        """End what an endpoint has left that is gone."""
        ...


class AsyncQueue:
    """Open with `AsyncQueue.open`, before gateways can connect; `start` once, `close` once."""

    def __init__(
        self, queue: Queue, directory: Paths, store: Store, publisher: RoutePublisher, clock: Clock, history_s: float
    ) -> None:
        self.queue = queue
        self.invocations = AsyncInvocations(queue, store, self._arrived)
        """What people ask after."""
        self._intake = AsyncIntake(directory.async_jobs, queue, publisher, self._arrived)
        self._history = AsyncHistory(queue, store, publisher, clock, history_s)
        self._work: Work | None = None

    @staticmethod
    async def open(
        settings: AsyncSettings, paths: Paths, store: Store, publisher: RoutePublisher, clock: Clock
    ) -> AsyncQueue:
        """Raises `DataDirectoryError`."""
        queue = await Queue.open(paths.queue_db, clock)
        return AsyncQueue(queue, paths, store, publisher, clock, settings.history_s)

    def start(self, work: Work) -> None:
        """Take jobs in for `work`."""
        self._work = work
        self._intake.start()
        self._history.start(work.end_gone)

    async def close(self) -> None:
        """Take none in any more. The queue stays open for whoever works."""
        await self._intake.close()
        await self._history.close()

    def _arrived(self, uids: set[str]) -> None:
        if self._work is not None:
            self._work.arrived(uids)
