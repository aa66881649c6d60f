"""The query protocol, as STS speaks it: a form in, XML out.

`Action` names the operation; nested parameters are spelled `Tags.member.1.Key`. Answers carry the service's
namespace, the result wrapper that the model names, and `ResponseMetadata` with the request's id. EC2's protocol is the
same on the way in and words its errors differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from mooring.wire import json_values
from mooring.wire.errors import WireError, WireResponse, serialization_exception, status_of
from mooring.wire.json_protocol import ParsedRequest
from mooring.wire.service_models import Operation, ServiceModel
from mooring.wire.shapes import NUMBERS, ListShape, MapShape, Member, Shape, Structure

CONTENT_TYPE: Final = b"text/xml"

MOST_FIELDS: Final = 10_000
"""More fields than this are refused: no operation has as many."""

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_POSITION = re.compile(r"[1-9][0-9]{0,5}")

_Tree = dict[str, Any]


def parse_request(model: ServiceModel, query: bytes, body: bytes) -> ParsedRequest:
    """The request, or a `WireError`: MissingAction, InvalidAction, or SerializationException for unreadable values."""
    given = dict(fields(query)) | dict(fields(body))
    action, version = given.get("Action"), given.get("Version", model.api_version)
    if action is None:
        raise WireError("MissingAction", "Could not find Action in the request.", status=400)
    if action not in model.operation_names or version != model.api_version:
        message = f"Could not find operation {action} for version {version}"
        raise WireError("InvalidAction", message, status=400)
    operation = model.operation(action)
    if operation.input is None:
        return ParsedRequest(operation, {})
    return ParsedRequest(operation, _structure(operation.input, _tree(given)))


def success(
    model: ServiceModel, operation: Operation, result: Mapping[str, Any] | None, request_id: str
) -> WireResponse:
    """The answer by the operation's output shape."""
    inner = "".join(_members(operation.output, result or {})) if operation.output else ""
    if operation.result_wrapper:
        inner = _element(operation.result_wrapper, inner)
    metadata = _element("ResponseMetadata", _element("RequestId", _escaped(request_id)))
    document = _root(model, f"{operation.name}Response", inner + metadata)
    return WireResponse(200, _headers(request_id), document)


def failure(model: ServiceModel | None, error: WireError, request_id: str) -> WireResponse:
    """The error; `Sender` is at fault for 4xx and `Receiver` for 5xx. No model: of any service."""
    shape = model.error(error.code) if model else None
    status = status_of(error, shape.error_status if shape else None)
    parts = [
        _element("Type", "Sender" if status < 500 else "Receiver"),
        _element("Code", _escaped((shape.error_code if shape else None) or error.code)),
        _element("Message", _escaped(error.message or "")),
        *(_element(name, _escaped(str(value))) for name, value in error.members.items()),
    ]
    request = _element("RequestId", _escaped(request_id))
    document = _root(model, "ErrorResponse", _element("Error", "".join(parts)) + request)
    return WireResponse(status, _headers(request_id), document)


def ec2_failure(error: WireError, request_id: str) -> WireResponse:
    """The error as EC2 has it."""
    parts = _element("Code", _escaped(error.code)) + _element("Message", _escaped(error.message or ""))
    errors = _element("Errors", _element("Error", parts))
    document = _root(None, "Response", errors + _element("RequestID", _escaped(request_id)))
    return WireResponse(status_of(error, None), _headers(request_id), document)


def fields(form: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of a form or a query. Raises `WireError`."""
    pieces = form.split(b"&", MOST_FIELDS)
    if len(pieces) > MOST_FIELDS:
        raise WireError("MalformedQueryString", "The query string has too many parameters.", status=400)
    for piece in pieces:
        name, _, value = piece.partition(b"=")
        if name:
            yield _decoded(name), _decoded(value)


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise WireError("MalformedQueryString", "The query string is not UTF-8.", status=400) from None


def _tree(fields: Mapping[str, str]) -> _Tree:
    """Dotted names as nested dictionaries; the text of a node is under the empty name."""
    root: _Tree = {}
    for name, value in fields.items():
        node = root
        for part in name.split(".", 32):
            node = node.setdefault(part, {})
        node[""] = value
    return root


def _structure(shape: Structure, node: _Tree) -> dict[str, Any]:
    params = {}
    for name, member in shape.members.items():
        inner = node.get(member.wire_name)
        if inner is not None:
            params[name] = _value(member, inner)
    return params


def _value(member: Member, node: _Tree) -> Any:
    shape = member.shape
    if isinstance(shape, Structure):
        return _structure(shape, node)
    flattened = member.flattened or (isinstance(shape, ListShape | MapShape) and shape.flattened)
    if isinstance(shape, ListShape):
        items = node if flattened else node.get(shape.element.wire_name, {})
        return [_value(shape.element, item) for item in _numbered(items)]
    if isinstance(shape, MapShape):
        entries = _numbered(node if flattened else node.get("entry", {}))
        key, value = shape.key, shape.value
        return {
            entry[key.wire_name].get("", ""): _value(value, entry.get(value.wire_name, {}))
            for entry in entries
            if key.wire_name in entry
        }
    return _scalar(shape, node.get("", ""))


def _numbered(node: _Tree) -> list[_Tree]:
    return [node[position] for position in sorted(filter(_POSITION.fullmatch, node), key=int)]


def _scalar(shape: Shape, text: str) -> Any:
    try:
        if shape.kind in NUMBERS:
            return json_values.read(shape, float(text) if shape.kind in ("float", "double") else int(text))
        if shape.kind == "boolean":
            return {"true": True, "false": False}[text]
        if shape.kind == "timestamp":
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, KeyError, OverflowError):
        raise serialization_exception() from None
    return json_values.read(shape, text)


def _members(shape: Structure, result: Mapping[str, Any]) -> Iterator[str]:
    for name, member in shape.members.items():
        value = result.get(name)
        if value is not None:
            yield _written(member, value)


def _written(member: Member, value: Any) -> str:
    shape, name = member.shape, member.wire_name
    if isinstance(shape, Structure):
        return _element(name, "".join(_members(shape, value)))
    flattened = member.flattened or (isinstance(shape, ListShape | MapShape) and shape.flattened)
    if isinstance(shape, ListShape):
        element = shape.element
        items = "".join(_named(name if flattened else element.wire_name, element, item) for item in value)
        return items if flattened else _element(name, items)
    if isinstance(shape, MapShape):
        pairs = (_written(shape.key, key) + _written(shape.value, item) for key, item in value.items())
        entries = "".join(_element(name if flattened else "entry", pair) for pair in pairs)
        return entries if flattened else _element(name, entries)
    return _element(name, _escaped(_text(shape, value)))


def _named(name: str, member: Member, value: Any) -> str:
    renamed = Member(name=member.name, shape=member.shape, wire_name=name)
    return _written(renamed, value)


def _text(shape: Shape, value: Any) -> str:
    if shape.kind == "timestamp":
        return json_values.iso8601(value)
    plain = json_values.written(shape, value)
    return str(plain).lower() if shape.kind == "boolean" else str(plain)


def _root(model: ServiceModel | None, name: str, inner: str) -> bytes:
    namespace = f' xmlns="{_escaped(model.xml_namespace)}"' if model and model.xml_namespace else ""
    return f"<{name}{namespace}>{inner}</{name}>".encode()


def _element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


def _escaped(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#xD;", '"': "&quot;"})


def _headers(request_id: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-amzn-RequestId", request_id.encode("ascii")), (b"Content-Type", CONTENT_TYPE))
