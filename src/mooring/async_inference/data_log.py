"""The `data-log` of an instance: how each job ended that it had, beside what its replica printed, as AWS has it.

Nothing waits for these lines. They gather in memory and are appended in a thread a moment later, without a sync, so
they cost a job next to nothing, and a disk that is full or slow costs lines and never a job. A line is written once the
end of its job is on disk, and once at most: a control that is killed takes those of the last moment with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mooring.engines.logs import DATA_LOG, data_log_of
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Answered, Outcome, OutcomeKind
from mooring.processes.log_files import append_lines, bound_log

log = logging.getLogger("mooring.control")

PAUSE_S = 0.1
"""Between two writes."""
MOST_PENDING_BYTES = 4 * 1024 * 1024
"""What may wait for the disk; lines above that are lost."""
LONGEST_TEXT = 4096
NO_LENGTH = (
    "The response from container primary did not specify the required Content-Length header. Mooring takes it all the"
    " same, SageMaker does not."
)


class Instance(NamedTuple):
    """Which replica had a job."""

    uid: str
    """The endpoint's."""
    variant: str
    """Which has the line where there is no such replica."""
    replica_id: str
    """Empty for a job that no replica had."""


def texts(job: Job, outcome: Outcome, answered: Answered | None, read: int | None, age_s: float) -> Iterator[str]:
    """What there is to say of a job that ended. `read` is the length of its input, where that is known."""
    if answered is not None and answered.unsized:
        yield NO_LENGTH
    if outcome.kind is not OutcomeKind.COMPLETED or answered is None:
        yield outcome.reason or outcome.kind.value
        return
    source = job.input_location or "the body of the call"
    yield (
        f"Completed: read {source if read is None else f'{read} bytes from {source}'}, the model answered"
        f" {answered.status} with {answered.length} bytes in {answered.took_s * 1e3:.0f} ms, wrote {outcome.written};"
        f" {age_s * 1e3:.0f} ms since the call"
    )


def line(at: float, inference_id: str, text: str) -> bytes:
    """One line in AWS's form, whatever the caller and the model put into it."""
    time = datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return f"{time}:[sagemaker logs] [{_plain(inference_id)}] {_plain(text[:LONGEST_TEXT])}\n".encode()


def _plain(text: str) -> str:
    """Without what could end a line or steer a terminal."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


class DataLogs:
    """Of all endpoints. `run` until cancelled, then `flush`."""

    def __init__(self, logs: Path, limit_bytes: int) -> None:
        self._logs = logs
        self._limit_bytes = limit_bytes
        self._pending: dict[Instance, list[bytes]] = {}
        self._pending_bytes = 0
        self._wake = asyncio.Event()
        self._broken = False

    def add(self, instance: Instance, line: bytes) -> None:
        """Have a line written soon."""
        if self._pending_bytes + len(line) <= MOST_PENDING_BYTES:
            self._pending.setdefault(instance, []).append(line)
            self._pending_bytes += len(line)
            self._wake.set()

    async def run(self) -> None:
        """Write what comes, again and again."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(PAUSE_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is."""
        self._wake.clear()
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        if pending:
            await asyncio.to_thread(self._write, pending)

    def _write(self, pending: dict[Instance, list[bytes]]) -> None:
        problem = None
        for instance, lines in pending.items():
            try:
                path = self._path(instance)
                append_lines(path, b"".join(lines))
                bound_log(path, self._limit_bytes)
            except OSError as error:
                problem = error.strerror or repr(error)
        if problem is not None and not self._broken:
            log.warning("lines of data-logs are lost: %s", problem)
        self._broken = problem is not None

    def _path(self, instance: Instance) -> Path:
        """The log beside the replica's own; the variant's where there is none, or none any more."""
        directory = self._logs / instance.uid
        found = next(directory.glob(f"*/{instance.replica_id}.log"), None) if instance.replica_id else None
        return directory / instance.variant / f"{DATA_LOG}.log" if found is None else data_log_of(found)
