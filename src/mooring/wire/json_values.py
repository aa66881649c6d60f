"""JSON values to parameters and back, by shape.

Parameters are plain Python: str, bool, int, float, bytes for blobs, and **float seconds since the epoch** for
timestamps, so that all but blobs can be stored as JSON. Reading drops unknown members (a newer SDK sends fields that
this model lacks) and takes null as absent; a value of the wrong JSON type is a SerializationException.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from mooring.wire.errors import serialization_exception
from mooring.wire.shapes import ListShape, MapShape, Shape, Structure

_EARLIEST: Final = -62_135_596_800  # year 1
_LATEST: Final = 253_402_300_799  # year 9999
_BITS = {"integer": 31, "long": 63}
_ARTICLES = {"integer": "an Integer", "long": "a Long", "float": "a Float", "double": "a Double"}


def loaded(body: bytes) -> Any:
    """The JSON text of a body; nothing at all reads as an empty object."""
    if not body:
        return {}
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise serialization_exception() from None


def dumped(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def read(shape: Shape, value: Any) -> Any:
    """A JSON value as a parameter of that shape."""
    if isinstance(shape, Structure):
        return read_members(shape, value)
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            _refuse(value, "Expected list or null")
        element = shape.element.shape
        return [None if item is None else read(element, item) for item in value]
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            _refuse(value, "Expected map or null")
        inner = shape.value.shape
        return {_text(name): None if item is None else read(inner, item) for name, item in value.items()}
    return _read_scalar(shape, value)


def read_members(shape: Structure, value: Any) -> dict[str, Any]:
    """A JSON object as the body members of a structure, in the shape's order."""
    if not isinstance(value, dict):
        _refuse(value, "Expected map or null")
    params = {}
    for name, member in shape.members.items():
        item = value.get(member.wire_name) if member.location is None else None
        if item is not None:
            params[name] = read(member.shape, item)
    return params


def written(shape: Shape, value: Any, timestamp_format: str | None = None) -> Any:
    """A result as what `dumped` takes; members that are None or unknown to the shape are left out."""
    if isinstance(shape, Structure):
        return written_members(shape, value)
    if isinstance(shape, ListShape):
        return [written(shape.element.shape, item) for item in value if item is not None]
    if isinstance(shape, MapShape):
        return {str(key): written(shape.value.shape, item) for key, item in value.items() if item is not None}
    return _written_scalar(shape, value, timestamp_format)


def written_members(shape: Structure, result: Mapping[str, Any]) -> dict[str, Any]:
    """The body members of a structure, in the shape's order."""
    return {
        member.wire_name: written(member.shape, result[name], member.timestamp_format)
        for name, member in shape.members.items()
        if member.location is None and result.get(name) is not None
    }


def epoch_seconds(value: float | datetime) -> float:
    """A result's timestamp, which may be a datetime, as float seconds."""
    return value.timestamp() if isinstance(value, datetime) else float(value)


def iso8601(value: float | datetime) -> str:
    """A timestamp as `2026-01-31T12:00:00Z`, with milliseconds only where there are some."""
    moment = datetime.fromtimestamp(round(epoch_seconds(value), 3), UTC)
    spec = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")


def _read_scalar(shape: Shape, value: Any) -> Any:
    kind = shape.kind
    if kind == "string":
        return _text(value) if isinstance(value, str) else _refuse_type(value, "String")
    if kind == "boolean":
        return value if isinstance(value, bool) else _refuse_type(value, "Boolean")
    if kind == "blob":
        return _read_blob(value) if isinstance(value, str) else _refuse_type(value, "Blob")
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse_type(value, _ARTICLES.get(kind, "a Timestamp"))
    return _read_number(kind, value)


def _read_number(kind: str, value: float) -> float:
    bits = _BITS.get(kind)
    if bits is not None:
        if not -(2**bits) <= value < 2**bits or value != int(value):
            _refuse_type(value, _ARTICLES[kind])
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (kind == "timestamp" and not _EARLIEST <= number <= _LATEST):
        _refuse_type(value, _ARTICLES.get(kind, "a Timestamp"))
    return number


def _read_blob(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise serialization_exception() from None


def _written_scalar(shape: Shape, value: Any, timestamp_format: str | None) -> Any:
    kind = shape.kind
    if kind == "timestamp":
        named = timestamp_format or shape.timestamp_format
        return iso8601(value) if named == "iso8601" else round(epoch_seconds(value), 3)
    if kind in ("float", "double"):
        number = float(value)
        return number if math.isfinite(number) else str(number).replace("inf", "Infinity").replace("nan", "NaN")
    if kind in _BITS:
        return int(value)
    if kind == "boolean":
        return bool(value)
    return base64.b64encode(value).decode("ascii") if kind == "blob" else str(value)


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode("utf-8")  # a lone surrogate, written as an escape, is no text
        except UnicodeEncodeError:
            raise serialization_exception() from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_type(value: Any, wanted: str) -> NoReturn:
    can_not = "cannot" if wanted in ("String", "Boolean", "Blob") else "can not"
    _refuse(value, f"{_token(value)} {can_not} be converted to {wanted}")


def _refuse(value: Any, otherwise: str) -> NoReturn:
    if isinstance(value, dict):
        raise serialization_exception("Start of structure or map found where not expected.")
    if isinstance(value, list):
        raise serialization_exception("Start of list found where not expected.")
    raise serialization_exception(otherwise)


def _token(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    return "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"
