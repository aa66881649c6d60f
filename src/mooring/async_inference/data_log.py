"""The `data-log` of an instance: how each job ended that it had, beside what its replica printed, as AWS has it.

Nothing waits for these lines (`processes.line_logs`). One is written once the end of its job is on disk, and once at
most.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mooring.engines.logs import DATA_LOG, data_log_of
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Answered, Outcome, OutcomeKind
from mooring.processes.line_logs import LineLogs

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


def data_logs(logs: Path, limit_bytes: int) -> LineLogs[Instance]:
    """Of all endpoints."""
    return LineLogs("data-logs", limit_bytes, lambda instance: _path(logs, instance))


def _path(logs: Path, instance: Instance) -> Path:
    """The log beside the replica's own; the variant's where there is none, or none any more."""
    directory = logs / instance.uid
    found = next(directory.glob(f"*/{instance.replica_id}.log"), None) if instance.replica_id else None
    return directory / instance.variant / f"{DATA_LOG}.log" if found is None else data_log_of(found)
