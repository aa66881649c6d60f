"""The recipe of asynchronous endpoints: target tracking on the backlog of each instance, a step to leave zero.

Minute by minute, with the alarms' own definitions and CloudWatch's rules for their states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.api.alarm_rules import alarm_of_metric
from mooring.metrics.alarms import Alarm
from mooring.metrics.evaluating import EVALUATED_MORE, State, evaluated
from mooring.scaling import tracking as rules
from mooring.scaling.deciding import Breach, decided, noted
from mooring.scaling.documents import Policy, ScalableTarget
from tests.scaling.making import BACKLOG, NOW, SCOPE, TARGET, registered, stepping, tracking

HAS_BACKLOG = {
    "AlarmName": "has backlog",
    "Namespace": "AWS/SageMaker",
    "MetricName": "HasBacklogWithoutCapacity",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "missing",
}


@dataclass
class Endpoint:
    """A queue and its instances, `each_minute` jobs an instance and minute; instances take a minute to start."""

    each_minute: int = 2
    bounds: ScalableTarget = field(default_factory=lambda: registered(0, 5))
    desired: int = 0
    serving: int = 0
    backlog: int = 0
    minute: int = 0
    points: list[tuple[float, float]] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    policies: dict[str, Policy] = field(default_factory=dict)
    alarms: list[tuple[str, Alarm, State]] = field(default_factory=list)

    def __post_init__(self) -> None:
        track = tracking(5.0, BACKLOG, name="track")
        leave_zero = stepping((0.0, None, 1), name="leave zero")
        self.policies = {each.name: each for each in (track, leave_zero)}
        definitions = rules.alarms(TARGET, track.arn, track.config, rules.alarm_names(TARGET, "1", "2"))
        owners = ["track", "track", "leave zero"]
        self.alarms = [
            (owner, alarm_of_metric(definition, SCOPE, NOW), State.INSUFFICIENT_DATA)
            for owner, definition in zip(owners, [*definitions, HAS_BACKLOG], strict=True)
        ]

    def pass_minute(self, arriving: int) -> None:
        self.minute += 1
        self.backlog += arriving
        self.points.append((self.backlog / max(1, self.serving), 1.0 if self.backlog and not self.serving else 0.0))
        self.backlog = max(0, self.backlog - self.serving * self.each_minute)
        self.serving = self.desired
        self._decide()

    def _decide(self) -> None:
        now, breaches = NOW + 60 * self.minute, []
        for place, (owner, alarm, state) in enumerate(self.alarms):
            column = 1 if owner == "leave zero" else 0
            window = [point[column] for point in self.points][-(alarm.condition.periods + EVALUATED_MORE) :]
            result = evaluated(alarm.condition, window, state)
            self.alarms[place] = (owner, alarm, result.state)
            if result.state is State.ALARM:
                values = tuple(window[at] for at in result.used)
                breaches.append(Breach(self.policies[owner], alarm.name, values, alarm.condition.threshold))
        made = decided(self.bounds, list(self.policies.values()), breaches, self.desired, now, zero_allowed=True)
        if made.capacity is not None and made.policy is not None:
            self.changes.append(made.capacity)
            self.policies[made.policy.name] = noted(made.policy, self.desired, made.capacity, now)
            self.desired = made.capacity

    def run(self, minutes: int, arriving: Callable[[int], int]) -> None:
        for minute in range(minutes):
            self.pass_minute(arriving(minute))


def test_one_job_brings_one_instance_up_and_silence_takes_it_down() -> None:
    endpoint = Endpoint()
    endpoint.run(60, lambda minute: int(minute == 20))
    assert endpoint.changes == [1, 0]
    assert (endpoint.backlog, endpoint.desired) == (0, 0)


def test_a_herd_at_zero_brings_up_more_than_one_and_all_go() -> None:
    endpoint = Endpoint()
    endpoint.run(200, lambda minute: 40 if minute == 20 else 0)
    assert max(endpoint.changes) == 5
    assert endpoint.backlog == 0
    assert endpoint.desired == 0


def test_an_instance_that_is_needed_is_kept() -> None:
    endpoint = Endpoint()
    endpoint.run(240, lambda minute: int(minute % 10 == 0))
    assert endpoint.changes == [1]
    assert endpoint.backlog <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=90))
def test_whatever_comes_is_done_and_in_the_end_nothing_runs(jobs: list[int]) -> None:
    endpoint = Endpoint()
    endpoint.run(len(jobs), lambda minute: jobs[minute])
    left = endpoint.backlog
    endpoint.run(left + 120, lambda _: 0)
    assert (endpoint.backlog, endpoint.desired, endpoint.serving) == (0, 0, 0)
    assert max(endpoint.changes, default=0) <= 5
