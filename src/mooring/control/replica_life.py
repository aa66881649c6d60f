"""One replica from its start to its end, as one task.

States only go forward: STARTING, HEALTHY, LEAVING, GONE. A life never decides how many replicas there should be; it
tells the endpoint's worker of every change, and that decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from mooring.engines.logs import append_note, last_lines
from mooring.engines.pinging import ping
from mooring.engines.preparing import Prepared
from mooring.engines.process import ProcessEngine, Replica
from mooring.errors import ArtifactError, StartFailure
from mooring.hosting.events import EventKind, Note
from mooring.hosting.failures import ping_failure
from mooring.processes.log_files import bound_log
from mooring.processes.pidfd import wait_for_exit
from mooring.settings import ReplicaSettings

log = logging.getLogger("mooring.control")

HEALTHY_MARK = "healthy"
PREPARATION = "preparation"
"""The log of what comes before a replica has one of its own."""
LONGEST_FIRST_PING_S = 30.0
PING_RETRY_S = 0.05
LONGEST_PING_RETRY_S = 1.0
EXIT_WATCH_S = 3600.0
LOG_LOOK_S = 2.0
"""How often a log's size is looked at."""


class Place(NamedTuple):
    """Whose replica one is: a variant of a generation of the endpoint."""

    generation: int
    variant: str


