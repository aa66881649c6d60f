"""CloudWatch: metrics and alarms are Mooring's own; dashboards and what else moto has are the neighbours'.

A call is read in whichever of CloudWatch's three protocols it came, by the shapes of the installed botocore, and
answered in the same. Errors have the code of the query protocol in `x-amzn-query-error`, from which SDKs that speak the
newer protocols take it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mooring.api.alarm_operations import OF_TAGS
from mooring.api.alarm_operations import OPERATIONS as OF_ALARMS
from mooring.api.calls import Control
from mooring.api.cloudwatch_answers import unfit
from mooring.api.metric_operations import get_metric_statistics, list_metrics, points_of
from mooring.api.metric_queries import get_metric_data
from mooring.clock import Clock
from mooring.errors import LimitExceeded
from mooring.hosting.naming import Scope
from mooring.http1.messages import Request
from mooring.store.metric_data import MetricData
from mooring.wire import json_values, query_protocol, rpc_v2_cbor
from mooring.wire.dialects import CBOR, JSON, QUERY, Spoken, failure, spoken
from mooring.wire.encodings import unpacked
from mooring.wire.errors import WireError, WireResponse, status_of
from mooring.wire.json_protocol import ParsedRequest
from mooring.wire.service_models import Operation, ServiceModel, service_model
from mooring.wire.validation import require_valid

MONITORING = "monitoring"
Params = Mapping[str, Any]
Reading = Callable[[MetricData, Params, Scope, float], dict[str, Any]]

READING: dict[str, Reading] = {
    "GetMetricData": get_metric_data,
    "GetMetricStatistics": get_metric_statistics,
    "ListMetrics": list_metrics,
}
QUERY_ERROR = b"x-amzn-query-error"


class CloudWatchApi:
    """Answers what is asked about metrics and alarms."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    async def answer(self, request: Request, scope: Scope, request_id: str) -> WireResponse | None:
        """The answer; None for a call that is the neighbours'. Raises what is a defect of ours."""
        model = await asyncio.to_thread(service_model, "cloudwatch")
        said = spoken(request.path, request.query, request.headers, request.body)
        try:
            body = unpacked(request.body, request.header(b"content-encoding"))
            said = spoken(request.path, request.query, request.headers, body)
            if not _is_ours(said.operation):
                return None
            parsed = _parsed(model, request, said, body)
            if said.operation in OF_TAGS and ":alarm:" not in str(parsed.params.get("ResourceARN")):
                return None
            require_valid(parsed.operation.input, parsed.params, "ValidationError")
            result = await self._result(parsed, scope)
        except WireError as error:
            return _failure(model, said, error, request_id)
        except LimitExceeded as error:
            return _failure(model, said, WireError("LimitExceeded", str(error), status=400), request_id)
        return _success(model, said, parsed.operation, result, request_id)

    async def _result(self, parsed: ParsedRequest, scope: Scope) -> dict[str, Any]:
        name, params, now = parsed.operation.name, parsed.params, round(self._clock.wall(), 3)
        if (operate := OF_ALARMS.get(name) or OF_TAGS.get(name)) is not None:
            return await operate(self._control.alarms, params, scope, now)
        if (read := READING.get(name)) is not None:
            return await self._control.metering.read(lambda data: read(data, params, scope, now))
        points = points_of(params, scope, now)
        await self._control.metering.read(lambda data: data.require_room(point.series for point in points))
        self._control.metering.publish(points)
        return {}


def _is_ours(operation: str | None) -> bool:
    return operation in READING or operation in OF_ALARMS or operation in OF_TAGS or operation == "PutMetricData"


def _parsed(model: ServiceModel, request: Request, said: Spoken, body: bytes) -> ParsedRequest:
    if said.protocol == QUERY:
        is_form = (request.header(b"content-type") or b"").lower().startswith(b"application/x-www-form-urlencoded")
        return query_protocol.parse_request(model, request.query, body if is_form else b"")
    operation = model.operation(str(said.operation))
    if said.marker != model.target_prefix:
        raise unfit(f"There is no service {said.marker!r} here.")
    given = json_values.loaded(body) if said.protocol == JSON else rpc_v2_cbor.parameters(body)
    if operation.input is None:
        return ParsedRequest(operation, {})
    return ParsedRequest(operation, json_values.read_members(operation.input, given))


def _success(
    model: ServiceModel, said: Spoken, operation: Operation, result: Mapping[str, Any], request_id: str
) -> WireResponse:
    if said.protocol == QUERY:
        return query_protocol.success(model, operation, result, request_id)
    if said.protocol == CBOR:
        return rpc_v2_cbor.success(operation.output, result, request_id)
    body = b"{}"
    if operation.output is not None:
        body = json_values.dumped(json_values.written_members(operation.output, result))
    headers = (b"x-amzn-RequestId", request_id.encode("ascii")), (b"Content-Type", said.content_type)
    return WireResponse(200, headers, body)


def _failure(model: ServiceModel, said: Spoken, error: WireError, request_id: str) -> WireResponse:
    shape = model.error(error.code)
    status = status_of(error, shape.error_status if shape else None)
    if said.protocol not in (JSON, CBOR):
        return failure(said, error, request_id)
    told = WireError(shape.name if shape else error.code, error.message, status=status, members=error.members)
    answer = failure(said, told, request_id)
    at_fault = "Sender" if status < 500 else "Receiver"
    return replace(answer, headers=(*answer.headers, (QUERY_ERROR, f"{error.code};{at_fault}".encode())))
