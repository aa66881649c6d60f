"""Metrics as queries and alarms ask for them: tracks out of `MetricData`, and expressions over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mooring.errors import Refused
from mooring.metrics.alarms import Alarm, too_few_samples
from mooring.metrics.distributions import Distribution
from mooring.metrics.expressions import Evaluation
from mooring.metrics.periods import LONGEST_AT_ONCE, in_periods, told
from mooring.metrics.series import Metric, dimensions
from mooring.metrics.statistics import statistic
from mooring.metrics.tracks import Grid, Track
from mooring.store.metric_blocks import level_for
from mooring.store.metric_data import MetricData

Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """What an alarm is judged by."""

    window: list[tuple[int, float | None]]
    """The start of each of its periods, the oldest first, and the datapoint if there is one."""
    indistinct: bool = False
    """There are too few samples for the percentile, and the alarm is to stay as it is then."""


def metric(account: str, region: str, members: Members) -> Metric:
    """The metric that `Namespace`, `MetricName` and `Dimensions` name."""
    pairs = [(str(each["Name"]), str(each["Value"])) for each in members.get("Dimensions", ())]
    return Metric(account, region, str(members["Namespace"]), str(members["MetricName"]), dimensions(pairs))


def periods_of(
    data: MetricData, wanted: Metric, unit: str | None, period: int, start: int, end: int
) -> dict[int, Distribution]:
    """What was seen in each period from `start` on, in one unit or in all."""
    level = level_for(math.gcd(period, start))
    found = [data.points(series, level, start, end) for series in data.of_metric(wanted, unit)]
    return in_periods(found, start, period)


def track(data: MetricData, account: str, region: str, stat: Members, start: int, end: int) -> Track:
    """A MetricStat from `start` on."""
    wanted, period = metric(account, region, stat["Metric"]), int(stat["Period"])
    found = periods_of(data, wanted, stat.get("Unit"), period, start, end)
    return Track(wanted.name, period, told(found, statistic(str(stat["Stat"]))))


def evaluation(
    queries: Sequence[Members], tracks: Mapping[str, Track], start: int, end: int, *, aligned: bool = True
) -> Evaluation:
    """The expressions of some queries over the tracks of the others."""
    expressions = {str(query["Id"]): str(query["Expression"]) for query in queries if "Expression" in query}
    given = [int(query["Period"]) for query in queries if query.get("Period")]
    period = max((each.period for each in tracks.values()), default=max(given, default=60))
    if (end - start) // period > LONGEST_AT_ONCE:
        raise Refused(f"The queries ask for more than {LONGEST_AT_ONCE} datapoints: take a longer Period.")
    return Evaluation(tracks, expressions, Grid(start, end, period, aligned))


def measured(data: MetricData, alarm: Alarm, now: float) -> Measured:
    """The datapoints that an alarm is judged by at `now`."""
    start, end = alarm.window(now)
    periods = range(start, end, alarm.period)
    if "Metrics" in alarm.definition:
        found = _of_queries(data, alarm, start, end)
        return Measured([(at, found.get(at)) for at in periods])
    definition = alarm.definition
    wanted = metric(alarm.account, alarm.region, definition)
    seen = periods_of(data, wanted, definition.get("Unit"), alarm.period, start, end)
    values = told(seen, statistic(alarm.statistic))
    last = seen.get(periods[-1])
    few = (
        definition.get("EvaluateLowSampleCountPercentile") == "ignore"
        and last is not None
        and too_few_samples(alarm.statistic, last.count)
    )
    return Measured([(at, values.get(at)) for at in periods], few)


def _of_queries(data: MetricData, alarm: Alarm, start: int, end: int) -> dict[int, float]:
    """The points of the one query that returns data, by the start of the alarm's periods."""
    queries = alarm.definition["Metrics"]
    tracks = {}
    for query in queries:
        if "MetricStat" in query:
            found = track(data, alarm.account, alarm.region, query["MetricStat"], start, end)
            tracks[str(query["Id"])] = found
    returned = next(str(query["Id"]) for query in queries if query.get("ReturnData", True))
    try:
        results = evaluation(queries, tracks, start, end, aligned=False).of(returned)
    except Refused:
        return {}
    return results[0].points if len(results) == 1 else {}
