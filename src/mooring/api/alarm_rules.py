"""Which alarms can be made: PutMetricAlarm's and PutCompositeAlarm's parameters beyond their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.api.cloudwatch_answers import combination, invalid, metric_of, missing, require_period, unfit
from mooring.api.metric_queries import require_queries
from mooring.errors import Refused
from mooring.hosting.naming import Scope
from mooring.metrics.alarms import COMPOSITE, METRIC, Alarm, alarm_arn
from mooring.metrics.composites import rule
from mooring.metrics.evaluating import COMPARISONS
from mooring.metrics.statistics import statistic

Params = Mapping[str, Any]

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
SHORT_PERIODS = (10, 20, 30)
LONGEST_WINDOW_S = 86_400
LONGEST_WINDOW_OF_HOURS_S = 7 * 86_400
_LOW_SAMPLES = ("evaluate", "ignore")
_OF_ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit")
_NOT_HERE = {
    "ThresholdMetricId": "anomaly detection",
    "EvaluationCriteria": "EvaluationCriteria",
    "EvaluationInterval": "EvaluationInterval",
    "EvaluationWindow": "EvaluationWindow",
    "WarmUpConfiguration": "WarmUpConfiguration",
    "ActionConfiguration": "ActionConfiguration",
    "ActionsSuppressor": "ActionsSuppressor",
}


def alarm_of_metric(params: Params, scope: Scope, now: float) -> Alarm:
    """The alarm that PutMetricAlarm defines. Raises `WireError`."""
    _require_had(params)
    definition = {name: value for name, value in params.items() if name != "Tags"}
    for name in ("EvaluationPeriods", "ComparisonOperator", "Threshold"):
        if name not in params:
            raise missing(f"The parameter {name} is required.")
    if params["ComparisonOperator"] not in COMPARISONS:
        raise unfit("Mooring does not have anomaly detection, which this ComparisonOperator is for.")
    if not 1 <= params.get("DatapointsToAlarm", 1) <= params["EvaluationPeriods"]:
        raise unfit("DatapointsToAlarm must be at least 1 and at most EvaluationPeriods.")
    if params.get("TreatMissingData", "missing") not in TREATMENTS:
        raise invalid(
            f"The value {params['TreatMissingData']} for TreatMissingData is none of {', '.join(TREATMENTS)}."
        )
    if params.get("EvaluateLowSampleCountPercentile", "evaluate") not in _LOW_SAMPLES:
        raise unfit(f"EvaluateLowSampleCountPercentile must be one of {', '.join(_LOW_SAMPLES)}.")
    if "Metrics" in params:
        _require_one_track(params)
    else:
        _require_metric(params, scope)
    alarm = _alarm(METRIC, definition, scope, now)
    longest = LONGEST_WINDOW_OF_HOURS_S if alarm.period >= 3600 else LONGEST_WINDOW_S
    if alarm.period * params["EvaluationPeriods"] > longest:
        raise unfit(f"Metrics cannot be checked across more than {longest} seconds (EvaluationPeriods * Period).")
    return alarm


def _require_metric(params: Params, scope: Scope) -> None:
    for name in ("MetricName", "Namespace", "Period"):
        if name not in params:
            raise missing(f"The parameter {name} is required, or Metrics.")
    metric_of(scope, params)
    if ("Statistic" in params) == ("ExtendedStatistic" in params):
        raise combination("An alarm on a metric needs a Statistic or an ExtendedStatistic, and not both.")
    try:
        statistic(str(params.get("Statistic") or params.get("ExtendedStatistic")))
    except Refused as error:
        raise invalid(str(error)) from None
    _require_alarm_period(int(params["Period"]))


def _require_one_track(params: Params) -> None:
    given = [name for name in _OF_ONE_METRIC if params.get(name)]
    if given:
        raise combination(f"Metrics and {', '.join(given)} exclude each other.")
    queries = params["Metrics"]
    require_queries(queries)
    returned = [query for query in queries if query.get("ReturnData", True)]
    if len(returned) != 1:
        raise unfit("Exactly one element of the metrics list should return data.")
    periods = [int(query["MetricStat"]["Period"]) for query in queries if "MetricStat" in query]
    if not periods:
        raise unfit("At least one element of the metrics list must be a metric.")
    if len(set(periods)) > 1:
        raise unfit("The metrics of an alarm must have one period.")
    _require_alarm_period(periods[0])


def _require_alarm_period(period: int) -> None:
    require_period(period)
    if period < 60 and period not in SHORT_PERIODS:
        raise unfit(f"The period of an alarm is {', '.join(map(str, SHORT_PERIODS))} or a multiple of 60.")


def alarm_of_composite(params: Params, scope: Scope, now: float) -> Alarm:
    """The alarm that PutCompositeAlarm defines. Raises `WireError`."""
    _require_had(params)
    try:
        rule(params["AlarmRule"])
    except Refused as error:
        raise unfit(f"AlarmRule must be valid: {error}") from None
    definition = {name: value for name, value in params.items() if name != "Tags"}
    return _alarm(COMPOSITE, definition, scope, now)


def _require_had(params: Params) -> None:
    for name, what in _NOT_HERE.items():
        if params.get(name):
            raise unfit(f"Mooring does not have {what} of alarms: leave {name} out.")


def _alarm(kind: str, definition: dict[str, Any], scope: Scope, now: float) -> Alarm:
    name = definition["AlarmName"]
    return Alarm(
        scope.account, scope.region, alarm_arn(scope, name), kind, definition, now, updated_at=now, transitioned_at=now
    )
