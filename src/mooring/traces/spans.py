"""Spans of one invocation, as OpenTelemetry's semantic conventions for HTTP have them.

Only the exporter imports this: it needs `mooring[traces]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mooring import __version__
from mooring.traces.context import SAMPLED, parent_of

SCOPE = InstrumentationScope("mooring", __version__)
_TURNED = 1 << 63
_PATHS = {
    "InvokeEndpoint": "invocations",
    "InvokeEndpointWithResponseStream": "invocations-response-stream",
    "InvokeEndpointAsync": "async-invocations",
}
_STATUSES = {"it does not accept connections": 503}
"""What a caller gets where a replica gave no status; else it is ModelError, 424."""
ABANDONED = "abandoned"


class Told(NamedTuple):
    """What a gateway says of a sampled call (`mooring.traces.tracing`); times are of the monotonic clock."""

    region: str
    endpoint: str
    variant: str
    operation: str
    trace_id: bytes
    span_id: bytes
    """That the replica was told."""
    parent: bytes
    """The caller's `traceparent`."""
    began: float
    sent: float
    replied: float
    ended: float
    status: int
    reason: str | None
    request_id: bytes
    inference_id: bytes


def spans_of(told: Told, resource: Resource, offset_s: float) -> Sequence[ReadableSpan]:
    """The client span and the server span above it. `offset_s` makes wall time of the monotonic clock's."""
    trace_id, client_id = int(told.trace_id, 16), int(told.span_id, 16)
    parent = parent_of(told.parent)
    flags = TraceFlags(SAMPLED if parent is None else parent.flags)
    server = SpanContext(trace_id, client_id ^ _TURNED, is_remote=False, trace_flags=flags)
    client = SpanContext(trace_id, client_id, is_remote=False, trace_flags=flags)
    above = None
    if parent is not None:
        above = SpanContext(trace_id, int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    began, sent, replied, ended = (
        int((each + offset_s) * 1e9) for each in (told.began, told.sent, told.replied, told.ended)
    )
    called = ReadableSpan(
        name="POST", context=client, parent=server, resource=resource, attributes=_client_attributes(told),
        kind=SpanKind.CLIENT, status=_status(told), start_time=sent, end_time=max(sent, replied),
        instrumentation_scope=SCOPE,
    )  # fmt: skip
    route = f"/endpoints/{{EndpointName}}/{_PATHS.get(told.operation, told.operation)}"
    served = ReadableSpan(
        name=f"POST {route}", context=server, parent=above, resource=resource,
        attributes=_server_attributes(told, route), kind=SpanKind.SERVER, status=_status(told), start_time=began,
        end_time=max(began, ended), instrumentation_scope=SCOPE,
    )  # fmt: skip
    return called, served


def _client_attributes(told: Told) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "http.request.method": "POST",
        "url.full": "http://localhost:8080/invocations",
        "server.address": "localhost",
        "server.port": 8080,
        "mooring.variant": told.variant,
    }
    if told.status:
        found["http.response.status_code"] = told.status
    return found | _error(told)


def _server_attributes(told: Told, route: str) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "http.request.method": "POST",
        "http.route": route,
        "url.path": route.replace("{EndpointName}", told.endpoint),
        "url.scheme": "http",
        "rpc.system.name": "aws-api",
        "rpc.method": f"SageMakerRuntime/{told.operation}",
        "cloud.region": told.region,
        "aws.request_id": told.request_id.decode("latin-1"),
        "mooring.endpoint": told.endpoint,
        "mooring.variant": told.variant,
    }
    if told.inference_id:
        found["mooring.inference_id"] = told.inference_id.decode("latin-1")
    if 200 <= told.status < 300 and told.reason is None:
        found["http.response.status_code"] = 200
    elif told.reason != ABANDONED:
        found["http.response.status_code"] = _STATUSES.get(told.reason or "", 424)
    return found | _error(told)


def _error(told: Told) -> dict[str, str | int]:
    if told.reason is None:
        return {}
    return {"error.type": str(told.status) if told.status else told.reason}


def _status(told: Told) -> Status:
    if told.reason is None:
        return Status(StatusCode.UNSET)
    return Status(StatusCode.ERROR, told.reason)
