"""Parameters against their shape, in AWS's own words.

All violations of one request are told together, in the order of the request's shape; one place's length comes before
its pattern. Hostile input stays cheap: a value far longer than its maximum is told to be too long and not matched any
further, and after `MOST_VIOLATIONS` the counting stops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from mooring.wire.errors import WireError
from mooring.wire.patterns import matcher
from mooring.wire.shapes import NUMBERS, ListShape, MapShape, Shape, Structure

MOST_VIOLATIONS: Final = 250
LONGEST_MATCHED: Final = 65_536
"""No value of more characters meets a pattern: nothing legitimate is as long, and matching costs time."""

_NOT_NULL: Final = "Member must not be null"


def require_valid(shape: Structure | None, params: Mapping[str, Any], code: str = "ValidationException") -> None:
    """Raise a `WireError` with that code if `params` violate the shape."""
    clauses = violations(shape, params) if shape is not None else []
    if clauses:
        raise WireError(code, framed(clauses), status=400)


def violations(shape: Structure, params: Mapping[str, Any]) -> list[str]:
    """One clause per violation; empty when `params` are valid."""
    clauses: list[str] = []
    _structure(clauses, shape, params, "")
    return clauses[:MOST_VIOLATIONS]


def framed(clauses: Sequence[str]) -> str:
    """The message around the clauses."""
    plural = "" if len(clauses) == 1 else "s"
    return f"{len(clauses)} validation error{plural} detected: {'; '.join(clauses)}"


def clause(path: str, value: str | None, constraint: str) -> str:
    """One violation; `value` None hides it, as AWS does for sensitive members and blobs."""
    shown = "Value" if value is None else f"Value '{value}'"
    return f"{shown} at '{path}' failed to satisfy constraint: {constraint}"


def null_clause(path: str) -> str:
    """A required member that is absent."""
    return f"Value null at '{path}' failed to satisfy constraint: {_NOT_NULL}"


def member_path(prefix: str, name: str) -> str:
    """The path of a member: only its first letter changes, `S3OutputPath` is `s3OutputPath`."""
    lowered = name[:1].lower() + name[1:]
    return f"{prefix}.{lowered}" if prefix else lowered


def constraints(shape: Shape) -> list[str]:
    """All constraints that a shape states, for messages about the elements of a list or map."""
    stated = [_enum_constraint(shape)] if shape.enum else []
    stated += [_bound_constraint(shape, bound, less=less) for bound, less in _bounds(shape) if bound is not None]
    return [*stated, _pattern_constraint(shape)] if shape.pattern is not None else stated


def failed_constraints(shape: Shape, value: Any) -> list[str]:
    """Those of the constraints that one value without inner values fails."""
    if shape.kind == "timestamp" or shape.kind == "boolean":
        return []
    size = value if shape.kind in NUMBERS else len(value)
    failed = [_enum_constraint(shape)] if shape.enum and value not in shape.enum else []
    for bound, less in _bounds(shape):
        if bound is not None and (size > bound if less else size < bound):
            failed.append(_bound_constraint(shape, bound, less=less))
    if shape.pattern is not None and not absurdly_long(shape, size) and not _matches(shape.pattern, value):
        failed.append(_pattern_constraint(shape))
    return failed


def absurdly_long(shape: Shape, length: float) -> bool:
    """So far over the maximum that looking inside would only serve an attacker."""
    return shape.maximum is not None and length > 4 * shape.maximum + 256


def rendered(value: Any) -> str:
    """A value as AWS prints it: Java's `toString`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _java_double(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={rendered(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[...]" if any(isinstance(item, dict) for item in value) else f"[{', '.join(map(rendered, value))}]"
    return "null" if value is None else str(value)


def _structure(clauses: list[str], shape: Structure, params: Mapping[str, Any], prefix: str) -> None:
    for name, member in shape.members.items():
        if len(clauses) >= MOST_VIOLATIONS:
            return
        value = params.get(name)
        if value is not None:
            _value(clauses, member.shape, value, member_path(prefix, name))
        elif name in shape.required:
            clauses.append(null_clause(member_path(prefix, name)))


def _value(clauses: list[str], shape: Shape, value: Any, path: str) -> None:
    if isinstance(shape, Structure):
        _structure(clauses, shape, value, path)
    elif isinstance(shape, ListShape):
        _list(clauses, shape, value, path)
    elif isinstance(shape, MapShape):
        _map(clauses, shape, value, path)
    else:
        shown = None if _is_hidden(shape) else rendered(value)
        clauses.extend(clause(path, shown, constraint) for constraint in failed_constraints(shape, value))


def _list(clauses: list[str], shape: ListShape, value: list[Any], path: str) -> None:
    element = shape.element.shape
    shown = None if _is_hidden(shape) or _is_hidden(element) else _shown_list(element, value)
    clauses.extend(clause(path, shown, constraint) for constraint in failed_constraints(shape, value))
    if absurdly_long(shape, len(value)):
        return
    if not isinstance(element, Structure | ListShape | MapShape):
        if any(item is None or failed_constraints(element, item) for item in value):
            stated = ", ".join([*constraints(element), _NOT_NULL])
            clauses.append(clause(path, shown, f"Member must satisfy constraint: [{stated}]"))
        return
    for position, item in enumerate(value, 1):
        if len(clauses) >= MOST_VIOLATIONS:
            return
        inner = f"{path}.{position}.member"
        if item is None:
            clauses.append(null_clause(inner))
        else:
            _value(clauses, element, item, inner)


def _map(clauses: list[str], shape: MapShape, value: dict[str, Any], path: str) -> None:
    key, inner = shape.key.shape, shape.value.shape
    simple = not isinstance(inner, Structure | ListShape | MapShape)
    shown = None if any(map(_is_hidden, (shape, key, inner))) else rendered(value) if simple else "{...}"
    clauses.extend(clause(path, shown, constraint) for constraint in failed_constraints(shape, value))
    if absurdly_long(shape, len(value)):
        return
    if any(failed_constraints(key, name) for name in value):
        clauses.append(clause(path, shown, f"Map keys must satisfy constraint: [{', '.join(constraints(key))}]"))
    if any(item is None or (simple and failed_constraints(inner, item)) for item in value.values()):
        stated = [*(constraints(inner) if simple else ()), *([_NOT_NULL] if None in value.values() else ())]
        clauses.append(clause(path, shown, f"Map value must satisfy constraint: [{', '.join(stated)}]"))
    for name, item in () if simple else value.items():
        if item is not None and len(clauses) < MOST_VIOLATIONS:
            _value(clauses, inner, item, f"{path}.{name}.member")


def _bounds(shape: Shape) -> tuple[tuple[int | float | None, bool], tuple[int | float | None, bool]]:
    return ((shape.maximum, True), (shape.minimum, False))


def _bound_constraint(shape: Shape, bound: float, *, less: bool) -> str:
    quality = "value" if shape.kind in NUMBERS else "length"
    return f"Member must have {quality} {'less' if less else 'greater'} than or equal to {bound}"


def _enum_constraint(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _pattern_constraint(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {shape.pattern}"


def _matches(pattern: str, value: str) -> bool:
    return len(value) <= LONGEST_MATCHED and matcher(pattern)(value)


def _is_hidden(shape: Shape) -> bool:
    return shape.sensitive or shape.kind == "blob"


def _shown_list(element: Shape, value: list[Any]) -> str:
    return "[...]" if value and isinstance(element, Structure | ListShape | MapShape) else rendered(value)


def _java_double(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    fraction = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{fraction}E{int(exponent) + len(digits) - 1}"
