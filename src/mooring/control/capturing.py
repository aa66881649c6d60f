"""Data capture as control sees it: ship what gateways wrote, and tell of what they could not.

Gateways report what they took and what not; the numbers are of the gateways that this control has heard of. Whether an
endpoint's capture works is kept in its record, for DescribeEndpoint, and every change of that is an event of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mooring.clock import Clock
from mooring.control.capture_keys import CaptureKeys
from mooring.control.publishing import GatewayLink, RoutePublisher
from mooring.data_capture.shipping import Shipper, Waiting
from mooring.errors import Unavailable
from mooring.hosting.capturing import capture_of
from mooring.hosting.events import EventKind, event
from mooring.hosting.naming import Scope
from mooring.hosting.routes import route_key
from mooring.metrics.registry import Labels, Registry
from mooring.objects.client import open_source
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.store import Connection, Store, endpoints, events

log = logging.getLogger("mooring.control")

LOOK_S = 1.0
TOLD_AFTER_S = 10.0
"""How long S3 may refuse or be away before the endpoint's history tells of it."""
PUT_TIMEOUT_S = 15.0
OWN = "control"
"""Among the incarnations of gateways, which are UUIDs."""


@dataclass(slots=True)
class CaptureState:
    """Of one endpoint."""

    taken: int = 0
    not_taken: int = 0
    stopped: str | None = None
    """Why nothing is taken, at one of the gateways at least."""
    waiting_segments: int = 0
    waiting_bytes: int = 0
    undelivered: str | None = None
    """Why what was taken is not in S3."""

    def to_document(self) -> dict[str, Any]:
        """For `mooring status`."""
        return {
            "taken": self.taken,
            "not_taken": self.not_taken,
            "stopped": self.stopped,
            "waiting_segments": self.waiting_segments,
            "waiting_bytes": self.waiting_bytes,
            "undelivered": self.undelivered,
        }


@dataclass(slots=True)
class _Told:
    """What an endpoint's history says already."""

    stopped: str | None = None
    undelivered: str | None = None
    known: bool = False
    """Whether the record was looked at by this control."""


class Capturing:
    """Of all endpoints. `start` begins its tasks."""

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        store: Store,
        clock: Clock,
        publisher: RoutePublisher,
        keys: CaptureKeys,
    ) -> None:
        self._store = store
        self._clock = clock
        self._publisher = publisher
        s3 = open_source(settings, paths, PUT_TIMEOUT_S)
        self._shipper = Shipper(paths.capture, s3, settings.capture, keys.opened)
        self._told: dict[str, _Told] = {}
        self._reports: dict[str, dict[str, Any]] = {}  # by the incarnation of a gateway, by the route's key
        publisher.heeded["capture"] = self._heed
        publisher.withdrawn.append(self._forget)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Ship, and tell, until `close`."""
        self._tasks = [
            asyncio.create_task(self._shipper.run(), name="shipping of captured records"),
            asyncio.create_task(self._keep_told(), name="state of capture"),
        ]

    async def close(self) -> None:
        """What is left is shipped by the next control."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _heed(self, link: GatewayLink, message: dict[str, Any]) -> None:
        self._reports.setdefault(link.incarnation, {}).update(message["capture"])

    def heed_own(self, message: dict[str, Any]) -> None:
        """What control itself has captured, of the calls that it makes."""
        self._reports.setdefault(OWN, {}).update(message["capture"])

    def _forget(self, route_key: str) -> None:
        """The endpoint is gone; one of its name begins anew."""
        self._told.pop(route_key, None)
        for report in self._reports.values():
            report.pop(route_key, None)

    def states(self) -> dict[str, CaptureState]:
        """By the key of the endpoint's route, of every endpoint that captures or has captured."""
        found: dict[str, CaptureState] = {}
        for incarnation, report in self._reports.items():
            here = incarnation == OWN or self._publisher.is_connected(incarnation)
            for key, variants in report.items():
                state = found.setdefault(key, CaptureState())
                for numbers in variants.values():
                    state.taken += int(numbers["taken"])
                    state.not_taken += int(numbers["not_taken"])
                    if here and numbers["problem"]:
                        state.stopped = str(numbers["problem"])
        for waiting in self._shipper.waiting():
            state = found.setdefault(waiting.stream.route_key, CaptureState())
            state.waiting_segments += waiting.segments
            state.waiting_bytes += waiting.bytes
            state.undelivered = _undelivered(waiting) or state.undelivered
        return found

    def tell(self, registry: Registry) -> None:
        """Have `/metrics` say what is captured, and what is not."""
        of = self._by_endpoint
        registry.add("captured_records_total", "counter", "Invocations that were captured.", lambda: of("taken"))
        registry.add("missed_records_total", "counter", "Invocations that were not captured.", lambda: of("not_taken"))
        registry.add("waiting_records_bytes", "gauge", "Captured and not in S3 yet.", lambda: of("waiting_bytes"))

    def _by_endpoint(self, member: str) -> dict[Labels, float]:
        found: dict[Labels, float] = {}
        for key, state in self.states().items():
            _, region, endpoint = key.split("/", 2)
            found[("region", region), ("endpoint", endpoint)] = float(getattr(state, member))
        return found

    async def _keep_told(self) -> None:
        remembered = False
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if not remembered:
                    await self._remember()
                    remembered = True
                await self._tell()
            except Unavailable as error:
                log.warning("what is to be told of data capture waits: %s", error)
            except Exception:
                log.exception("data capture could not be looked at; trying again")

    async def _remember(self) -> None:
        """What the last control wrote holds until gateways are heard."""
        for record in await self._store.read(endpoints.all):
            if record.capture_problem is not None:
                self._told[route_key(record.scope, record.name)] = _Told()

    async def _tell(self) -> None:
        if not self._publisher.gateways:
            return
        states = self.states()
        for key in self._told.keys() - states.keys():
            states[key] = CaptureState()
        for key, state in states.items():
            told = self._told.setdefault(key, _Told())
            if told.known and (told.stopped, told.undelivered) == (state.stopped, state.undelivered):
                continue
            if await self._store.write(partial(self._write, key=key, state=state, told=told)):
                self._told[key] = _Told(state.stopped, state.undelivered, known=True)
            else:
                self._forget(key)

    def _write(self, conn: Connection, *, key: str, state: CaptureState, told: _Told) -> bool:
        """Whether there is such an endpoint."""
        account, region, name = key.split("/")
        record = endpoints.get(conn, Scope(account, region), name)
        if record is None:
            return False
        now = round(self._clock.wall(), 3)
        stopped = state.stopped if capture_of(record.config) is not None else None
        texts = _changes(record.capture_problem, stopped, told.undelivered, state.undelivered)
        events.add(conn, record.uid, [event(now, EventKind.CAPTURE, text) for text in texts])
        if record.capture_problem != stopped:
            endpoints.save(conn, replace(record, capture_problem=stopped))
        return True


def _changes(
    stopped: str | None, stops: str | None, undelivered: str | None, undeliverable: str | None
) -> Iterator[str]:
    """The lines of the endpoint's history between two states."""
    if (stopped is None) != (stops is None):
        yield "records are taken again" if stops is None else f"no records are taken: {stops}"
    if (undelivered is None) != (undeliverable is None):
        yield "what was captured is in S3" if undeliverable is None else f"records wait: {undeliverable}"


def _undelivered(waiting: Waiting) -> str | None:
    """Why a stream's records are not in S3; a process that is being restarted is not worth a word."""
    if waiting.problem is None or time.monotonic() - waiting.since < TOLD_AFTER_S:
        return None
    return f"{waiting.problem.rstrip('.')}; it is tried again"
