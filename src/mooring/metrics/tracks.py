"""A time series as expressions have it: numbers at times, a period apart where there are any."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mooring.errors import Refused


@dataclass(frozen=True, slots=True)
class Track:
    """`points` by the start of their period, ascending."""

    label: str
    period: int
    points: dict[int, float]

    def with_points(self, points: dict[int, float]) -> Track:
        """The same with other points, of which those that are no numbers are left out."""
        return Track(self.label, self.period, {at: value for at, value in points.items() if math.isfinite(value)})


Value = float | Track | list[Track]


@dataclass(frozen=True, slots=True)
class Grid:
    """The time that a request is about: from `start` to before `end`, in whole seconds."""

    start: int
    end: int
    period: int
    """Of a track that comes from no metric."""
    aligned: bool = True
    """Periods begin at multiples of their length; else at `start`, as those of alarms do."""

    def times(self, period: int) -> range:
        """The starts of all periods."""
        return range(self.start - self.start % period if self.aligned else self.start, self.end, period)


def number(function: Callable[..., float], *values: float) -> float | None:
    """What a function gives; None where that is no number."""
    try:
        made = function(*values)
    except (ArithmeticError, ValueError):
        return None
    return float(made) if isinstance(made, int | float) and math.isfinite(made) else None


def each(value: Value, function: Callable[[float], float]) -> Value:
    """A function of every number."""
    if isinstance(value, list):
        return [_each(track, function) for track in value]
    if isinstance(value, Track):
        return _each(value, function)
    made = number(function, value)
    return math.nan if made is None else made


def _each(track: Track, function: Callable[[float], float]) -> Track:
    made = {at: number(function, value) for at, value in track.points.items()}
    return track.with_points({at: value for at, value in made.items() if value is not None})


def joined(function: Callable[..., float], *operands: float | Track) -> Track:
    """A function of tracks and numbers, at the times that all tracks have."""
    tracks = [operand for operand in operands if isinstance(operand, Track)]
    first = tracks[0]
    points = {}
    for at in first.points:
        if all(at in track.points for track in tracks):
            values = [operand.points[at] if isinstance(operand, Track) else operand for operand in operands]
            if (made := number(function, *values)) is not None:
                points[at] = made
    return Track(first.label, max(track.period for track in tracks), points)


def as_track(value: Any, function: str) -> Track:
    """Raises `Refused` for what is none."""
    if not isinstance(value, Track):
        raise Refused(f"{function} takes a time series.")
    return value


def as_tracks(value: Any, function: str) -> list[Track]:
    """One track or many. Raises `Refused`."""
    if isinstance(value, Track):
        return [value]
    if isinstance(value, list):
        return value
    raise Refused(f"{function} takes time series.")


def as_number(value: Any, function: str) -> float:
    """Raises `Refused` for what is none."""
    if not isinstance(value, float):
        raise Refused(f"{function} takes a number there.")
    return value
