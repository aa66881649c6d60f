"""The messages that topics get: one a job, in AWS's form, and one that tries a topic out."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mooring.hosting.async_inference import AsyncRoute, Job
from mooring.hosting.async_jobs import Notification, Outcome, OutcomeKind

INCLUDED_BYTES = 128 * 1024
"""A response that is larger is not in the message."""
SEE = "Check S3 path location(if configured) or Cloudwatch for additional details."
TEST_MESSAGE = '{"eventVersion":"1.0","eventSource":"aws:sagemaker","eventName":"TestNotification"}'


@dataclass(frozen=True, slots=True)
class Told:
    """What a message tells of how a job ended."""

    outcome: Outcome
    at: float
    """Wall clock."""
    content_type: str | None = None
    """Of the answer."""
    body: bytes | None = None
    """The answer, where it may be included; None for one that is too large."""


def topic_of(route: AsyncRoute, kind: OutcomeKind) -> str | None:
    """The topic that hears of such an end."""
    return route.success_topic if kind is OutcomeKind.COMPLETED else route.error_topic


def includes_response(route: AsyncRoute, kind: OutcomeKind) -> bool:
    """Whether that topic gets the model's answer too."""
    return route.success_includes_response if kind is OutcomeKind.COMPLETED else route.error_includes_response


def notifications(route: AsyncRoute, region: str, endpoint: str, job: Job, told: Told) -> list[Notification]:
    """What is owed for the end of a job."""
    topic = topic_of(route, told.outcome.kind)
    if topic is None:
        return []
    included = includes_response(route, told.outcome.kind)
    return [Notification(topic, json.dumps(_message(region, endpoint, job, told, included=included)))]


def _message(region: str, endpoint: str, job: Job, told: Told, *, included: bool) -> dict[str, Any]:
    outcome = told.outcome
    asked = {
        "accept": job.accept,
        "contentType": job.content_type,
        "endpointName": endpoint,
        "inputLocation": job.input_location,
    }
    message: dict[str, Any] = {
        "awsRegion": region,
        "eventTime": _time(told.at),
        "receivedTime": _time(job.accepted_at),
        "invocationStatus": _status(outcome.kind),
        "requestParameters": {name: value for name, value in asked.items() if value is not None},
    }
    if outcome.kind is not OutcomeKind.COMPLETED:
        message["failureReason"] = outcome.reason or ""
    if outcome.written is not None:
        answered = {} if told.content_type is None else {"contentType": told.content_type}
        message["responseParameters"] = {**answered, "outputLocation": outcome.written}
        if outcome.kind is not OutcomeKind.COMPLETED:
            message["failureLocation"] = outcome.written
    if included:
        message["responseBody"] = _body(told.body)
    event = {"eventVersion": "1.0", "eventSource": "aws:sagemaker", "eventName": "InferenceResult"}
    return {**message, "inferenceId": job.inference_id, **event}


def _body(body: bytes | None) -> dict[str, str]:
    if body is None:
        return {"message": SEE}
    return {"content": b64encode(body).decode(), "message": SEE, "encoding": "BASE64"}


def _status(kind: OutcomeKind) -> str:
    """AWS has no word for what was cancelled."""
    return (OutcomeKind.FAILED if kind is OutcomeKind.CANCELLED else kind).value


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
