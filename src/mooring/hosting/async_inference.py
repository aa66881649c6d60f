"""What an asynchronous endpoint promises, and the job that a gateway accepts: the documents of AsyncInferenceConfig.

A job is complete in itself. Whoever has it can do it, so a gateway may accept it while control is away.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mooring.hosting.naming import Scope
from mooring.hosting.rules import Members

DEFAULT_CONCURRENCY = 4
"""Calls at a time that an instance gets where MaxConcurrentInvocationsPerInstance is not given."""
TTL_S = 21_600
INVOCATION_TIMEOUT_S = 900
"""AWS's defaults of RequestTTLSeconds and InvocationTimeoutSeconds."""


@dataclass(frozen=True, slots=True)
class AsyncRoute:
    """Of one endpoint, as its gateways need it."""

    uid: str
    """The endpoint's: a later one of its name has another, and does not get its jobs."""
    output_path: str
    """`s3://bucket[/prefix]` without a slash at its end."""
    failure_path: str | None
    """The same; None when failures are told and not written."""
    concurrency: int = DEFAULT_CONCURRENCY
    """Calls at a time that each instance gets."""
    kms_key_id: str | None = None
    """What S3 encrypts outputs and failures with; None leaves that to the bucket."""
    success_topic: str | None = None
    error_topic: str | None = None
    success_includes_response: bool = False
    error_includes_response: bool = False


def async_route_of(config: Members, scope: Scope, endpoint: str, uid: str) -> AsyncRoute | None:
    """What an endpoint config wants of its queue; None for an endpoint that answers at once.

    Without an S3OutputPath answers go to the bucket that the SageMaker SDK would use.
    """
    wanted = config.get("AsyncInferenceConfig")
    if wanted is None:
        return None
    output = wanted["OutputConfig"]
    default = f"s3://sagemaker-{scope.region}-{scope.account}/async-endpoint-outputs/{endpoint}"
    failures = output.get("S3FailurePath")
    told = output.get("NotificationConfig") or {}
    included = told.get("IncludeInferenceResponseIn") or ()
    return AsyncRoute(
        uid=uid,
        output_path=output.get("S3OutputPath", default).rstrip("/"),
        failure_path=None if failures is None else failures.rstrip("/"),
        concurrency=(wanted.get("ClientConfig") or {}).get("MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENCY),
        kms_key_id=output.get("KmsKeyId"),
        success_topic=told.get("SuccessTopic"),
        error_topic=told.get("ErrorTopic"),
        success_includes_response="SUCCESS_NOTIFICATION_TOPIC" in included,
        error_includes_response="ERROR_NOTIFICATION_TOPIC" in included,
    )


def topics_of(config: Members) -> list[str]:
    """The topics that an endpoint config names, each once."""
    wanted = config.get("AsyncInferenceConfig") or {}
    told = (wanted.get("OutputConfig") or {}).get("NotificationConfig") or {}
    return list(dict.fromkeys(told[name] for name in ("SuccessTopic", "ErrorTopic") if told.get(name)))


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted InvokeEndpointAsync."""

    id: str
    """A UUID: taking it in twice is taking it in once. Of version 7, which sorts by time, since an index of random ones
    writes a page of the disk for each."""
    uid: str
    """The endpoint's."""
    inference_id: str
    input_location: str | None
    """None for one whose input came inline."""
    body: bytes | None
    output_location: str
    failure_location: str | None
    content_type: str | None
    """Of the call; None when the caller sent none, and the object's is used."""
    accept: str | None
    custom_attributes: str | None
    ttl_s: int
    timeout_s: int
    accepted_at: float
    """Wall clock, for people and notifications."""
    accepted_uptime: float
    """Seconds since the machine's boot (CLOCK_BOOTTIME), which a jump of the wall clock leaves alone."""
    boot_id: str
    """Of the machine: after another boot `accepted_uptime` says nothing, and the wall clock has to do."""
    inference_id_given: bool = False
    trace: str | None = None
    """The caller's `traceparent`."""

    def to_document(self) -> dict[str, Any]:
        """Plain JSON types but for `body`, which its holder encodes."""
        return asdict(self)
