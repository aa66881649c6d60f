"""CloudWatch's operations on alarms. Each takes the book of alarms, the parameters, the scope, and the time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mooring.api.alarm_rules import alarm_of_composite, alarm_of_metric
from mooring.api.cloudwatch_answers import as_token, combination, from_token, metric_of, not_found, unfit
from mooring.control.alarm_book import AlarmBook, children_of
from mooring.hosting.naming import Scope
from mooring.metrics.alarms import COMPOSITE, METRIC, Alarm
from mooring.metrics.composites import named, rule
from mooring.metrics.evaluating import State
from mooring.store import Connection, alarms, tags

Params = Mapping[str, Any]
Operation = Callable[[AlarmBook, Params, Scope, float], Awaitable[dict[str, Any]]]

LISTED_AT_ONCE = 50
HISTORY_AT_ONCE = 100
MOST_DELETED = 100


async def put_metric_alarm(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    await book.put(alarm_of_metric(params, scope, now), _tags(params))
    return {}


async def put_composite_alarm(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    new = alarm_of_composite(params, scope, now)
    unknown = sorted(name for name in named(rule(params["AlarmRule"])) if book.get(scope, name) is None)
    if unknown:
        raise unfit(f"Could not save the composite alarm as alarms {unknown} in the alarm rule do not exist")
    await book.put(new, _tags(params))
    return {}


def _tags(params: Params) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in params.get("Tags", ())}


async def describe_alarms(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """Without AlarmTypes metric alarms only, unless alarms are named."""
    names, prefix = params.get("AlarmNames"), params.get("AlarmNamePrefix")
    if names and prefix:
        raise combination("AlarmNames and AlarmNamePrefix exclude each other.")
    kinds = params.get("AlarmTypes") or [METRIC]
    found = [
        alarm
        for alarm in _related(book, params, scope)
        if alarm.kind in kinds
        and (not names or alarm.name in names)
        and (not prefix or alarm.name.startswith(prefix))
        and params.get("StateValue") in (None, alarm.state)
        and _acts(alarm, params.get("ActionPrefix"))
    ]
    page, token = _page(found, params, lambda alarm: alarm.name)
    answer: dict[str, Any] = {
        "MetricAlarms": [_described(alarm) for alarm in page if alarm.kind == METRIC],
        "CompositeAlarms": [_described(alarm) for alarm in page if alarm.kind == COMPOSITE],
    }
    return {**answer, **token}


def _related(book: AlarmBook, params: Params, scope: Scope) -> list[Alarm]:
    if (name := params.get("ChildrenOfAlarmName")) is not None:
        parent = book.get(scope, name)
        children = set() if parent is None else children_of(parent)
        return [alarm for alarm in book.of(scope) if alarm.name in children]
    if (name := params.get("ParentsOfAlarmName")) is not None:
        return book.parents_of(scope, name)
    return book.of(scope)


def _acts(alarm: Alarm, prefix: str | None) -> bool:
    members = ("AlarmActions", "OKActions", "InsufficientDataActions")
    actions = [action for member in members for action in alarm.definition.get(member, ())]
    return prefix is None or any(action.startswith(prefix) for action in actions)


def _page(found: list[Any], params: Params, name: Callable[[Any], str]) -> tuple[list[Any], dict[str, str]]:
    if params.get("NextToken"):
        last = str(from_token(params["NextToken"], 1)[0])
        found = [each for each in found if name(each) > last]
    limit = params.get("MaxRecords", LISTED_AT_ONCE)
    token = {"NextToken": as_token(name(found[limit - 1]))} if len(found) > limit else {}
    return found[:limit], token


def _described(alarm: Alarm) -> dict[str, Any]:
    told = {
        **alarm.definition,
        "AlarmArn": alarm.arn,
        "AlarmConfigurationUpdatedTimestamp": alarm.configured_at,
        "StateValue": str(alarm.state),
        "StateReason": alarm.reason,
        "StateUpdatedTimestamp": alarm.updated_at or alarm.configured_at,
        "StateTransitionedTimestamp": alarm.transitioned_at or alarm.configured_at,
        "ActionsEnabled": alarm.definition.get("ActionsEnabled", True),
        **{name: alarm.definition.get(name, []) for name in ("OKActions", "AlarmActions", "InsufficientDataActions")},
    }
    if alarm.kind == METRIC:
        told["Dimensions"] = alarm.definition.get("Dimensions", [])
    return {**told, "StateReasonData": alarm.reason_data} if alarm.reason_data else told


async def describe_alarms_for_metric(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """Alarms on exactly this metric."""
    wanted = metric_of(scope, params)
    found = [
        _described(alarm)
        for alarm in book.of(scope)
        if "MetricName" in alarm.definition
        and metric_of(scope, alarm.definition) == wanted
        and all(
            params.get(name) in (None, alarm.definition.get(name))
            for name in ("Statistic", "ExtendedStatistic", "Period", "Unit")
        )
    ]
    return {"MetricAlarms": found}


async def describe_alarm_history(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """The newest first, unless asked otherwise; deleted alarms have a history too."""

    def read(conn: Connection) -> Any:
        return alarms.history(conn, scope.account, scope.region)

    ascending = params.get("ScanBy") == "TimestampAscending"
    kinds = params.get("AlarmTypes") or [METRIC]
    found = [
        (position, name, kind, entry)
        for position, name, kind, entry in await book.with_store(read)
        if params.get("AlarmName") in (None, name)
        and kind in kinds
        and params.get("HistoryItemType") in (None, entry.kind)
        and params.get("StartDate", entry.at) <= entry.at <= params.get("EndDate", entry.at)
    ]
    if not ascending:
        found.reverse()
    if params.get("NextToken"):
        last = int(from_token(params["NextToken"], 1)[0])
        found = [each for each in found if (each[0] > last if ascending else each[0] < last)]
    limit = params.get("MaxRecords", HISTORY_AT_ONCE)
    items = [
        {
            "AlarmName": name,
            "AlarmType": kind,
            "Timestamp": entry.at,
            "HistoryItemType": entry.kind,
            "HistorySummary": entry.summary,
            "HistoryData": alarms.as_text(entry.data),
        }
        for _, name, kind, entry in found[:limit]
    ]
    answer: dict[str, Any] = {"AlarmHistoryItems": items}
    if len(found) > limit:
        answer["NextToken"] = as_token(found[limit - 1][0])
    return answer


async def set_alarm_state(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """Until the next evaluation."""
    reason_data = params.get("StateReasonData", "")
    while True:
        alarm = book.get(scope, params["AlarmName"])
        if alarm is None:
            raise not_found(f"The alarm {params['AlarmName']} does not exist.")
        state = State(params["StateValue"])
        if await book.move(alarm, state, params["StateReason"], reason_data, by_hand=True) is not None:
            return {}


async def delete_alarms(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    """Those that are not there are no error, as on AWS; one that a composite alarm needs is."""
    names = params["AlarmNames"]
    if len(names) > MOST_DELETED:
        raise unfit(f"The collection AlarmNames must not have a size greater than {MOST_DELETED}.")
    for name in names:
        left = [parent.name for parent in book.parents_of(scope, name) if parent.name not in names]
        if left and book.get(scope, name) is not None:
            raise unfit(f"Cannot delete {name} as there are composite alarm(s) depending on it: {', '.join(left)}.")
    await book.delete(scope, names)
    return {}


async def enable_alarm_actions(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    await book.enable_actions(scope, params["AlarmNames"], enabled=True)
    return {}


async def disable_alarm_actions(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    await book.enable_actions(scope, params["AlarmNames"], enabled=False)
    return {}


def _tagged(book: AlarmBook, params: Params, scope: Scope) -> str:
    arn = str(params["ResourceARN"])
    if all(alarm.arn != arn for alarm in book.of(scope)):
        raise not_found(f"The resource {arn} does not exist.")
    return arn


async def list_tags_for_resource(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    arn = _tagged(book, params, scope)
    found = await book.with_store(lambda conn: tags.of(conn, arn))
    return {"Tags": [{"Key": key, "Value": value} for key, value in found.items()]}


async def tag_resource(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    arn, added = _tagged(book, params, scope), _tags(params)
    await book.change_store(lambda conn: tags.put(conn, arn, added))
    return {}


async def untag_resource(book: AlarmBook, params: Params, scope: Scope, now: float) -> dict[str, Any]:
    arn, keys = _tagged(book, params, scope), params["TagKeys"]
    await book.change_store(lambda conn: tags.remove(conn, arn, keys))
    return {}


OPERATIONS: dict[str, Operation] = {
    "PutMetricAlarm": put_metric_alarm,
    "PutCompositeAlarm": put_composite_alarm,
    "DescribeAlarms": describe_alarms,
    "DescribeAlarmsForMetric": describe_alarms_for_metric,
    "DescribeAlarmHistory": describe_alarm_history,
    "SetAlarmState": set_alarm_state,
    "DeleteAlarms": delete_alarms,
    "EnableAlarmActions": enable_alarm_actions,
    "DisableAlarmActions": disable_alarm_actions,
}
OF_TAGS: dict[str, Operation] = {
    "ListTagsForResource": list_tags_for_resource,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}
"""Of alarms; the neighbours have other resources with tags."""
