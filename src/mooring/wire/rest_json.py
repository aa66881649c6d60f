"""REST-JSON, SageMaker's runtime: an operation by method and path, members in headers, the payload as it is.

This is the complete form, for requests that need not be fast and for answers that are not proxied; the gateway's hot
path uses `invocation_checks`. A path or query label is text, header members are Latin-1 text, numbers and times are
read by their shape.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

from mooring.wire import json_values
from mooring.wire.errors import WireError, WireResponse, serialization_exception, status_of, unknown_operation
from mooring.wire.json_protocol import ParsedRequest
from mooring.wire.service_models import Operation, ServiceModel
from mooring.wire.shapes import Member, Shape, Structure
from mooring.wire.sigv4 import query_pairs
from mooring.wire.uri_templates import UriTemplate

CONTENT_TYPE: Final = b"application/json"

Headers = Sequence[tuple[bytes, bytes]]


def parse_request(
    model: ServiceModel, method: bytes, path: bytes, query: bytes, headers: Headers, body: bytes
) -> ParsedRequest:
    """The operation and its parameters, not yet validated; header names are lower-cased.

    No operation at that path is UnknownOperationException with 404; a number or time that is none is a
    SerializationException.
    """
    for template, operation in _templates(model):
        labels = template.match(path) if operation.method.encode("ascii") == method else None
        if labels is not None:
            return ParsedRequest(operation, _params(operation, labels, query, headers, body))
    raise unknown_operation(404)


def success(operation: Operation, result: Mapping[str, Any] | None, request_id: str) -> WireResponse:
    """The answer by the operation's output shape."""
    headers: list[tuple[bytes, bytes]] = [(b"x-amzn-RequestId", request_id.encode("ascii"))]
    shape, result = operation.output, result or {}
    if shape is None:
        return WireResponse(operation.response_code, tuple(headers), b"")
    for name, member in shape.members.items():
        value = result.get(name)
        if value is not None and member.location in ("header", "headers"):
            headers += _header_fields(member, value)
    body, content_type = _body(shape, result)
    if content_type is not None and all(name.lower() != b"content-type" for name, _ in headers):
        headers.append((b"Content-Type", content_type))
    return WireResponse(operation.response_code, tuple(headers), body)


def failure(model: ServiceModel | None, error: WireError, request_id: str) -> WireResponse:
    """The error as the runtime sends it: its code in `x-amzn-ErrorType`, members in alphabetical order.

    Texts longer than their shape allows are cut; an error without a message says `null`, as AWS's throttles do. Without
    a model it is one of any service.
    """
    shape = model.error(error.code) if model else None
    members = {"Message": error.message, **error.members}
    document = {name: _fitting(shape, name, members[name]) for name in sorted(members)}
    headers = (
        (b"x-amzn-RequestId", request_id.encode("ascii")),
        (b"x-amzn-ErrorType", error.code.encode("ascii")),
        (b"Content-Type", CONTENT_TYPE),
    )
    status = status_of(error, shape.error_status if shape else None)
    return WireResponse(status, headers, json_values.dumped(document))


@functools.cache
def _templates(model: ServiceModel) -> tuple[tuple[UriTemplate, Operation], ...]:
    operations = [model.operation(name) for name in sorted(model.operation_names)]
    return tuple((UriTemplate(operation.request_uri), operation) for operation in operations)


def _params(
    operation: Operation, labels: Mapping[str, str], query: bytes, headers: Headers, body: bytes
) -> dict[str, Any]:
    shape = operation.input
    if shape is None:
        return {}
    sources = {
        "uri": labels,
        "querystring": {_text(name): _text(value) for name, value in reversed(list(query_pairs(query)))},
        "header": {_latin(name): _latin(value) for name, value in reversed(headers)},
    }
    payload = _payload(shape, body)
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        if member.location in sources:
            wire_name = member.wire_name.lower() if member.location == "header" else member.wire_name
            text = sources[member.location].get(wire_name)
            value = None if text is None else _read_text(member, text)
        elif member.location == "headers":
            value = _prefixed(member.wire_name, headers)
        else:
            value = payload.get(name)
        if value is not None:
            params[name] = value
    return params


def _payload(shape: Structure, body: bytes) -> dict[str, Any]:
    if shape.payload is None:
        has_members = any(member.location is None for member in shape.members.values())
        return json_values.read_members(shape, json_values.loaded(body)) if has_members else {}
    inner = shape.members[shape.payload].shape
    if inner.kind == "blob":
        return {shape.payload: body}
    if inner.kind == "string":
        return {shape.payload: _text(body)} if body else {}
    return {shape.payload: json_values.read(inner, json_values.loaded(body))} if body else {}


def _read_text(member: Member, text: str) -> Any:
    kind = member.shape.kind
    if kind == "string":
        return text
    try:
        if kind in ("integer", "long", "float", "double"):
            number = float(text) if kind in ("float", "double") else int(text)
            return json_values.read(member.shape, number) if text.isascii() and "_" not in text else _unreadable()
        if kind == "boolean":
            return {"true": True, "false": False}[text]
        if kind == "timestamp":
            return _read_time(member, text)
    except (ValueError, KeyError, OverflowError):
        _unreadable()
    return json_values.read(member.shape, text)


def _read_time(member: Member, text: str) -> float:
    default = "rfc822" if member.location == "header" else "iso8601"
    named = member.timestamp_format or member.shape.timestamp_format or default
    if named == "unixTimestamp":
        return float(json_values.read(member.shape, float(text)))
    moment = parsedate_to_datetime(text) if named == "rfc822" else datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _prefixed(prefix: str, headers: Headers) -> dict[str, str]:
    wanted = prefix.lower().encode("ascii")
    return {_latin(name[len(wanted) :]): _latin(value) for name, value in headers if name.startswith(wanted)}


def _header_fields(member: Member, value: Any) -> list[tuple[bytes, bytes]]:
    if member.location == "headers":
        return [(_field(member.wire_name + name), _field(text)) for name, text in value.items()]
    return [(_field(member.wire_name), _field(_header_text(member, value)))]


def _header_text(member: Member, value: Any) -> str:
    kind = member.shape.kind
    if kind == "boolean":
        return "true" if value else "false"
    if kind != "timestamp":
        return str(value)
    named = member.timestamp_format or member.shape.timestamp_format or "rfc822"
    if named == "rfc822":
        return format_datetime(datetime.fromtimestamp(int(json_values.epoch_seconds(value)), UTC), usegmt=True)
    return json_values.iso8601(value) if named == "iso8601" else str(int(json_values.epoch_seconds(value)))


def _field(text: str) -> bytes:
    """A header's name or value: a line break in one would be a header of the caller's own making."""
    raw = text.encode("latin-1", "replace")
    return raw.replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\0", b" ")


def _body(shape: Structure, result: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    if shape.payload is not None:
        value, inner = result.get(shape.payload), shape.members[shape.payload].shape
        if isinstance(inner, Structure):
            return json_values.dumped(json_values.written(inner, value or {})), CONTENT_TYPE
        return (value.encode("utf-8") if isinstance(value, str) else bytes(value or b"")), None
    return json_values.dumped(json_values.written_members(shape, result)), CONTENT_TYPE


def _fitting(shape: Structure | None, name: str, value: Any) -> Any:
    member = shape.members.get(name) if shape else None
    limit: Shape | None = member.shape if member else None
    if isinstance(value, str) and limit is not None and limit.maximum is not None:
        return value[: int(limit.maximum)]
    return value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")


def _unreadable() -> Any:
    raise serialization_exception()
