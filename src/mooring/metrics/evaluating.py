"""Which state an alarm has, by the datapoints of its metric: CloudWatch's rules, as a pure function.

An evaluation looks at `EVALUATED_MORE` periods more than the alarm's own N. Where there are N datapoints or more, the
newest N decide. Where there are fewer, `TreatMissingData` decides what fills up; an alarm that takes missing data as
missing or ignores it also follows from few datapoints, once the oldest breaching one is M periods old and nothing since
contradicts it. (Amazon CloudWatch User Guide, "Configuring how alarms treat missing data".)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

EVALUATED_MORE = 2
_DEFAULT_TREATMENT = "missing"


class State(StrEnum):
    """StateValue."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (lambda value, threshold: value >= threshold, "greater than or equal to"),
    "GreaterThanThreshold": (lambda value, threshold: value > threshold, "greater than"),
    "LessThanThreshold": (lambda value, threshold: value < threshold, "less than"),
    "LessThanOrEqualToThreshold": (lambda value, threshold: value <= threshold, "less than or equal to"),
}
"""By ComparisonOperator: what breaches, and how a reason words it. The others compare with a band, which is learnt."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What of an alarm's definition decides."""

    comparison: str
    threshold: float
    periods: int
    """EvaluationPeriods, N."""
    to_alarm: int
    """DatapointsToAlarm, M."""
    missing: str = _DEFAULT_TREATMENT
    """TreatMissingData."""

    def breaches(self, value: float) -> bool:
        """Whether a datapoint is beyond the threshold."""
        return COMPARISONS[self.comparison][0](value, self.threshold)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The new state, and which datapoints it follows from: their positions in what was given, the oldest first."""

    state: State
    used: tuple[int, ...]


def evaluated(condition: Condition, datapoints: Sequence[float | None], current: State) -> Evaluated:
    """The state by datapoints of `periods + EVALUATED_MORE` periods or fewer, the oldest first, None for none."""
    present = [position for position, value in enumerate(datapoints) if value is not None]
    used = tuple(present[-condition.periods :])
    breaching = [at for at in used if _breaches(condition, datapoints[at])]
    lacking = condition.periods - len(used)
    if lacking <= 0:
        return Evaluated(State.ALARM if len(breaching) >= condition.to_alarm else State.OK, used)
    if condition.missing == "breaching":
        return Evaluated(State.ALARM if len(breaching) + lacking >= condition.to_alarm else State.OK, used)
    if condition.missing == "notBreaching" or (used and len(breaching) < len(used)):
        return Evaluated(State.ALARM if len(breaching) >= condition.to_alarm else State.OK, used)
    return Evaluated(_of_few(condition, len(datapoints), breaching, current), used)


def _of_few(condition: Condition, periods: int, breaching: list[int], current: State) -> State:
    """Nothing but breaching datapoints, and too few of them."""
    if len(breaching) >= condition.to_alarm:
        return State.ALARM
    if condition.missing == "ignore":
        return current
    if not breaching:
        return State.INSUFFICIENT_DATA
    oldest = max(breaching[0], periods - condition.periods)
    return State.ALARM if periods - oldest >= condition.to_alarm else State.OK


def _breaches(condition: Condition, value: float | None) -> bool:
    return value is not None and condition.breaches(value)
