"""An alarm: what it watches, its state, and what a change of that state is told as. Pure.

`definition` holds the members of PutMetricAlarm or PutCompositeAlarm as they were given, without tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from mooring.hosting.naming import Scope, partition
from mooring.metrics.evaluating import COMPARISONS, EVALUATED_MORE, Condition, Evaluated, State
from mooring.metrics.statistics import is_percentile

METRIC, COMPOSITE = "MetricAlarm", "CompositeAlarm"
STANDARD_STEP_S, SHORT_STEP_S = 60, 10
"""How often an alarm is evaluated: every minute, or every 10 s where its periods are shorter than a minute."""
UNCHECKED = "Unchecked: Initial alarm creation"
ACTIONS_OF = {State.ALARM: "AlarmActions", State.OK: "OKActions", State.INSUFFICIENT_DATA: "InsufficientDataActions"}


@dataclass(frozen=True, slots=True)
class Owed:
    """An action that a change of state asks for, until it is done."""

    id: str
    action: str
    """Its ARN."""
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of one account and region."""

    account: str
    region: str
    arn: str
    kind: str
    definition: dict[str, Any]
    configured_at: float
    state: State = State.INSUFFICIENT_DATA
    reason: str = UNCHECKED
    reason_data: str = ""
    updated_at: float = 0.0
    """When the state was last set, also to what it was."""
    transitioned_at: float = 0.0
    """When it last changed."""
    by_hand: bool = False
    """SetAlarmState set it, and nothing was evaluated since."""
    owed: tuple[Owed, ...] = field(default=())

    @property
    def name(self) -> str:
        """AlarmName, unique among the alarms of an account and region."""
        return str(self.definition["AlarmName"])

    @property
    def condition(self) -> Condition:
        """What decides of a metric alarm."""
        given = self.definition
        periods = int(given["EvaluationPeriods"])
        return Condition(
            given["ComparisonOperator"],
            float(given["Threshold"]),
            periods,
            int(given.get("DatapointsToAlarm", periods)),
            given.get("TreatMissingData", "missing"),
        )

    @property
    def statistic(self) -> str:
        """Of an alarm on one metric."""
        return str(self.definition.get("Statistic") or self.definition.get("ExtendedStatistic"))

    @property
    def period(self) -> int:
        """Seconds of one datapoint."""
        if "Metrics" not in self.definition:
            return int(self.definition["Period"])
        stats = [int(each["MetricStat"]["Period"]) for each in self.definition["Metrics"] if "MetricStat" in each]
        return max([*stats, *(int(each["Period"]) for each in self.definition["Metrics"] if each.get("Period"))])

    @property
    def step(self) -> int:
        """Seconds between two evaluations."""
        return STANDARD_STEP_S if self.period >= 60 else SHORT_STEP_S

    def window(self, now: float) -> tuple[int, int]:
        """From where to where an evaluation looks; the periods in it end together with it."""
        end = int(now) - int(now) % self.step
        return end - self.period * (self.condition.periods + EVALUATED_MORE), end

    def to_document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Alarm:
        """The inverse of `to_document`."""
        owed = tuple(Owed(**each) for each in document["owed"])
        return Alarm(**{**document, "state": State(document["state"]), "owed": owed})


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of an alarm's history."""

    at: float
    kind: str
    """HistoryItemType."""
    summary: str
    data: dict[str, Any]


def alarm_arn(scope: Scope, name: str) -> str:
    """Of the alarm of a name."""
    return f"arn:{partition(scope.region)}:cloudwatch:{scope.region}:{scope.account}:alarm:{name}"


def moved(alarm: Alarm, state: State, reason: str, reason_data: str, now: float, action_id: str) -> tuple[Alarm, Entry]:
    """The alarm in another state, with the actions that this asks for, and what its history says."""
    summary = f"Alarm updated from {alarm.state} to {state}"
    changed = replace(
        alarm, state=state, reason=reason, reason_data=reason_data, updated_at=now, transitioned_at=now, by_hand=False
    )
    owed = []
    if alarm.definition.get("ActionsEnabled", True):
        for position, action in enumerate(alarm.definition.get(ACTIONS_OF[state], ())):
            subject = f'{state}: "{alarm.name}" in {alarm.region}'
            owed.append(Owed(f"{action_id}-{position}", action, subject[:100], _notification(changed, alarm.state)))
    data = {
        "version": "1.0",
        "oldState": {"stateValue": alarm.state, "stateReason": alarm.reason, **_parsed(alarm.reason_data)},
        "newState": {"stateValue": state, "stateReason": reason, **_parsed(reason_data)},
    }
    return replace(changed, owed=(*alarm.owed, *owed)), Entry(now, "StateUpdate", summary, data)


