"""InvokeEndpointAsync at a gateway: validate, keep, answer 202.

The answer goes out when the job is on disk, so it takes a sync of the disk, shared with whoever comes at the same time.
Control is told, and need not be there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from mooring.async_inference.accepting import job_of_call
from mooring.async_inference.handing import AcceptedJobs
from mooring.clock import Clock
from mooring.gateway import faults
from mooring.gateway.headers import ASYNC
from mooring.gateway.pipeline import OUT_OF_SERVICE
from mooring.gateway.request_ids import new_request_id
from mooring.hosting.async_inference import Job
from mooring.hosting.routes import Route
from mooring.http1.messages import Response
from mooring.traces import context


class Asynchronous:
    """Accepts the calls of asynchronous endpoints."""

    def __init__(self, jobs: AcceptedJobs, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock

    def begin(
        self, route: Route, known: Mapping[bytes, bytes], body: bytes, answer: Callable[[Response], None]
    ) -> Response | None:
        """The refusal of a call; or None, and `answer` is called later."""
        endpoint = route.endpoint
        assert route.async_inference is not None
        if route.status == OUT_OF_SERVICE:
            return faults.out_of_service(endpoint)
        violation = ASYNC.violation(endpoint.encode(), known, len(body))
        if violation is not None:
            return violation
        parent = known.get(context.TRACEPARENT)
        trace = parent.decode("ascii") if parent is not None and context.parent_of(parent) is not None else None
        job = job_of_call(route.async_inference, known, body, self._clock, trace)
        if isinstance(job, str):
            return faults.validation_error(job)

        def settled(problem: str | None) -> None:
            answer(_accepted(job) if problem is None else faults.not_kept(problem))

        try:
            self._jobs.keep(job, settled)
        except BlockingIOError as error:
            return faults.not_kept(str(error))
        return None


def _accepted(job: Job) -> Response:
    headers = [
        (b"Content-Type", b"application/json"),
        (b"x-amzn-RequestId", new_request_id()),
        (b"X-Amzn-SageMaker-Inference-Id", job.inference_id.encode("latin-1")),
        (b"X-Amzn-SageMaker-OutputLocation", _header(job.output_location)),
    ]
    if job.failure_location is not None:
        headers.append((b"X-Amzn-SageMaker-FailureLocation", _header(job.failure_location)))
    body = json.dumps({"InferenceId": job.inference_id}, separators=(",", ":")).encode()
    return Response(202, headers, body)


def _header(location: str) -> bytes:
    # A config's path may hold what no header can.
    return (location if location.isprintable() else ascii(location)[1:-1]).encode()
