"""Metric math: expressions over time series.

A value is a number, a `Track` or a list of tracks, as AWS's S, TS and TS[]. Two tracks meet where both have a point;
what has no number as its result (a division by zero) has no point. What is not in `FUNCTIONS` is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mooring.errors import Refused
from mooring.metrics.functions import FUNCTIONS, Function
from mooring.metrics.syntax import Tree, parsed
from mooring.metrics.tracks import Grid, Track, Value, each, joined, number

_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
    "<": lambda a, b: float(a < b),
    ">": lambda a, b: float(a > b),
    "<=": lambda a, b: float(a <= b),
    ">=": lambda a, b: float(a >= b),
    "==": lambda a, b: float(a == b),
    "!=": lambda a, b: float(a != b),
    "&&": lambda a, b: float(bool(a) and bool(b)),
    "||": lambda a, b: float(bool(a) or bool(b)),
}


MOST_POINTS = 2_000_000
"""That all steps of one evaluation may make together."""
MOST_TRACKS = 500
"""Of a list: as many as a request has queries. Lists of lists grow by powers, also where no track has a point."""
TRACK_WEIGHT = 20
"""Points that a track counts as, beside its own."""


@dataclass(slots=True)
class Evaluation:
    """The queries of one request: tracks of metrics by id, expressions by id, each evaluated when it is asked for."""

    tracks: Mapping[str, Track]
    expressions: Mapping[str, str]
    grid: Grid
    _values: dict[str, Value] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _made: int = 0

    def of(self, name: str) -> list[Track]:
        """The tracks of one id. Raises `Refused`."""
        try:
            value = self._named(name)
        except RecursionError:
            raise Refused(f"The expression {name} depends on others through too many steps.") from None
        if isinstance(value, float):
            raise Refused(
                f"The expression {name} gives a number: it has to give a time series, as FILL or TIME_SERIES do."
            )
        return [value] if isinstance(value, Track) else value

    def _named(self, name: str) -> Value:
        if name in self.tracks:
            return self.tracks[name]
        if name in self._values:
            return self._values[name]
        if name not in self.expressions:
            raise Refused(f"There is no query with the Id {name!r} that an expression could use.")
        if name in self._open:
            raise Refused(f"The expression {name} depends on itself.")
        self._open.add(name)
        value = self._values[name] = self._value(parsed(self.expressions[name]))
        self._open.discard(name)
        return value

    def _value(self, tree: Tree) -> Value:
        return self._counted(self._step(tree))

    def _counted(self, value: Value) -> Value:
        if not isinstance(value, float):
            tracks = [value] if isinstance(value, Track) else value
            self._made += sum(TRACK_WEIGHT + len(track.points) for track in tracks)
            if self._made > MOST_POINTS:
                raise Refused(f"The expressions make more than {MOST_POINTS} datapoints: ask for less at a time.")
        return value

    def _step(self, tree: Tree) -> Value:
        match tree:
            case ("number", value):
                return float(value)
            case ("name", name):
                return self._named(name)
            case ("list", items):
                return self._list(items)
            case ("negative", operand):
                return each(self._value(operand), lambda value: -value)
            case ("chain", first, others):
                value = self._value(first)
                for operator, operand in others:
                    value = self._counted(_combined(_OPERATORS[operator], value, self._value(operand)))
                return value
            case ("call", name, arguments):
                return self._call(name, arguments)
        raise Refused("A text can only be an argument of METRICS.")

    def _list(self, items: list[Tree]) -> list[Track]:
        found: list[Track] = []
        for item in items:
            found += _tracks(self._value(item))
            if len(found) > MOST_TRACKS:
                raise Refused(f"A list in an expression may hold {MOST_TRACKS} time series.")
        return found

    def _call(self, name: str, arguments: list[Tree]) -> Value:
        if name == "METRICS":
            return list(self._metrics(arguments))
        # A word such as REPEAT in FILL is no query's id.
        return _function(name)(self.grid, [self._argument(each) for each in arguments])

    def _argument(self, tree: Tree) -> Any:
        if tree[0] == "text" or (tree[0] == "name" and tree[1].isupper()):
            return tree[1]
        return self._value(tree)

    def _metrics(self, arguments: list[Tree]) -> Iterable[Track]:
        wanted = arguments[0][1] if arguments and arguments[0][0] == "text" else ""
        return [track for name, track in self.tracks.items() if wanted in name]


def names_in(expression: str) -> set[str]:
    """The ids that an expression uses; those of metrics only through METRICS are not among them.

    Raises `Refused`, also for a function that is not here, which an alarm else would miss only when it is evaluated.
    """
    return set(_names(parsed(expression)))


def _names(tree: Any) -> Iterable[str]:
    if isinstance(tree, list):
        for inner in tree:
            yield from _names(inner)
    elif isinstance(tree, tuple):
        if tree[0] == "name" and not tree[1].isupper():
            yield tree[1]
        if tree[0] == "call" and tree[1] != "METRICS":
            _function(tree[1])
        for inner in tree[1:]:
            yield from _names(inner)


def _function(name: str) -> Function:
    found = FUNCTIONS.get(name)
    if found is None:
        raise Refused(f"Mooring does not have the function {name}: it has {', '.join(sorted(FUNCTIONS))} and METRICS.")
    return found


def _tracks(value: Value) -> list[Track]:
    if isinstance(value, float):
        raise Refused("A list in an expression holds time series, and no numbers.")
    return [value] if isinstance(value, Track) else value


def _combined(operator: Callable[[float, float], float], left: Value, right: Value) -> Value:
    if isinstance(left, float) and isinstance(right, float):
        made = number(operator, left, right)
        return math.nan if made is None else made
    if isinstance(left, list):
        if isinstance(right, list):
            raise Refused("Two lists of time series cannot be combined by an operator.")
        return [joined(operator, one, right) for one in left]
    if isinstance(right, list):
        return [joined(operator, left, one) for one in right]
    return joined(operator, left, right)
