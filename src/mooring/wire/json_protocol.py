"""AWS JSON 1.1, SageMaker's control plane: `X-Amz-Target` and a JSON body in, JSON out.

`parse_request` gives the operation and its parameters (types: `json_values`), not yet validated; `validation` does
that. Members without a value are omitted, never null; an operation without an output shape answers with an empty body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mooring.wire import json_values
from mooring.wire.errors import WireError, WireResponse, serialization_exception, status_of, unknown_operation
from mooring.wire.service_models import Operation, ServiceModel
from mooring.wire.shapes import Structure

CONTENT_TYPE: Final = b"application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """An operation with its parameters, unknown members dropped, in the input shape's order."""

    operation: Operation
    params: dict[str, Any]


def parse_request(
    model: ServiceModel, target: bytes | None, body: bytes, *, content_type: bytes | None = CONTENT_TYPE
) -> ParsedRequest:
    """The request, or a `WireError`: UnknownOperationException or SerializationException.

    A content type that is not AWS JSON's is answered as an unknown operation, as a service does that does not
    recognise the protocol at all.
    """
    if content_type is None or content_type.partition(b";")[0].strip().lower() != CONTENT_TYPE:
        raise unknown_operation()
    operation = operation_of(model, target)
    params = json_values.loaded(body)
    try:
        if operation.input is None:
            return ParsedRequest(operation, {})
        return ParsedRequest(operation, json_values.read_members(operation.input, params))
    except RecursionError:
        raise serialization_exception() from None


def operation_of(model: ServiceModel, target: bytes | None) -> Operation:
    """The operation that an `X-Amz-Target` names, such as ``SageMaker.CreateModel``."""
    prefix, _, name = (target or b"").decode("latin-1").strip().rpartition(".")
    if prefix != model.target_prefix or name not in model.operation_names:
        raise unknown_operation()
    return model.operation(name)


def success(operation: Operation, result: Mapping[str, Any] | None, request_id: str) -> WireResponse:
    """The answer by the operation's output shape."""
    body = b""
    if operation.output is not None:
        body = json_values.dumped(json_values.written_members(operation.output, result or {}))
    return WireResponse(operation.response_code, _headers(request_id), body)


def failure(
    model: ServiceModel | None, error: WireError, request_id: str, *, content_type: bytes = CONTENT_TYPE
) -> WireResponse:
    """The error; `Message` for shapes that the model declares, else `message`. No model: of any service."""
    shape = model.error(error.code) if model else None
    document: dict[str, Any] = {"__type": error.code}
    if error.message is not None:
        document[_message_name(shape)] = error.message
    document.update(error.members)
    status = status_of(error, shape.error_status if shape else None)
    return WireResponse(status, _headers(request_id, content_type), json_values.dumped(document))


def _message_name(shape: Structure | None) -> str:
    names = shape.members if shape else ()
    return next((name for name in names if name.lower() == "message"), "message")


def _headers(request_id: str, content_type: bytes = CONTENT_TYPE) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-amzn-RequestId", request_id.encode("ascii")), (b"Content-Type", content_type))
