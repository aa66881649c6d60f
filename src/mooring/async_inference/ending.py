"""The ends of jobs: the answer in S3, the row done, and what is owed to topics, in this order.

What has been answered is written however long S3 is away, and the queue however long its disk is full. What S3 refuses
(no such bucket, no right to write) is a failure of the job, told as such.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from pathlib import Path

from mooring.async_inference import counting, data_log, failures
from mooring.async_inference.counting import COUNT, MICROSECONDS, MILLISECONDS
from mooring.async_inference.delivering import failure_body
from mooring.async_inference.failures import Away, Problem
from mooring.async_inference.hand import FIRST_PAUSE_S, LONGEST_PAUSE_S, Endpoint, InHand, Tools
from mooring.async_inference.notifying import INCLUDED_BYTES, Told, includes_response, notifications
from mooring.hosting.async_jobs import Answered, Outcome, OutcomeKind
from mooring.hosting.s3_uris import bucket_and_key
from mooring.processes.line_logs import line

log = logging.getLogger("mooring.control")


class Ending:
    """Of one endpoint's jobs."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        self._endpoint = endpoint
        self._tools = tools
        self._refused: set[str] = set()
        """Buckets whose refusal the endpoint's history tells of."""

    async def deliver(self, held: InHand, answered: Answered, small: bytes | None = None) -> None:
        """Write what the model said, and end the job. `small` is an answer that is in no file, where it is at hand."""
        if answered.spool:
            body: bytes | Path = self._tools.spool.path(answered.spool)
        else:
            body = small if small is not None else await self._tools.queue.answer(held.queued.job.id) or b""
        if 200 <= answered.status < 300:
            await self._output(held, answered, body)
        else:
            await self._model_error(held, answered, body)
        if answered.spool:
            self._tools.spool.remove(answered.spool)

    async def fail(self, held: InHand, reason: str, kind: OutcomeKind = OutcomeKind.FAILED) -> None:
        """End a job for which no model has said why."""
        outcome = await self._failure(held, Outcome(kind, reason, None), failure_body(reason), "application/json")
        await self._done(held, Told(outcome, self._now(), "application/json" if outcome.written else None))

    async def _output(self, held: InHand, answered: Answered, body: bytes | Path) -> None:
        location = held.queued.job.output_location
        try:
            await self._put(held, location, body, answered.content_type)
        except Problem as problem:
            await self.fail(held, failures.not_written(location, str(problem)))
            return
        except OSError as error:  # its words name a path of this machine
            log.error("the answer of job %s cannot be read: %s", held.queued.job.id, error)
            await self.fail(held, failures.not_written(location, "it cannot be read from the disk any more"))
            return
        included = await self._included(OutcomeKind.COMPLETED, answered, body)
        outcome = Outcome(OutcomeKind.COMPLETED, None, location)
        await self._done(held, Told(outcome, self._now(), answered.content_type, included), answered)

    async def _model_error(self, held: InHand, answered: Answered, body: bytes | Path) -> None:
        outcome = Outcome(OutcomeKind.FAILED, failures.model_error(answered.status), None)
        outcome = await self._failure(held, outcome, body, answered.content_type)
        included = await self._included(OutcomeKind.FAILED, answered, body)
        await self._done(held, Told(outcome, self._now(), answered.content_type, included), answered)

    async def _failure(self, held: InHand, outcome: Outcome, body: bytes | Path, content_type: str | None) -> Outcome:
        """The outcome with where the failure was written; or, when S3 refuses it, with why it is nowhere."""
        location = held.queued.job.failure_location
        if location is None:
            return outcome
        try:
            await self._put(held, location, body, content_type)
        except (Problem, OSError) as problem:
            log.warning("the failure of job %s is not in S3: %s", held.queued.job.id, problem)
            reason = failures.unwritten(outcome.reason or "", location, str(problem))
            return dataclasses.replace(outcome, reason=reason)
        return dataclasses.replace(outcome, written=location)

    async def _included(self, kind: OutcomeKind, answered: Answered, body: bytes | Path) -> bytes | None:
        if not includes_response(self._endpoint.asynchronous, kind) or answered.length > INCLUDED_BYTES:
            return None
        if isinstance(body, bytes):
            return body
        try:
            return await self._tools.spool.read(answered.spool, INCLUDED_BYTES)
        except OSError:
            return None

    async def _done(self, held: InHand, told: Told, answered: Answered | None = None) -> None:
        endpoint, job, outcome = self._endpoint, held.queued.job, told.outcome
        route = endpoint.route
        owed = notifications(endpoint.asynchronous, route.scope.region, route.endpoint, job, told)
        if not await endpoint.persisted(lambda: self._tools.queue.done(job.id, outcome, owed)):
            return
        if owed:
            self._tools.owed()
        self._log(held, told, answered)
        endpoint.count(held, counting.PROCESSED, COUNT, 1.0)
        endpoint.count(held, "InvocationFailures", COUNT, float(outcome.kind is OutcomeKind.FAILED))
        endpoint.count(held, "ExpiredRequests", COUNT, float(outcome.kind is OutcomeKind.EXPIRED))
        endpoint.count(held, "TotalProcessingTime", MILLISECONDS, endpoint.age_s(job) * 1e3)

    def _log(self, held: InHand, told: Told, answered: Answered | None) -> None:
        endpoint, job, claim = self._endpoint, held.queued.job, held.queued.claim
        if not held.variant:
            return  # the endpoint has gone, and its log group with it
        replica_id = held.replica_id or ("" if claim is None else claim.replica_id)
        instance = data_log.Instance(job.uid, held.variant, replica_id)
        for text in data_log.texts(job, told.outcome, answered, held.read, endpoint.age_s(job)):
            self._tools.data_logs.add(instance, line(told.at, job.inference_id, text))

    async def _put(self, held: InHand, location: str, body: bytes | Path, content_type: str | None) -> None:
        """Write an object, however long S3 is away. Raises `Problem` and OSError."""
        endpoint, pause = self._endpoint, FIRST_PAUSE_S
        while True:
            began, key_id = time.monotonic(), endpoint.asynchronous.kms_key_id
            try:
                await self._tools.delivering.put(location, body, content_type, key_id)
            except Away as error:
                endpoint.count(held, "ResponseUploadFailures", COUNT, 1.0)
                log.info("the result of job %s waits for S3: %s", held.queued.job.id, error)
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))
                pause = min(pause * 2, LONGEST_PAUSE_S)
            except Problem as problem:
                endpoint.count(held, "ResponseUploadFailures", COUNT, 1.0)
                self._note_refusal(location, str(problem))
                raise
            else:
                if self._refused:
                    self._refused.discard(_bucket(location))
                endpoint.count(held, "ResponseUploadLatency", MICROSECONDS, (time.monotonic() - began) * 1e6)
                return

    def _note_refusal(self, location: str, why: str) -> None:
        """Once, until the bucket takes something again: the endpoint is in service, and nobody gets an answer."""
        bucket = _bucket(location)
        if bucket not in self._refused:
            self._refused.add(bucket)
            self._tools.note(
                self._endpoint.asynchronous.uid,
                f"What asynchronous jobs come to cannot be written to s3://{bucket}: {why}. `mooring async list "
                f"{self._endpoint.route.endpoint} --status failed` shows the jobs, and `retry` repeats one.",
            )

    def _now(self) -> float:
        return self._tools.clock.wall()


def _bucket(location: str) -> str:
    return (bucket_and_key(location) or ("", ""))[0]
