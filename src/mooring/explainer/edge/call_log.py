"""What became of explained calls, a line for each in a log beside those of their variant's replicas.

Nobody waits for these lines. They gather in memory and are appended in a thread a moment later, without a sync; a disk
that is full or slow costs lines and never a call. All gateways append to one file, whole lines at a time.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import NamedTuple

from mooring.explainer.faults import counted
from mooring.explainer.frames import Explained, Unexplained
from mooring.hosting.explaining import LOG
from mooring.processes.log_files import append_lines, bound_log

log = logging.getLogger("mooring.explainer")

PAUSE_S = 0.1
"""Between two writes."""
MOST_PENDING_BYTES = 1024 * 1024
"""What may wait for the disk; lines above that are lost."""
LONGEST_TEXT = 2048


class Place(NamedTuple):
    """Whose log it is."""

    uid: str
    """The endpoint's."""
    variant: str


def text(frame: Explained | Unexplained, seconds: float) -> str:
    """What there is to say of a call that ended, `seconds` after its model had answered."""
    if isinstance(frame, Unexplained):
        return f"Not explained after {seconds:.3f} s: {frame.message}"
    asked = counted(frame.predicted, "synthetic record")
    said = f"Explained {counted(frame.records, 'record')} with {asked} in {seconds:.3f} s"
    if frame.loading_s:
        said += f", of which {frame.loading_s:.3f} s to load the language of its texts"
    if not frame.errors:
        return said
    if not any(frame.errors):
        return f"{said}, exactly"
    errors = sorted(frame.errors)
    return f"{said}; relative error about {errors[len(errors) // 2]:.1e}, at most {errors[-1]:.1e}"


def line(at: float, inference_id: str, said: str) -> bytes:
    """One line, whatever the caller and the model put into it."""
    when = datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return f"{when}:[sagemaker logs] [{_plain(inference_id)}] {_plain(said[:LONGEST_TEXT])}\n".encode()


def _plain(said: str) -> str:
    """Without what could end a line or steer a terminal."""
    return said if said.isprintable() else "".join(each if each.isprintable() else " " for each in said)


class CallLog:
    """Of all variants that one gateway explains."""

    def __init__(self, logs: Path, limit_bytes: int) -> None:
        self._logs = logs
        self._limit_bytes = limit_bytes
        self._pending: dict[Place, list[bytes]] = {}
        self._pending_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._broken = False

    def add(self, place: Place, inference_id: str, frame: Explained | Unexplained, seconds: float) -> None:
        """Have a line written soon."""
        said = line(time(), inference_id, text(frame, seconds))
        if self._pending_bytes + len(said) > MOST_PENDING_BYTES:
            return
        self._pending.setdefault(place, []).append(said)
        self._pending_bytes += len(said)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_soon(), name="log of explained calls")

    async def flush(self) -> None:
        """Write what there is."""
        if self._writing is not None:
            await self._writing
        await self._write()

    async def _write_soon(self) -> None:
        await asyncio.sleep(PAUSE_S)
        try:
            await self._write()
        finally:
            self._writing = None
        if self._pending:
            self._writing = asyncio.create_task(self._write_soon(), name="log of explained calls")

    async def _write(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        if pending:
            await asyncio.to_thread(self._append, pending)

    def _append(self, pending: dict[Place, list[bytes]]) -> None:
        problem = None
        for place, lines in pending.items():
            path = self._logs / place.uid / place.variant / f"{LOG}.log"
            try:
                append_lines(path, b"".join(lines))
                bound_log(path, self._limit_bytes)
            except OSError as error:
                problem = error.strerror or repr(error)
        if problem is not None and not self._broken:
            log.warning("lines of explained calls are lost: %s", problem)
        self._broken = problem is not None
