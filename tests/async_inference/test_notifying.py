"""The messages that topics get, field by field."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

from mooring.async_inference.notifying import SEE, TEST_MESSAGE, Told, notifications
from mooring.hosting.async_inference import AsyncRoute, Job
from mooring.hosting.async_jobs import Outcome, OutcomeKind

ROUTE = AsyncRoute("u", "s3://b/o", "s3://b/f", success_topic="arn:success", error_topic="arn:error")
JOB = Job("j", "u", "mine", "s3://b/in.wav", None, "s3://b/o/x.out", "s3://b/f/x-error.out",
          "application/octet-stream", "application/json", None, 60, 60, 1754224858.414, 0.0, "boot")  # fmt: skip
DONE = Told(Outcome(OutcomeKind.COMPLETED, None, "s3://b/o/x.out"), 1754224860.586, "application/json", b"{}")
FAILED = Told(
    Outcome(OutcomeKind.FAILED, "ClientError: x", "s3://b/f/x-error.out"), 1754224860.586, "text/plain", b"no"
)


def message(route: AsyncRoute, job: Job, told: Told) -> dict[str, Any]:
    [owed] = notifications(route, "us-west-2", "ep", job, told)
    assert owed.topic == ("arn:success" if told is DONE else "arn:error")
    found: dict[str, Any] = json.loads(owed.message)
    return found


def test_a_success_with_its_response() -> None:
    assert message(replace(ROUTE, success_includes_response=True), JOB, DONE) == {
        "awsRegion": "us-west-2",
        "eventTime": "2025-08-03T12:41:00.586Z",
        "receivedTime": "2025-08-03T12:40:58.414Z",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "application/json",
            "contentType": "application/octet-stream",
            "endpointName": "ep",
            "inputLocation": "s3://b/in.wav",
        },
        "responseParameters": {"contentType": "application/json", "outputLocation": "s3://b/o/x.out"},
        "responseBody": {"content": "e30=", "message": SEE, "encoding": "BASE64"},
        "inferenceId": "mine",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_what_the_caller_did_not_send_is_not_told() -> None:
    told = message(ROUTE, replace(JOB, accept=None, content_type=None, input_location=None), DONE)
    assert told["requestParameters"] == {"endpointName": "ep"}
    assert "responseBody" not in told
    assert "failureReason" not in told


def test_a_failure_says_why_and_where() -> None:
    told = message(replace(ROUTE, error_includes_response=True), JOB, FAILED)
    assert told["invocationStatus"] == "Failed"
    assert told["failureReason"] == "ClientError: x"
    assert told["failureLocation"] == told["responseParameters"]["outputLocation"] == "s3://b/f/x-error.out"
    assert b64decode(told["responseBody"]["content"]) == b"no"


def test_a_failure_that_is_not_in_s3_has_no_location() -> None:
    told = message(ROUTE, JOB, replace(FAILED, outcome=Outcome(OutcomeKind.EXPIRED, "late")))
    assert told["invocationStatus"] == "Expired"
    assert "responseParameters" not in told
    assert "failureLocation" not in told


def test_a_response_that_is_too_large_is_not_included() -> None:
    told = message(replace(ROUTE, success_includes_response=True), JOB, DONE)
    assert told["responseBody"]["content"]
    [owed] = notifications(
        replace(ROUTE, success_includes_response=True), "us-west-2", "ep", JOB, replace(DONE, body=None)
    )
    assert json.loads(owed.message)["responseBody"] == {"message": SEE}


def test_nothing_is_owed_without_a_topic() -> None:
    assert notifications(replace(ROUTE, success_topic=None), "r", "ep", JOB, DONE) == []


def test_the_test_notification_is_awss() -> None:
    assert json.loads(TEST_MESSAGE) == {
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "TestNotification",
    }
