"""What becomes of a job of an asynchronous endpoint, from the queue to its end.

A job waits, is called, is answered, is done. Each step is on disk before the next begins, so whoever comes after a
crash knows how far it got: one that was being called may be called again, one that was answered never is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mooring.hosting.async_inference import Job


class JobState(StrEnum):
    """How far a job is."""

    WAITING = "Waiting"
    CALLING = "Calling"
    """A replica has it, or had it when control died."""
    ANSWERED = "Answered"
    """The model's answer is on disk, and is to be written and told."""
    DONE = "Done"


class OutcomeKind(StrEnum):
    """How a job ended, in the words of the notifications (AWS has none for what was cancelled)."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job."""

    kind: OutcomeKind
    reason: str | None = None
    """Why it is not Completed."""
    written: str | None = None
    """The location of the object that was written: the output, or the failure."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a replica gets."""

    job_id: str
    replica_id: str
    replica_identity: Mapping[str, Any] | None = None
    """Of its process, so that a later control can tell whether it still runs."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model answered, and where that lies until it is written."""

    status: int
    content_type: str | None
    custom_attributes: str | None
    spool: str
    """The name of the file with the body; empty where the queue keeps it."""
    length: int
    took_s: float = 0.0
    """The model's time."""
    unsized: bool = False
    """It came without a Content-Length, which SageMaker asks for."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job as the queue has it, without the body of an inline input (`Queue.body`)."""

    position: int
    """Grows in the order in which jobs were taken in, and is given once."""
    job: Job
    state: JobState
    attempts: int
    """Claims so far."""
    claim: Claim | None = None
    """The last one."""
    answered: Answered | None = None
    outcome: Outcome | None = None
    finished_at: float | None = None
    """Wall clock."""

    @property
    def is_inline(self) -> bool:
        """Whether its input came with the call."""
        return self.job.input_location is None

    @property
    def status(self) -> str:
        """In one word: its state, or how it ended."""
        return self.state.value if self.outcome is None else self.outcome.kind.value


@dataclass(frozen=True, slots=True)
class Notification:
    """A message for a topic."""

    topic: str
    message: str


@dataclass(frozen=True, slots=True)
class Owed:
    """A notification that has not been published yet."""

    id: int
    job_id: str
    uid: str
    notification: Notification
    attempts: int
    """Tries that failed so far."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What an endpoint's queue holds."""

    waiting: int
    in_process: int
    """Being called, or answered and not done."""
    oldest: Job | None
    """Of those that wait, the first that was taken in."""


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """What the queue remembers of an endpoint that has, or had, jobs: it outlives the endpoint."""

    uid: str
    facts: Mapping[str, Any]
    """Account, region, name and what ends its jobs when it is gone; plain JSON."""
    ended: str | None
    """Why its waiting jobs are to end; None for an endpoint that serves."""
