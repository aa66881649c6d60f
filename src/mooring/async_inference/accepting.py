"""InvokeEndpointAsync: from the headers of a call to the job that it becomes, or to what is wrong with it.

Bounds and patterns of single headers have been checked (`mooring.wire.invocation_checks`). Nothing is looked up:
whether the input is there shows when the job's turn comes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from secrets import randbits

from mooring.clock import Clock
from mooring.hosting.async_inference import INVOCATION_TIMEOUT_S, TTL_S, AsyncRoute, Job
from mooring.hosting.s3_uris import bucket_and_key
from mooring.processes import identity

ACCEPT = b"x-amzn-sagemaker-accept"
CONTENT_TYPE = b"x-amzn-sagemaker-content-type"
CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
EXTENSION = b"x-amzn-sagemaker-s3outputpathextension"
FILENAME = b"x-amzn-sagemaker-filename"
INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
INPUT_LOCATION = b"x-amzn-sagemaker-inputlocation"
TIMEOUT = b"x-amzn-sagemaker-invocationtimeoutseconds"
TTL = b"x-amzn-sagemaker-requestttlseconds"

LONGEST_KEY = 1024
"""Of S3, in bytes."""


def job_of_call(
    queue: AsyncRoute, headers: Mapping[bytes, bytes], body: bytes, clock: Clock, trace: str | None = None
) -> Job | str:
    """The job that a call becomes; or why it does not, in words for its caller. `trace` is a valid `traceparent`."""
    location = _location(headers.get(INPUT_LOCATION))
    if (refusal := _refused_input(location, body)) is not None:
        return refusal
    identifier, name = new_job_id(clock.wall()), str(uuid.uuid4())
    output = _joined(queue.output_path, _text(headers, EXTENSION), _text(headers, FILENAME) or f"{name}.out")
    if len((bucket_and_key(output) or ("", ""))[1].encode()) > LONGEST_KEY:
        return f"The output would be {output}, and a key of S3 has {LONGEST_KEY} bytes at the most."
    given = _text(headers, INFERENCE_ID)
    return Job(
        id=identifier,
        uid=queue.uid,
        inference_id=given or identifier,
        input_location=location,
        body=None if location is not None else body,
        output_location=output,
        failure_location=None if queue.failure_path is None else f"{queue.failure_path}/{name}-error.out",
        content_type=_text(headers, CONTENT_TYPE),
        accept=_text(headers, ACCEPT),
        custom_attributes=_text(headers, CUSTOM_ATTRIBUTES),
        ttl_s=int(headers.get(TTL, TTL_S)),
        timeout_s=int(headers.get(TIMEOUT, INVOCATION_TIMEOUT_S)),
        accepted_at=clock.wall(),
        accepted_uptime=clock.uptime(),
        boot_id=identity.boot_id(),
        inference_id_given=given is not None,
        trace=trace,
    )


def new_job_id(now: float) -> str:
    """A UUID of version 7: 48 bits of the time in milliseconds, then 74 random ones."""
    high, low = randbits(12), randbits(62)
    return str(uuid.UUID(int=int(now * 1000) % (1 << 48) << 80 | 7 << 76 | high << 64 | 2 << 62 | low))


def _refused_input(location: str | None, body: bytes) -> str | None:
    if location is None:
        return None if body else "Either InputLocation or Body is required."
    if body:
        return "InputLocation and Body are mutually exclusive: the input is either in S3 or in the request."
    found = bucket_and_key(location)
    if found is None or not all(found):
        return f"InputLocation {location} is not the location of an object in S3."
    return None


def _joined(path: str, extension: str | None, name: str) -> str:
    between = (extension or "").strip("/")
    return f"{path}/{between}/{name}" if between else f"{path}/{name}"


def _location(value: bytes | None) -> str | None:
    """As the SDKs send it: in UTF-8, also where other headers are Latin-1."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
