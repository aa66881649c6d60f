"""Asynchronous invocations as people ask after them: which there are, what became of one, once more, not at all.

One is named by its id, or by its InferenceId, which is the same unless its caller gave one; callers may give one to
many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mooring.errors import NotFound, Refused
from mooring.hosting.async_jobs import QueuedJob
from mooring.hosting.naming import Scope
from mooring.store import Store, endpoints
from mooring.store.queue import Queue

MOST_LISTED = 1000
MOST_NAMED = 5


class AsyncInvocations:
    """Of all endpoints."""

    def __init__(self, queue: Queue, store: Store, arrived: Callable[[set[str]], None]) -> None:
        self._queue = queue
        self._store = store
        self._arrived = arrived

    async def listed(self, scope: Scope, name: str, status: str | None, after: int, limit: int) -> dict[str, Any]:
        """A page of an endpoint's invocations, the oldest first, and the place of its last when more follow.

        Raises `NotFound` or `Refused`.
        """
        uid = await self._uid(scope, name)
        wanted = min(limit, MOST_LISTED)
        found = await self._queue.page(uid, status, after, wanted + 1)
        backlog = (await self._queue.backlog()).get(uid)
        return {
            "endpoint": name,
            "region": scope.region,
            "waiting": 0 if backlog is None else backlog.waiting,
            "in_process": 0 if backlog is None else backlog.in_process,
            "invocations": [_shown(each) for each in found[:wanted]],
            "next": found[wanted - 1].position if len(found) > wanted else None,
        }

    async def shown(self, scope: Scope, name: str, wanted: str) -> dict[str, Any]:
        """Everything under an id, the newest first. Raises `NotFound`."""
        found = await self._found(scope, name, wanted)
        return {"endpoint": name, "region": scope.region, "invocations": [_shown(each) for each in found]}

    async def retry(self, scope: Scope, name: str, wanted: str) -> dict[str, Any]:
        """Have one that failed or expired wait again. Raises `NotFound` or `Refused`."""
        again = await self._queue.retry(await self._one(scope, name, wanted))
        self._arrived({again.job.uid})
        return _shown(again)

    async def cancel(self, scope: Scope, name: str, wanted: str) -> dict[str, Any]:
        """End one that waits. Raises `NotFound` or `Refused`."""
        return _shown(await self._queue.cancel(await self._one(scope, name, wanted)))

    async def _uid(self, scope: Scope, name: str) -> str:
        """The endpoint's that is there; or of the last one of that name, as long as its invocations are known."""
        record = await self._store.read(lambda connection: endpoints.get(connection, scope, name))
        if record is not None:
            if "AsyncInferenceConfig" not in record.config:
                raise Refused(f"Endpoint {name} has no AsyncInferenceConfig, so nothing waits for it.")
            return record.uid
        facts = {"account": scope.account, "region": scope.region, "endpoint": name}
        known = (await self._queue.known()).values()
        gone = [each.uid for each in known if facts.items() <= each.facts.items()]
        if not gone:
            raise NotFound(f"There is no endpoint {name} in {scope.region}.")
        return gone[-1]

    async def _found(self, scope: Scope, name: str, wanted: str) -> list[QueuedJob]:
        found = await self._queue.find(await self._uid(scope, name), wanted)
        if not found:
            raise NotFound(f"Endpoint {name} has no invocation {wanted}, or has forgotten it.")
        return found

    async def _one(self, scope: Scope, name: str, wanted: str) -> str:
        found = await self._found(scope, name, wanted)
        if len(found) > 1:
            ids = ", ".join(each.job.id for each in found[:MOST_NAMED])
            raise Refused(f"Several invocations have the InferenceId {wanted}. Name one by its id: {ids}")
        return found[0].job.id


def _shown(queued: QueuedJob) -> dict[str, Any]:
    job, outcome = queued.job, queued.outcome
    return {
        "id": job.id,
        "inference_id": job.inference_id,
        "position": queued.position,
        "status": queued.status,
        "reason": None if outcome is None else outcome.reason,
        "input_location": job.input_location,
        "output_location": job.output_location,
        "failure_location": job.failure_location,
        "written": None if outcome is None else outcome.written,
        "content_type": job.content_type,
        "ttl_s": job.ttl_s,
        "timeout_s": job.timeout_s,
        "accepted_at": job.accepted_at,
        "finished_at": queued.finished_at,
        "attempts": queued.attempts,
        "replica": None if queued.claim is None else queued.claim.replica_id,
    }