def explained(
    alarm: Alarm, result: Evaluated, window: Sequence[tuple[int, float | None]], now: float
) -> tuple[str, str]:
    """StateReason and StateReasonData of an evaluation; `window` has the start of each period and its datapoint."""
    condition = alarm.condition
    used = [(at, value) for at, value in (window[position] for position in result.used) if value is not None]
    values = [value for _, value in used]
    missing = condition.periods - len(used)
    if result.state is State.INSUFFICIENT_DATA:
        reason = f"Insufficient Data: {missing} datapoint{'s were' if missing > 1 else ' was'} unknown."
    else:
        reason = _crossed(condition, used, missing, alarm=result.state is State.ALARM)
    evaluated = [
        {"timestamp": _iso(at), **({} if value is None else {"value": value})} for at, value in reversed(window)
    ]
    data: dict[str, Any] = {
        "version": "1.0",
        "queryDate": _iso(now),
        **({"startDate": _iso(used[0][0])} if used else {}),
        **({"statistic": alarm.statistic} if "Metrics" not in alarm.definition else {}),
        "period": alarm.period,
        "recentDatapoints": values,
        "threshold": condition.threshold,
        "evaluatedDatapoints": evaluated,
    }
    while len(text := json.dumps(data, separators=(",", ":"))) > 4000 and data["evaluatedDatapoints"]:
        data["evaluatedDatapoints"] = data["evaluatedDatapoints"][: len(data["evaluatedDatapoints"]) // 2]
        data["recentDatapoints"] = data["recentDatapoints"][-50:]
    return reason, text


def _crossed(condition: Condition, used: list[tuple[int, float]], missing: int, *, alarm: bool) -> str:
    breaching = [each for each in used if condition.breaches(each[1])]
    shown = breaching if alarm else [each for each in used if not condition.breaches(each[1])]
    counted = len(shown) + (missing if alarm and condition.missing == "breaching" else 0)
    if not shown:
        treated = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(condition.missing, "Missing")
        filled = f"no datapoints were received for {missing} period{'s' if missing > 1 else ''} and {missing} missing"
        return f"Threshold Crossed: {filled} datapoint{'s were' if missing > 1 else ' was'} treated as [{treated}]."
    listed = ", ".join(f"{value!r} ({datetime.fromtimestamp(at, UTC):%d/%m/%y %H:%M:%S})" for at, value in shown[-5:])
    plural = len(shown) > 1
    out_of = alarm or condition.periods > 1
    said = f"datapoint{'s' if out_of else ''} [{listed}] {'were' if plural else 'was'}{'' if alarm else ' not'}"
    worded = COMPARISONS[condition.comparison][1]
    change = f"minimum {condition.to_alarm} datapoint{'s' if condition.to_alarm > 1 else ''} for "
    change += "OK -> ALARM transition" if alarm else "ALARM -> OK transition"
    last = f"{counted} out of the last {condition.periods} " if out_of else "1 "
    return f"Threshold Crossed: {last}{said} {worded} the threshold ({condition.threshold!r}) ({change})."[:1023]


def too_few_samples(statistic: str, count: float) -> bool:
    """Whether so few samples say nothing of a percentile, as EvaluateLowSampleCountPercentile means it."""
    if (
        not is_percentile(statistic)
        or not statistic.lower().startswith("p")
        or not statistic[1:].replace(".", "").isdigit()
    ):
        return False
    share = float(statistic[1:]) / 100
    rare = min(share, 1 - share)
    return rare > 0 and count * rare < 10 - 1e-6


def _notification(alarm: Alarm, before: State) -> str:
    """What SNS is given, as AWS writes it."""
    definition = alarm.definition
    told: dict[str, Any] = {
        "AlarmName": alarm.name,
        "AlarmDescription": definition.get("AlarmDescription"),
        "AWSAccountId": alarm.account,
        "AlarmConfigurationUpdatedTimestamp": _iso(alarm.configured_at),
        "NewStateValue": alarm.state,
        "NewStateReason": alarm.reason,
        "StateChangeTime": _iso(alarm.transitioned_at),
        "Region": alarm.region,
        "AlarmArn": alarm.arn,
        "OldStateValue": before,
        **{name: definition.get(name, []) for name in ("OKActions", "AlarmActions", "InsufficientDataActions")},
    }
    if alarm.kind == COMPOSITE:
        return json.dumps({**told, "AlarmRule": definition["AlarmRule"]})
    trigger: dict[str, Any] = {
        "Period": alarm.period,
        "EvaluationPeriods": definition["EvaluationPeriods"],
        "DatapointsToAlarm": alarm.condition.to_alarm,
        "ComparisonOperator": definition["ComparisonOperator"],
        "Threshold": definition["Threshold"],
        "TreatMissingData": definition.get("TreatMissingData", "missing"),
        "EvaluateLowSampleCountPercentile": definition.get("EvaluateLowSampleCountPercentile", ""),
    }
    if "Metrics" in definition:
        trigger["Metrics"] = definition["Metrics"]
    else:
        named = "Statistic" if "Statistic" in definition else "ExtendedStatistic"
        trigger |= {
            "MetricName": definition["MetricName"],
            "Namespace": definition["Namespace"],
            "StatisticType": named,
            named: alarm.statistic.upper() if named == "Statistic" else alarm.statistic,
            "Unit": definition.get("Unit"),
            "Dimensions": [{"name": each["Name"], "value": each["Value"]} for each in definition.get("Dimensions", ())],
        }
    return json.dumps({**told, "Trigger": trigger})


def _parsed(reason_data: str) -> dict[str, Any]:
    return {"stateReasonData": json.loads(reason_data)} if reason_data.startswith("{") else {}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
