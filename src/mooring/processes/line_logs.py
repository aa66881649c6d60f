"""Lines in an endpoint's logs, beside what its replicas print, for which nobody waits.

They gather in memory and are appended in a thread a moment later, without a sync: a disk that is full or slow costs
lines and never a call, and who is killed takes those of the last moment with it. Several processes may append to one
file, whole lines at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from mooring.processes.log_files import append_lines, bound_log

log = logging.getLogger("mooring.processes")

PAUSE_S = 0.1
"""Between two writes."""
MOST_PENDING_BYTES = 4 * 1024 * 1024
"""What may wait for the disk; lines above that are lost."""
LONGEST_TEXT = 4096

Place = TypeVar("Place", bound=Hashable)


def line(at: float, inference_id: str, said: str) -> bytes:
    """One line in AWS's form, whatever the caller and the model put into it."""
    when = datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return f"{when}:[sagemaker logs] [{_plain(inference_id)}] {_plain(said[:LONGEST_TEXT])}\n".encode()


def _plain(said: str) -> str:
    """Without what could end a line or steer a terminal."""
    return said if said.isprintable() else "".join(each if each.isprintable() else " " for each in said)


class LineLogs(Generic[Place]):
    """The logs of one kind. `flush` once before the end."""

    def __init__(self, kind: str, limit_bytes: int, path: Callable[[Place], Path]) -> None:
        """`kind` names them in a warning; `path` may look at the disk, and raise OSError."""
        self._kind = kind
        self._limit_bytes = limit_bytes
        self._path = path
        self._pending: dict[Place, list[bytes]] = {}
        self._pending_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._broken = False

    def add(self, place: Place, line: bytes) -> None:
        """Have a line written soon; called from a loop."""
        if self._pending_bytes + len(line) > MOST_PENDING_BYTES:
            return
        self._pending.setdefault(place, []).append(line)
        self._pending_bytes += len(line)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_soon(), name=f"lines of {self._kind}")

    async def flush(self) -> None:
        """Write what there is, now."""
        writing = self._writing
        if writing is not None:
            await writing
        await self._write()

    async def _write_soon(self) -> None:
        try:
            while self._pending:
                await asyncio.sleep(PAUSE_S)
                await self._write()
        finally:
            self._writing = None

    async def _write(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        if pending:
            await asyncio.to_thread(self._append, pending)

    def _append(self, pending: dict[Place, list[bytes]]) -> None:
        problem = None
        for place, lines in pending.items():
            try:
                path = self._path(place)
                append_lines(path, b"".join(lines))
                bound_log(path, self._limit_bytes)
            except OSError as error:
                problem = error.strerror or repr(error)
        if problem is not None and not self._broken:
            log.warning("lines of %s are lost: %s", self._kind, problem)
        self._broken = problem is not None