class ReplicaState(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    HEALTHY = "healthy"
    LEAVING = "leaving"
    GONE = "gone"


def new_replica_id() -> str:
    """Like an instance id (`i-` and 17 hex digits); never used twice."""
    return f"i-{secrets.token_hex(9)[:17]}"


class ReplicaLife:
    """The task that owns one replica. `on_change` is called after each change of state."""

    def __init__(
        self,
        engine: ProcessEngine,
        settings: ReplicaSettings,
        *,
        place: Place,
        region: str,
        owner: dict[str, Any],
        log_path: Callable[[str], Path],
        on_change: Callable[[], None],
        note: Note,
        adopted: Replica | None = None,
        slot: int | None = None,
    ) -> None:
        self.id = adopted.id if adopted is not None else new_replica_id()
        self.place = place
        self.variant = place.variant
        self.slot = slot
        """Which of a serverless variant's it fills, until it is gone."""
        self.served = False
        """Whether it was healthy once."""
        self.replica = adopted
        self.state = ReplicaState.STARTING
        self.failure: str | None = None
        """Why it never became healthy, or why it went although nobody asked it to."""
        self.last_lines: list[str] = []
        """What it wrote last, of one that failed."""
        self.hopeless = False
        """Another start would fail in the same way."""
        self._engine = engine
        self._settings = settings
        self._region = region
        self._owner = owner
        self._log_path = log_path
        self._on_change = on_change
        self._note = note
        self._task: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._at_once = asyncio.Event()
        self._idle: Callable[[], Awaitable[object]] | None = None
        if adopted is not None and (adopted.run_dir / HEALTHY_MARK).exists():
            self.state = ReplicaState.HEALTHY
            self.served = True

    def start(self, prepare: Callable[[], asyncio.Task[Prepared]], timeout_s: float) -> None:
        """Begin: unless adopted, await `prepare()`; then `timeout_s` is given to the start and to `/ping`."""
        self._task = asyncio.create_task(self._run(prepare, timeout_s), name=f"replica {self.id}")

    def leave(self, idle: Callable[[], Awaitable[object]] | None) -> None:
        """Stop the replica once `idle()` returns (at once for None). Its routes must be without it by then."""
        if idle is None:
            self._at_once.set()
        if self.state in (ReplicaState.LEAVING, ReplicaState.GONE):
            return
        self._idle = idle
        starting = self.state is ReplicaState.STARTING
        self.state = ReplicaState.LEAVING
        self._leave.set()
        if starting and self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Wait until the replica is gone."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self, prepare: Callable[[], asyncio.Task[Prepared]], timeout_s: float) -> None:
        try:
            await self._live(prepare, timeout_s)
        except StartFailure as error:
            self.failure, self.hopeless = str(error), error.hopeless
        except ArtifactError as error:
            self.failure, self.hopeless = str(error), True
        except asyncio.CancelledError:
            log.debug("replica %s was told to leave while it started", self.id)
        except Exception:
            log.exception("replica %s of %s failed for a reason that is Mooring's own", self.id, self.variant)
            self.failure = "Request to service failed. If failure persists after retry, contact customer support."
        finally:
            await self._end()

    async def _live(self, prepare: Callable[[], asyncio.Task[Prepared]], timeout_s: float) -> None:
        if self.replica is None:
            prepared = await asyncio.shield(prepare())
            self.replica = await self._engine.start(
                self.id, prepared, self._log_path(self.id), self._region, dict(self._owner)
            )
            self._note(EventKind.STEP, f"{self.variant}: replica {self.id} was started and loads the model")
        gone = asyncio.create_task(self._gone(self.replica), name=f"exit of {self.id}")
        bounding = asyncio.create_task(self._bound(self.replica.log), name=f"log of {self.id}")
        try:
            if self.state is ReplicaState.STARTING and not await self._become_healthy(self.replica, gone, timeout_s):
                return
            await self._watch(self.replica, gone)
        finally:
            gone.cancel()
            bounding.cancel()
        if self.state is ReplicaState.LEAVING and self._idle is not None:
            await self._drain(self._idle)

    async def _become_healthy(self, replica: Replica, gone: asyncio.Task[None], timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause = PING_RETRY_S
        while (left := deadline - loop.time()) > 0:
            if await self._pinged(replica, gone, min(left, LONGEST_FIRST_PING_S)):
                await asyncio.to_thread((replica.run_dir / HEALTHY_MARK).touch)
                self.state = ReplicaState.HEALTHY
                self.served = True
                self._note(EventKind.STEP, f"{self.variant}: replica {self.id} answers /ping")
                self._on_change()
                return True
            if gone.done():
                await self._note_ending(replica)
                self.failure = ping_failure(self.variant, str(self.failure))
                return False
            await asyncio.wait({gone}, timeout=min(pause, max(0.0, deadline - loop.time())))
            pause = min(pause * 2, LONGEST_PING_RETRY_S)
        self.failure = ping_failure(self.variant, f"/ping did not answer with 200 within {timeout_s:g} s")
        self.hopeless = True
        return False

    async def _watch(self, replica: Replica, gone: asyncio.Task[None]) -> None:
        """Until it leaves, dies, or fails too many pings."""
        failures = 0
        leave = asyncio.create_task(self._leave.wait(), name=f"leave of {self.id}")
        try:
            while failures < self._settings.ping_failures:
                await asyncio.wait(
                    {gone, leave}, timeout=self._settings.ping_interval_s, return_when=asyncio.FIRST_COMPLETED
                )
                if leave.done():
                    return
                if not gone.done():
                    healthy = await self._pinged(replica, gone, self._settings.ping_timeout_s)
                    failures = 0 if healthy else failures + 1
                if gone.done():
                    await self._note_ending(replica)
                    return
        finally:
            leave.cancel()
        self.failure = f"/ping failed {failures} times in a row"

    async def _drain(self, idle: Callable[[], Awaitable[object]]) -> None:
        """Until the gateways are done with it, or somebody says: at once."""
        waits = {asyncio.ensure_future(idle()), asyncio.ensure_future(self._at_once.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _pinged(self, replica: Replica, gone: asyncio.Task[None], timeout_s: float) -> bool:
        asked = asyncio.create_task(ping(replica.address, timeout_s), name=f"ping of {self.id}")
        try:
            await asyncio.wait({asked, gone}, return_when=asyncio.FIRST_COMPLETED)
            return asked.done() and asked.result()
        finally:
            asked.cancel()

    async def _gone(self, replica: Replica) -> None:
        while not await wait_for_exit(replica.identity, EXIT_WATCH_S):
            pass

    async def _bound(self, path: Path) -> None:
        """Keep the log bounded from the first line on: a model may print for as long as it loads."""
        while True:
            await asyncio.sleep(LOG_LOOK_S)
            with contextlib.suppress(OSError):
                await asyncio.to_thread(bound_log, path, self._settings.log_limit_bytes)

    async def _note_ending(self, replica: Replica) -> None:
        ending = await self._engine.ending(replica)
        self.hopeless = ending.where is not None or (ending.outgrown and self.state is ReplicaState.STARTING)
        self.failure = str(ending)

    async def _end(self) -> None:
        if self.state is not ReplicaState.LEAVING:
            # Out of the routes first: a worker that is told before the process is stopped sends nobody there.
            self.state = ReplicaState.LEAVING
            self._on_change()
        if self.failure is not None:
            await self._tell(self.failure)
        if self.replica is not None:
            await self._engine.stop(self.replica)
        self.state = ReplicaState.GONE
        self._on_change()

    async def _tell(self, failure: str) -> None:
        log.warning("replica %s of variant %s: %s", self.id, self.variant, failure)
        path = self._log_path(PREPARATION)
        if self.replica is not None:
            path = self.replica.log
            self.last_lines = await asyncio.to_thread(last_lines, path)
        await asyncio.to_thread(_add_to_log, path, failure)
        self._note(EventKind.REPLICA, f"{self.variant}: replica {self.id} went: {failure}")


def _add_to_log(path: Path, text: str) -> None:
    """A person who reads the log finds there why the replica went."""
    with contextlib.suppress(OSError):
        append_note(path, text)
