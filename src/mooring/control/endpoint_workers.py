"""The workers of all endpoints, a task each; and what an earlier control left running, taken over.

Guarantees: replicas are adopted before any route goes out, so that gateways never lose one that still serves; a worker
that has ended is forgotten, and so is what was kept for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mooring.control.administration import prune_logs
from mooring.control.endpoint_worker import EndpointWorker
from mooring.control.publishing import GatewayLink
from mooring.control.surroundings import Surroundings
from mooring.engines.process import Replica
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, VariantState
from mooring.hosting.serverless import Slots

log = logging.getLogger("mooring.control")

FIRST_PASS_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 30.0


class EndpointWorkers:
    """One for each endpoint that there is; `on_end` is told the uid of one that is no more."""

    def __init__(self, around: Surroundings, on_end: Callable[[str], None]) -> None:
        self._around = around
        self._on_end = on_end
        self.by_uid: dict[str, EndpointWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        around.publisher.heeded["demand"] = self._demanded
        around.publisher.heeded["used"] = self._used

    def wake(self, uid: str) -> None:
        """The wished state of this endpoint changed, or it is a new one."""
        worker = self.by_uid.get(uid)
        if worker is None:
            self._begin(uid)
        else:
            worker.wake()

    def change_of(self, uid: str) -> asyncio.Event:
        """Set at the next change of this endpoint's stored record; set already when nobody works on it."""
        if (worker := self.by_uid.get(uid)) is not None:
            return worker.changed
        nobody = asyncio.Event()
        nobody.set()
        return nobody

    async def wait_ended(self, uid: str) -> None:
        """Return when nobody works on this endpoint any more."""
        if task := self._tasks.get(uid):
            await asyncio.wait({task})

    def written_logs(self) -> dict[str, list[Path]]:
        """The logs that replicas write now, by uid."""
        found = ((uid, worker.fleet.written_logs()) for uid, worker in self.by_uid.items())
        return {uid: logs for uid, logs in found if logs}

    async def adopt(self, records: Sequence[EndpointRecord]) -> None:
        """Take over what runs of these endpoints, end what runs beside, and let each have its first pass."""
        engine = self._around.engine
        by_uid = {record.uid: record for record in records}
        strays = []
        adopted: dict[str, list[Replica]] = {}
        for replica in await asyncio.to_thread(lambda: list(engine.recorded())):
            if _owner(by_uid, replica) is None:
                strays.append(replica)
            else:
                adopted.setdefault(replica.owner["endpoint_uid"], []).append(replica)
        await asyncio.gather(*(engine.stop(replica) for replica in strays))
        await engine.artifacts.keep_only(lambda uid: uid in by_uid)
        await self._around.baselines.keep_only(lambda uid: uid in by_uid)
        await asyncio.to_thread(prune_logs, self._around.paths.logs, set(by_uid))
        for record in records:
            worker = self._begin(record.uid)
            for replica in adopted.get(record.uid, ()):
                worker.fleet.adopt(replica, _variant(record, replica), record.scope.region)
        if records:
            log.info("%d endpoints, %d replicas adopted", len(records), sum(map(len, adopted.values())))
            await self._first_passes([self.by_uid[record.uid] for record in records])

    def wake_all(self) -> None:
        """Have every endpoint looked at."""
        for worker in self.by_uid.values():
            worker.wake()

    async def stop(self) -> None:
        """End the work, and stop every replica."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await asyncio.gather(*(worker.fleet.stop(at_once=True) for worker in self.by_uid.values()))

    def _demanded(self, _: GatewayLink, message: dict[str, Any]) -> None:
        for slots in map(Slots.from_document, message["demand"]):
            if (worker := self.by_uid.get(slots.uid)) is not None:
                worker.demand(slots)

    def _used(self, _: GatewayLink, message: dict[str, Any]) -> None:
        for slots in map(Slots.from_document, message["used"]):
            if (worker := self.by_uid.get(slots.uid)) is not None:
                worker.elasticity.use(slots)

    def _begin(self, uid: str) -> EndpointWorker:
        worker = self.by_uid[uid] = EndpointWorker(uid, self._around)
        task = self._tasks[uid] = asyncio.create_task(worker.run(), name=f"endpoint {uid}")
        task.add_done_callback(lambda done: self._ended(uid, done))
        return worker

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.by_uid.pop(uid, None)
            self._tasks.pop(uid, None)
            self._on_end(uid)

    async def _first_passes(self, workers: list[EndpointWorker]) -> None:
        waits = [asyncio.create_task(worker.looked.wait(), name=f"first look at {worker.uid}") for worker in workers]
        _, late = await asyncio.wait(waits, timeout=FIRST_PASS_TIMEOUT_S)
        for wait in late:
            wait.cancel()


def _owner(records: dict[str, EndpointRecord], replica: Replica) -> EndpointRecord | None:
    """The endpoint that a recorded replica belongs to, unless nothing of that may run."""
    record = records.get(str(replica.owner.get("endpoint_uid")))
    return None if record is None or record.status is EndpointStatus.FAILED else record


def _variant(record: EndpointRecord, replica: Replica) -> VariantState | None:
    """The variant that a replica belongs to; None for one of a generation that is over, which drains and ends."""
    fleets = {record.generation: record.variants}
    for other in (record.rollout, record.remnant):
        if other is not None:
            fleets[other.generation] = other.variants
    variants = fleets.get(int(replica.owner.get("generation", 1)), ())
    return next((each for each in variants if each.name == replica.owner.get("variant")), None)
