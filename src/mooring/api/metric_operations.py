"""CloudWatch's operations on metrics: ListMetrics, GetMetricStatistics and PutMetricData.

Each reads or writes `MetricData` on the thread of the metrics; GetMetricData is in `metric_queries`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mooring.api.cloudwatch_answers import (
    as_token,
    combination,
    from_token,
    invalid,
    metric_of,
    missing,
    period_level,
    require_period,
    times_of,
)
from mooring.errors import Refused
from mooring.hosting.naming import Scope
from mooring.metrics.distributions import Distribution
from mooring.metrics.periods import in_periods
from mooring.metrics.series import Metric, Point, Series, dimensions
from mooring.metrics.statistics import statistic
from mooring.store.metric_data import MetricData

Params = Mapping[str, Any]

LISTED_AT_ONCE = 500
LISTED_S = 14 * 86_400
RECENT_S = 3 * 3600
MOST_DATAPOINTS = 1440
MOST_DATA = 1000
MOST_VALUES = 150
OLDEST_S = 14 * 86_400
NEWEST_S = 2 * 3600
LARGEST_VALUE = 2.0**360


def list_metrics(data: MetricData, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """Metrics that had data lately, by name."""
    lately = now - (RECENT_S if params.get("RecentlyActive") else LISTED_S)
    wanted = [(each["Name"], each.get("Value")) for each in params.get("Dimensions", ())]
    found = {
        series.metric
        for series, known in data.series().items()
        if known.last_at >= lately and _is_listed(series, params, scope, wanted)
    }
    listed = sorted(found, key=lambda metric: metric[2:])
    if token := params.get("NextToken"):
        namespace, name, pairs = from_token(token, 3)
        last = (namespace, name, dimensions([(str(key), str(value)) for key, value in pairs]))
        listed = [metric for metric in listed if metric[2:] > last]
    answer: dict[str, Any] = {"Metrics": [described(metric) for metric in listed[:LISTED_AT_ONCE]]}
    if len(listed) > LISTED_AT_ONCE:
        answer["NextToken"] = as_token(*listed[LISTED_AT_ONCE - 1][2:])
    return answer


def described(metric: Metric) -> dict[str, Any]:
    """A metric as CloudWatch tells it."""
    pairs = [{"Name": name, "Value": value} for name, value in metric.dimensions]
    return {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": pairs}


def _is_listed(series: Series, params: Params, scope: Scope, wanted: list[tuple[str, str | None]]) -> bool:
    if (series.account, series.region) != (scope.account, scope.region):
        return False
    if params.get("Namespace") not in (None, series.namespace) or params.get("MetricName") not in (None, series.name):
        return False
    own = dict(series.dimensions)
    return all(name in own and value in (None, own[name]) for name, value in wanted)


def get_metric_statistics(data: MetricData, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """Datapoints of one metric, each unit for itself, in no particular order."""
    simple, extended = params.get("Statistics", []), params.get("ExtendedStatistics", [])
    if not simple and not extended:
        raise missing("At least one of the parameters Statistics and ExtendedStatistics must be specified.")
    period = int(params["Period"])
    require_period(period)
    start, end = times_of(params)
    origin = start - start % min(period, 60)
    asked = math.ceil((end - origin) / period)
    if asked > MOST_DATAPOINTS:
        raise combination(
            f"You have requested up to {asked:,} datapoints, which exceeds the limit of {MOST_DATAPOINTS:,}. You may "
            "reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    functions = {name: _statistic(name) for name in (*simple, *extended)}
    found = []
    level = period_level(period, origin)
    for series in data.of_metric(metric_of(scope, params), params.get("Unit")):
        periods = in_periods([data.points(series, level, origin, end)], origin, period)
        for at, seen in periods.items():
            values = {name: value for name, of in functions.items() if (value := of(seen)) is not None}
            datapoint: dict[str, Any] = {name: values[name] for name in simple if name in values}
            if kept := {name: values[name] for name in extended if name in values}:
                datapoint["ExtendedStatistics"] = kept
            if datapoint:
                found.append({"Timestamp": float(at), **datapoint, "Unit": series.unit})
    return {"Label": params["MetricName"], "Datapoints": found}


def _statistic(name: str) -> Any:
    try:
        return statistic(name)
    except Refused as error:
        raise invalid(str(error)) from None


def points_of(params: Params, scope: Scope, now: float) -> list[Point]:
    """What a PutMetricData publishes. Raises `WireError`."""
    namespace = str(params["Namespace"])
    if namespace.startswith("AWS/"):
        raise invalid(f"The value {namespace} for parameter Namespace is invalid.")
    data = [*params.get("MetricData", ())]
    for entity in params.get("EntityMetricData", ()):
        data += entity.get("MetricData", ())
    if not data:
        raise missing("The parameter MetricData is required.")
    if len(data) > MOST_DATA:
        raise invalid(f"The collection MetricData must not have a size greater than {MOST_DATA}.")
    return [_point(datum, where, namespace, scope, now) for where, datum in enumerate(data, 1)]


def _point(datum: Params, where: int, namespace: str, scope: Scope, now: float) -> Point:
    at = float(datum.get("Timestamp", now))
    member = f"MetricData.member.{where}"
    if not now - OLDEST_S <= at <= now + NEWEST_S:
        raise invalid(
            f"The parameter {member}.Timestamp must specify a time within the past two weeks and no more than two "
            "hours in the future."
        )
    if datum.get("StorageResolution", 60) not in (1, 60):
        raise invalid(f"The parameter {member}.StorageResolution must be 1 or 60.")
    series = Series(*metric_of(scope, {**datum, "Namespace": namespace}), str(datum.get("Unit", "None")))
    return Point(series, int(at), _seen(datum, member))


def _seen(datum: Params, member: str) -> Distribution:
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if len(given) != 1:
        raise combination(
            f"The parameters {member}.Value, Values and StatisticValues exclude each other, and one is needed."
        )
    if any(not abs(number) <= LARGEST_VALUE for number in _numbers(datum)):
        raise invalid(f"The parameter {member}.{given[0]} must be between -2^360 and 2^360.")
    if given == ["Value"]:
        return Distribution.repeated(float(datum["Value"]), 1.0)
    if given == ["Values"]:
        values = datum["Values"]
        counts = datum.get("Counts", [1.0] * len(values))
        if len(counts) != len(values) or not values or len(values) > MOST_VALUES or min(counts) <= 0:
            raise invalid(f"{member}.Values has 1 to {MOST_VALUES} numbers, and Counts one above 0 for each of them.")
        return Distribution.weighted(zip(values, counts, strict=True))
    summary = datum["StatisticValues"]
    count, total, least, most = (float(summary[name]) for name in ("SampleCount", "Sum", "Minimum", "Maximum"))
    if count <= 0 or least > most:
        raise invalid(f"{member}.StatisticValues has a SampleCount above 0, and a Minimum up to the Maximum.")
    return Distribution.summarized(count, total, least, most)


def _numbers(datum: Params) -> Iterator[float]:
    if "Value" in datum:
        yield datum["Value"]
    yield from datum.get("Values", ())
    yield from datum.get("Counts", ())
    yield from datum.get("StatisticValues", {}).values()
