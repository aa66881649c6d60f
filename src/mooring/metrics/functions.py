"""The functions of metric math, by AWS's names: each takes the request's grid and its arguments.

Left out are those that look elsewhere than at the queries of the request (SEARCH, SELECT, SERVICE_QUOTA,
INSIGHT_RULE_METRIC, LAMBDA, DB_PERF_INSIGHTS) or that learn (ANOMALY_DETECTION_BAND).
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from statistics import pstdev
from typing import Any

from mooring.errors import Refused
from mooring.metrics.tracks import Grid, Track, Value, as_number, as_track, as_tracks, each, joined

Function = Callable[[Grid, list[Any]], Value]


def _elementwise(name: str, function: Callable[[float], float]) -> Function:
    def apply(_: Grid, arguments: list[Any]) -> Value:
        (value,) = _exactly(name, arguments, 1)
        if isinstance(value, str):
            raise Refused(f"{name} takes numbers or time series.")
        return each(value, function)

    return apply


def _aggregate(name: str, function: Callable[[list[float]], float]) -> Function:
    """Of one track its points as one number, of a list the track of what there is at each time."""

    def apply(_: Grid, arguments: list[Any]) -> Value:
        (value,) = _exactly(name, arguments, 1)
        if isinstance(value, Track):
            return float(function(list(value.points.values()))) if value.points else math.nan
        tracks = as_tracks(value, name)
        times = sorted({at for track in tracks for at in track.points})
        points = {at: function([track.points[at] for track in tracks if at in track.points]) for at in times}
        return Track(name, max((track.period for track in tracks), default=60), {}).with_points(points)

    return apply


def _along(name: str, function: Callable[[list[tuple[int, float]]], Iterable[tuple[int, float]]]) -> Function:
    """Of the points of a track, in their order."""

    def apply(_: Grid, arguments: list[Any]) -> Value:
        (value,) = _exactly(name, arguments, 1)
        made = [track.with_points(dict(function(list(track.points.items())))) for track in as_tracks(value, name)]
        return made if isinstance(value, list) else made[0]

    return apply


def _difference(points: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    return ((at, value - before) for (_, before), (at, value) in itertools.pairwise(points))


def _difference_of_times(points: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    return ((at, float(at - before)) for (before, _), (at, _) in itertools.pairwise(points))


def _rate(points: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    pairs = itertools.pairwise(points)
    return ((at, (value - before) / (at - since)) for (since, before), (at, value) in pairs)


def _running_sum(points: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    total = 0.0
    for at, value in points:
        total += value
        yield at, total


def _calendar(part: Callable[[datetime], int]) -> Callable[[list[tuple[int, float]]], Iterable[tuple[int, float]]]:
    return lambda points: ((at, float(part(datetime.fromtimestamp(at, UTC)))) for at, _ in points)


def _fill(grid: Grid, arguments: list[Any]) -> Value:
    value, filling = _exactly("FILL", arguments, 2)
    made = [_filled(grid, track, filling) for track in as_tracks(value, "FILL")]
    return made if isinstance(value, list) else made[0]


def _filled(grid: Grid, track: Track, filling: Any) -> Track:
    points = dict(track.points)
    known = sorted(points)
    for at in grid.times(track.period):
        if at not in points and (made := _filling(track, known, at, filling)) is not None:
            points[at] = made
    return track.with_points(dict(sorted(points.items())))


def _filling(track: Track, known: list[int], at: int, filling: Any) -> float | None:
    if isinstance(filling, float):
        return filling
    if isinstance(filling, Track):
        return filling.points.get(at)
    place = bisect_left(known, at)
    before = known[place - 1] if place else None
    if filling == "REPEAT":
        return None if before is None else track.points[before]
    if filling == "LINEAR":
        after = known[place] if place < len(known) else None
        if before is None or after is None:
            return None
        share = (at - before) / (after - before)
        return track.points[before] * (1 - share) + track.points[after] * share
    raise Refused("FILL takes a time series, and a number, another time series, REPEAT or LINEAR.")


def _if(grid: Grid, arguments: list[Any]) -> Value:
    if len(arguments) not in (2, 3):
        raise Refused("IF takes a condition, and what holds if it is true, and may take what holds if it is not.")
    condition, then, *rest = arguments
    otherwise = rest[0] if rest else None
    if isinstance(condition, float):
        chosen = then if condition else otherwise
        return chosen if isinstance(chosen, float | Track) else math.nan
    track = as_track(condition, "IF")
    points = {}
    for at, value in track.points.items():
        chosen = then if value else otherwise
        held = chosen.points.get(at) if isinstance(chosen, Track) else chosen
        if isinstance(held, float):
            points[at] = held
    return track.with_points(points)


def _time_series(grid: Grid, arguments: list[Any]) -> Value:
    (value,) = _exactly("TIME_SERIES", arguments, 1)
    constant = as_number(value, "TIME_SERIES")
    times = grid.times(grid.period) if math.isfinite(constant) else ()
    return Track("TIME_SERIES", grid.period, dict.fromkeys(times, constant))


def _of_one(name: str, function: Callable[[Track], float]) -> Function:
    def apply(_: Grid, arguments: list[Any]) -> Value:
        (value,) = _exactly(name, arguments, 1)
        return function(as_track(value, name))

    return apply


def _nth(name: str, position: int) -> Function:
    def apply(_: Grid, arguments: list[Any]) -> Value:
        (value,) = _exactly(name, arguments, 1)
        tracks = as_tracks(value, name)
        if not tracks:
            raise Refused(f"{name} takes at least one time series.")
        return tracks[position]

    return apply


def _metric_count(_: Grid, arguments: list[Any]) -> Value:
    (value,) = _exactly("METRIC_COUNT", arguments, 1)
    return float(len(as_tracks(value, "METRIC_COUNT")))


def _remove_empty(_: Grid, arguments: list[Any]) -> Value:
    (value,) = _exactly("REMOVE_EMPTY", arguments, 1)
    return [track for track in as_tracks(value, "REMOVE_EMPTY") if track.points]


def _extreme(name: str, function: Callable[..., float]) -> Function:
    """MAX and MIN, which also compare tracks and numbers with each other."""
    of_one = _aggregate(name, function)

    def apply(grid: Grid, arguments: list[Any]) -> Value:
        if len(arguments) == 1:
            return of_one(grid, arguments)
        if not arguments or not all(isinstance(each, float | Track) for each in arguments):
            raise Refused(f"{name} takes time series and numbers.")
        if not any(isinstance(each, Track) for each in arguments):
            return function(arguments)
        return joined(lambda *values: function(values), *arguments)

    return apply


def _exactly(name: str, arguments: list[Any], count: int) -> list[Any]:
    if len(arguments) != count:
        raise Refused(f"{name} takes {count} argument{'' if count == 1 else 's'}, not {len(arguments)}.")
    return arguments


FUNCTIONS: dict[str, Function] = {
    "ABS": _elementwise("ABS", abs),
    "AVG": _aggregate("AVG", lambda values: sum(values) / len(values)),
    "CEIL": _elementwise("CEIL", lambda value: float(math.ceil(value))),
    "DATAPOINT_COUNT": _of_one("DATAPOINT_COUNT", lambda track: float(len(track.points))),
    "DATE": _along("DATE", _calendar(lambda moment: moment.day)),
    "DAY": _along("DAY", _calendar(lambda moment: moment.isoweekday())),
    "DIFF": _along("DIFF", _difference),
    "DIFF_TIME": _along("DIFF_TIME", _difference_of_times),
    "EPOCH": _along("EPOCH", lambda points: ((at, float(at)) for at, _ in points)),
    "FILL": _fill,
    "FIRST": _nth("FIRST", 0),
    "FLOOR": _elementwise("FLOOR", lambda value: float(math.floor(value))),
    "HOUR": _along("HOUR", _calendar(lambda moment: moment.hour)),
    "IF": _if,
    "LAST": _nth("LAST", -1),
    "LOG": _elementwise("LOG", math.log),
    "LOG10": _elementwise("LOG10", math.log10),
    "MAX": _extreme("MAX", max),
    "METRIC_COUNT": _metric_count,
    "MIN": _extreme("MIN", min),
    "MINUTE": _along("MINUTE", _calendar(lambda moment: moment.minute)),
    "MONTH": _along("MONTH", _calendar(lambda moment: moment.month)),
    "PERIOD": _of_one("PERIOD", lambda track: float(track.period)),
    "RATE": _along("RATE", _rate),
    "REMOVE_EMPTY": _remove_empty,
    "RUNNING_SUM": _along("RUNNING_SUM", _running_sum),
    "STDDEV": _aggregate("STDDEV", pstdev),
    "SUM": _aggregate("SUM", sum),
    "TIME_SERIES": _time_series,
    "YEAR": _along("YEAR", _calendar(lambda moment: moment.year)),
}
