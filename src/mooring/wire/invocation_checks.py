"""The checks of an invocation, compiled at start: for each header of the operation, its bounds and pattern.

One pass over a request's headers, each a dictionary look-up; a regular expression runs only for a header that is
present and has a pattern, and not again for a short value that has passed before (`text/csv` a million times costs a
set look-up each). A request without violations allocates nothing that lives on. Violations are worded as
`mooring.wire.validation` words them, all together and in the shape's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mooring.wire.errors import WireError
from mooring.wire.json_values import read
from mooring.wire.service_models import ServiceModel
from mooring.wire.shapes import NUMBERS, Member, Shape
from mooring.wire.validation import clause, failed_constraints, framed, member_path, null_clause, rendered

_MOST_REMEMBERED: Final = 256
_LONGEST_REMEMBERED: Final = 128


class _Check:
    """One member's constraints, and some values that met them; that memory only fills, so nobody can thrash it."""

    __slots__ = ("order", "path", "remembered", "shape")

    def __init__(self, order: int, member: Member) -> None:
        self.order = order
        self.shape = member.shape
        self.path = member_path("", member.name)
        self.remembered: set[bytes] = set()

    def clauses(self, value: bytes) -> list[str]:
        """The violations of a value that is not remembered."""
        found = _clauses(self.shape, self.path, value.decode("latin-1"))
        if not found and len(value) <= _LONGEST_REMEMBERED and len(self.remembered) < _MOST_REMEMBERED:
            self.remembered.add(value)
        return found


class InvocationChecks:
    """The checks of one operation, such as InvokeEndpoint. One instance serves all requests of a process."""

    def __init__(self, model: ServiceModel, operation: str, *, body_limit: int | None = None) -> None:
        """`body_limit` stands in for the model's own bound of the payload, where a server is set to take more."""
        shape = model.operation(operation).input
        if shape is None:
            raise ValueError(f"{operation} has no input")
        self._headers: dict[bytes, _Check] = {}
        self._required: list[bytes] = []
        self._label: _Check | None = None
        self._payload: _Check | None = None
        for order, (name, member) in enumerate(shape.members.items()):
            check = _Check(order, member)
            if member.location == "header":
                wire_name = member.wire_name.lower().encode("ascii")
                self._headers[wire_name] = check
                if name in shape.required:
                    self._required.append(wire_name)
            elif member.location == "uri":
                self._label = check
            elif name == shape.payload:
                self._payload = check
        bound = self._payload.shape.maximum if self._payload else None
        modelled = None if bound is None else int(bound)
        self.body_limit: int | None = modelled if body_limit is None else body_limit
        """The most bytes that a body may have; None means no bound."""

    @property
    def headers(self) -> frozenset[bytes]:
        """The headers that the operation has, in lower case."""
        return frozenset(self._headers)

    def violation(
        self, endpoint_name: bytes, headers: Sequence[tuple[bytes, bytes]], body_length: int
    ) -> WireError | None:
        """The ValidationError of a request, or None; the name is percent-decoded, header names are lower-cased."""
        found: list[tuple[int, str]] | None = None
        label = self._label
        if label is not None and endpoint_name not in label.remembered:
            found = _collected(found, label, endpoint_name)
        if self.body_limit is not None and body_length > self.body_limit:
            found = self._too_long(found)
        checks = self._headers
        for name, value in headers:
            check = checks.get(name)
            if check is not None and value not in check.remembered:
                found = _collected(found, check, value)
        if self._required:
            found = self._missing(found, headers)
        if found is None:
            return None
        found.sort(key=_order)
        return WireError("ValidationError", framed([text for _, text in found]))

    def _too_long(self, found: list[tuple[int, str]] | None) -> list[tuple[int, str]]:
        check = self._payload
        path, order = (check.path, check.order) if check else ("body", 0)
        constraint = f"Member must have length less than or equal to {self.body_limit}"
        return [*(found or ()), (order, clause(path, None, constraint))]

    def _missing(
        self, found: list[tuple[int, str]] | None, headers: Sequence[tuple[bytes, bytes]]
    ) -> list[tuple[int, str]] | None:
        present = {name for name, _ in headers}
        absent = [self._headers[name] for name in self._required if name not in present]
        missing = [(check.order, null_clause(check.path)) for check in absent]
        return [*(found or ()), *missing] if missing else found


def _collected(found: list[tuple[int, str]] | None, check: _Check, value: bytes) -> list[tuple[int, str]] | None:
    clauses = check.clauses(value)
    return [*(found or ()), *((check.order, text) for text in clauses)] if clauses else found


def _clauses(shape: Shape, path: str, text: str) -> list[str]:
    value: str | float = text
    if shape.kind in NUMBERS:
        number = _number(shape, text)
        if number is None:
            return [clause(path, text, "Member must be a number")]
        value = number
    shown = None if shape.sensitive else rendered(value)
    return [clause(path, shown, constraint) for constraint in failed_constraints(shape, value)]


def _number(shape: Shape, text: str) -> float | None:
    try:
        value: float = read(shape, int(text) if shape.kind in ("integer", "long") else float(text))
    except (ValueError, WireError):
        return None
    return value


def _order(item: tuple[int, str]) -> int:
    return item[0]
