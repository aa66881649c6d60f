"""Calls that outlive the control that made them, and when their jobs may be called again.

A replica goes on with a call whose connection is closed, up to the model's answer, which nobody hears. Until it has
ended the job is not called anywhere else, so that no two models ever work on it. That is so when the replica's process
is gone, or when it says itself that it has no such call; where it cannot say (a server of somebody else's), when the
job's InvocationTimeoutSeconds are over.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mooring.errors import Unavailable
from mooring.hosting.async_jobs import QueuedJob
from mooring.http1.client import fetch
from mooring.processes.identity import ProcessIdentity

CALLS = "/mooring/calls"
FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 2.0
DEATH_LOOKS = 20
ANSWER_S = 5.0
ANSWER_BYTES = 4 * 1024 * 1024


def identity_of(document: Mapping[str, Any] | None) -> ProcessIdentity | None:
    """The process that had a call, as its claim tells it."""
    if document is None:
        return None
    try:
        return ProcessIdentity.from_document(document)
    except ValueError:
        return None


async def is_gone(document: Mapping[str, Any] | None) -> bool:
    """Whether the process that broke a connection off is dead. One that has just died may take a moment to be so."""
    process = identity_of(document)
    if process is None:
        return False
    for _ in range(DEATH_LOOKS):
        if not process.alive():
            return True
        await asyncio.sleep(FIRST_LOOK_S)
    return False


def may_repeat(
    *, alive: bool, calls: frozenset[str] | None, inference_id: str, waited_s: float, timeout_s: float
) -> bool:
    """Whether a job may be called again. `calls` are the inference ids that its replica works on; None if not known."""
    if not alive:
        return True
    if calls is not None:
        return inference_id not in calls
    return waited_s >= timeout_s


async def calls_of(socket: Path) -> frozenset[str] | None:
    """The inference ids that a replica works on, as it says itself; None when it does not."""
    try:
        answer = await fetch(str(socket), "GET", CALLS, timeout=ANSWER_S, body_limit=ANSWER_BYTES)
        if answer.status != 200:
            return None
        told = json.loads(answer.body)["calls"]
        return frozenset(str(each) for each in told) if isinstance(told, list) else None
    except (Unavailable, ValueError, KeyError, TypeError):
        return None


async def wait_for_end(queued: QueuedJob, socket: Path) -> None:
    """Until a job that a former control had called may be called again."""
    loop = asyncio.get_running_loop()
    began, pause = loop.time(), FIRST_LOOK_S
    identity = None if queued.claim is None else identity_of(queued.claim.replica_identity)
    if identity is None:
        return  # without an identity the replica had not even been recorded
    while True:
        alive = identity.alive()
        calls = await calls_of(socket) if alive else None
        waited_s, job = loop.time() - began, queued.job
        if may_repeat(
            alive=alive, calls=calls, inference_id=job.inference_id, waited_s=waited_s, timeout_s=job.timeout_s
        ):
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_LOOK_S)
