"""Shapes of an AWS service, as small objects made from a model document.

A shape is made when it is first asked for, so a process pays for the operations that it serves and not for the 3,000
shapes of SageMaker. Shapes may contain themselves; they are immutable once made, and compare by identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NUMBERS: Final = frozenset({"integer", "long", "float", "double"})


@dataclass(slots=True, eq=False)
class Shape:
    """What all shapes have; of this very class are the kinds without inner shapes (string, integer, blob, ...)."""

    name: str
    kind: str
    minimum: int | float | None = None
    maximum: int | float | None = None
    sensitive: bool = False
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    timestamp_format: str | None = None


@dataclass(slots=True, eq=False)
class Member:
    """A place inside a shape, with what the wire calls it there."""

    name: str
    shape: Shape
    wire_name: str
    location: str | None = None
    """``header``, ``headers``, ``uri``, ``querystring``, ``statusCode``; None means the body."""
    flattened: bool = False
    timestamp_format: str | None = None


@dataclass(slots=True, eq=False)
class Structure(Shape):
    """Members in the model's order, which is the order of AWS's messages."""

    members: dict[str, Member] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    payload: str | None = None
    is_error: bool = False
    error_code: str | None = None
    error_status: int | None = None


@dataclass(slots=True, eq=False)
class ListShape(Shape):
    """A list of one element shape."""

    element: Member = field(kw_only=True)
    flattened: bool = False


@dataclass(slots=True, eq=False)
class MapShape(Shape):
    """A map; keys are strings."""

    key: Member = field(kw_only=True)
    value: Member = field(kw_only=True)
    flattened: bool = False


class ShapeTable:
    """The shapes of one document, made on demand."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._documents = documents
        self._made: dict[str, Shape] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._documents

    def names(self) -> list[str]:
        """All names, in the document's order."""
        return list(self._documents)

    def shape(self, name: str) -> Shape:
        """The shape of that name; KeyError if there is none."""
        made = self._made.get(name)
        return made if made is not None else self._make(name)

    def structure(self, name: str) -> Structure:
        """The structure of that name."""
        shape = self.shape(name)
        if not isinstance(shape, Structure):
            raise TypeError(f"{name} is a {shape.kind}, not a structure")
        return shape

    def _make(self, name: str) -> Shape:
        document = self._documents[name]
        common = {
            "name": name,
            "kind": document["type"],
            "minimum": document.get("min"),
            "maximum": document.get("max"),
            "sensitive": bool(document.get("sensitive")),
        }
        kind = document["type"]
        if kind == "structure":
            return self._structure(name, document, common)
        if kind == "list":
            element = self._member("member", document["member"])
            shape: Shape = ListShape(**common, element=element, flattened=bool(document.get("flattened")))
        elif kind == "map":
            key, value = self._member("key", document["key"]), self._member("value", document["value"])
            shape = MapShape(**common, key=key, value=value, flattened=bool(document.get("flattened")))
        else:
            shape = Shape(
                **common,
                pattern=document.get("pattern"),
                enum=tuple(document.get("enum", ())),
                timestamp_format=document.get("timestampFormat"),
            )
        return self._made.setdefault(name, shape)

    def _structure(self, name: str, document: Mapping[str, Any], common: dict[str, Any]) -> Structure:
        error = document.get("error", {})
        shape = Structure(
            **common,
            required=frozenset(document.get("required", ())),
            payload=document.get("payload"),
            is_error=bool(document.get("exception") or error),
            error_code=error.get("code"),
            error_status=error.get("httpStatusCode"),
        )
        self._made[name] = shape  # before its members: a structure may contain itself
        for member_name, member in document.get("members", {}).items():
            shape.members[member_name] = self._member(member_name, member)
        return shape

    def _member(self, name: str, document: Mapping[str, Any]) -> Member:
        return Member(
            name=name,
            shape=self.shape(document["shape"]),
            wire_name=document.get("locationName", name),
            location=document.get("location"),
            flattened=bool(document.get("flattened")),
            timestamp_format=document.get("timestampFormat"),
        )
