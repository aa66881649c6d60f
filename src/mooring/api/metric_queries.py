"""GetMetricData: metrics and expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mooring.api.cloudwatch_answers import as_token, from_token, metric_of, require_period, times_of, unfit
from mooring.control.measuring import evaluation, track
from mooring.errors import Refused
from mooring.hosting.naming import Scope
from mooring.metrics.expressions import names_in
from mooring.metrics.periods import LONGEST_AT_ONCE
from mooring.metrics.statistics import statistic
from mooring.metrics.tracks import Track
from mooring.store.metric_data import MetricData

Params = Mapping[str, Any]

MOST_QUERIES = 500


def get_metric_data(data: MetricData, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """A page of datapoints, in the order of the queries, the newest first unless asked otherwise."""
    queries = params["MetricDataQueries"]
    if not 0 < len(queries) <= MOST_QUERIES:
        raise unfit(f"The parameter MetricDataQueries must have 1 to {MOST_QUERIES} queries.")
    start, end = times_of(params)
    require_queries(queries)
    try:
        results = list(_results(data, queries, scope, start, end))
    except Refused as error:
        raise unfit(str(error)) from None
    ascending = params.get("ScanBy") == "TimestampAscending"
    done = int(from_token(params["NextToken"], 1)[0]) if params.get("NextToken") else 0
    return _page(results, ascending, done, min(params.get("MaxDatapoints", LONGEST_AT_ONCE), LONGEST_AT_ONCE))


def _page(results: list[tuple[str, Track]], ascending: bool, done: int, most: int) -> dict[str, Any]:
    """All results are one row of datapoints, of which `done` were told."""
    told_results: list[dict[str, Any]] = []
    passed, end = 0, done + most
    for name, found in results:
        points = list(found.points.items())
        if not ascending:
            points.reverse()
        first, last = max(done - passed, 0), max(end - passed, 0)
        chosen = points[first:last]
        if chosen or (not done and not points):
            whole = last >= len(points)
            told_results.append(
                {
                    "Id": name,
                    "Label": found.label,
                    "Timestamps": [float(at) for at, _ in chosen],
                    "Values": [value for _, value in chosen],
                    "StatusCode": "Complete" if whole else "PartialData",
                }
            )
        passed += len(points)
    answer: dict[str, Any] = {"MetricDataResults": told_results, "Messages": []}
    if passed > end:
        answer["NextToken"] = as_token(end)
    return answer


def require_queries(queries: Sequence[Params]) -> None:
    """Raises ValidationError for queries that cannot be evaluated, whatever the data."""
    ids = [str(query["Id"]) for query in queries]
    for query in queries:
        name = str(query["Id"])
        if not name[:1].islower() or not name.replace("_", "a").isalnum() or not name.isascii():
            raise unfit(
                f"The value {name} for parameter Id begins with a lower-case letter, then letters, digits and _."
            )
        if ids.count(name) > 1:
            raise unfit(f"The values for parameter Id must be unique: {name} is not.")
        if ("MetricStat" in query) == ("Expression" in query):
            raise unfit(f"The query {name} needs a MetricStat or an Expression, and not both.")
        try:
            if "Expression" in query:
                unknown = names_in(query["Expression"]) - set(ids)
                if unknown:
                    raise Refused(
                        f"The expression {name} uses {', '.join(sorted(unknown))}, which no query has as its Id."
                    )
            else:
                require_period(int(query["MetricStat"]["Period"]))
                statistic(str(query["MetricStat"]["Stat"]))
        except Refused as error:
            raise unfit(str(error)) from None


def _results(
    data: MetricData, queries: Sequence[Params], scope: Scope, start: int, end: int
) -> Iterable[tuple[str, Track]]:
    tracks = {str(query["Id"]): _track(data, query, scope, start, end) for query in queries if "MetricStat" in query}
    evaluated = evaluation(queries, tracks, start, end)
    for query in queries:
        if query.get("ReturnData", True):
            name = str(query["Id"])
            found = evaluated.of(name)
            for each in found:
                label = query.get("Label") or (each.label if "MetricStat" in query or len(found) > 1 else name)
                yield name, Track(label, each.period, each.points)


def _track(data: MetricData, query: Params, scope: Scope, start: int, end: int) -> Track:
    """One metric in periods that begin at multiples of their length."""
    stat = query["MetricStat"]
    period = int(stat["Period"])
    begin = start - start % period
    if (end - begin) // period > LONGEST_AT_ONCE:
        raise unfit(f"The query {query['Id']} asks for more than {LONGEST_AT_ONCE} datapoints.")
    metric_of(scope, stat["Metric"])
    return track(data, scope.account, scope.region, stat, begin, end)
