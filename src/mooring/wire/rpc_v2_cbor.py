"""Smithy's RPC v2 in CBOR, which some SDKs prefer for CloudWatch and a few others: all in the path, bodies of maps.

`POST /service/NAME/operation/NAME` with the header `smithy-protocol`; the service is named as in an `X-Amz-Target`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from mooring.wire import cbor
from mooring.wire.errors import WireError, WireResponse, serialization_exception, status_of
from mooring.wire.shapes import ListShape, MapShape, Shape, Structure

CONTENT_TYPE: Final = b"application/cbor"
HEADER: Final = b"smithy-protocol"
VERSION: Final = b"rpc-v2-cbor"

_PATH = re.compile(rb"/service/([A-Za-z0-9_.]{1,128})/operation/([A-Za-z0-9_]{1,128})")


def addressed(path: bytes, version: bytes | None) -> tuple[str, str] | None:
    """Service and operation of a path, when the header `smithy-protocol` says that this is the protocol."""
    found = _PATH.fullmatch(path) if version is not None and version.strip() == VERSION else None
    return None if found is None else (found[1].decode("ascii"), found[2].decode("ascii"))


def parameters(body: bytes) -> dict[str, Any]:
    """The members that a body gives, by no shape; times are float seconds. Raises SerializationException."""
    try:
        found = cbor.decoded(body) if body else {}
    except ValueError as error:
        raise serialization_exception(str(error)) from None
    if not isinstance(found, dict):
        raise serialization_exception("Expected a map")
    return found


def success(shape: Structure | None, result: Mapping[str, Any], request_id: str) -> WireResponse:
    """The answer to a result in the form of AWS JSON, by its shape."""
    body = b"" if shape is None else cbor.encoded(_written(shape, result))
    return WireResponse(200, _headers(request_id), body)


def failure(error: WireError, request_id: str) -> WireResponse:
    """The error, as AWS JSON has it too."""
    document: dict[str, Any] = {"__type": error.code}
    if error.message is not None:
        document["message"] = error.message
    document.update(error.members)
    return WireResponse(status_of(error, None), _headers(request_id), cbor.encoded(document))


def _written(shape: Shape, value: Any) -> Any:
    if isinstance(shape, Structure) and isinstance(value, Mapping):
        members = shape.members.items()
        return {name: _written(m.shape, value[name]) for name, m in members if value.get(name) is not None}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_written(shape.element.shape, item) for item in value if item is not None]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {name: _written(shape.value.shape, item) for name, item in value.items() if item is not None}
    if shape.kind == "timestamp" and isinstance(value, int | float):
        return cbor.Timestamp(value)
    if shape.kind in ("float", "double") and isinstance(value, int):
        return float(value)
    return base64.b64decode(value) if shape.kind == "blob" and isinstance(value, str) else value


def _headers(request_id: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-amzn-RequestId", request_id.encode("ascii")),
        (HEADER, VERSION),
        (b"Content-Type", CONTENT_TYPE),
    )
