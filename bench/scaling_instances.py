"""Instances that are scaled by alarms, in virtual time: Mooring's own alarms, states and decisions over made-up calls.

What is simulated is what surrounds them: calls, instances with one call at a time, and metrics. A real-time call goes
to the instance that will be free first and stays there, as a gateway sends it, unless its caller is gone before it
begins; an asynchronous one waits in one queue.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scaling_loads import Load

from mooring.api.alarm_rules import alarm_of_metric
from mooring.control.alarm_evaluation import SETTLED_S
from mooring.metrics.alarms import Alarm
from mooring.metrics.evaluating import State, evaluated
from mooring.scaling import tracking
from mooring.scaling.deciding import TRACKING, Breach, decided, noted
from mooring.scaling.documents import Policy, ScalableTarget

LOOK_S = 10
TIMEOUT_S = 60.0
"""After which a caller of InvokeEndpoint is gone."""


@dataclass(frozen=True)
class Rule:
    """A policy with the alarms that trigger it."""

    policy: Policy
    alarms: list[dict[str, Any]]
    newest_only: bool = False
    """Scale in by the newest point instead of the highest of the low alarm's."""


class Metrics:
    """Points of 10 s of a few metrics: sum, count, least, most."""

    def __init__(self) -> None:
        self._bins: dict[str, dict[int, list[float]]] = {}

    def add(self, name: str, at: float, value: float) -> None:
        bins = self._bins.setdefault(name, {})
        seen = bins.get(key := int(at // LOOK_S))
        if seen is None:
            bins[key] = [value, 1, value, value]
        else:
            seen[:] = [seen[0] + value, seen[1] + 1, min(seen[2], value), max(seen[3], value)]

    def window(self, alarm: Alarm, now: float) -> list[float | None]:
        """The datapoints that an evaluation looks at."""
        start, end = alarm.window(now - SETTLED_S)
        return [self._point(alarm, at) for at in range(start, end, alarm.period)]

    def _point(self, alarm: Alarm, start: int) -> float | None:
        bins = self._bins.get(alarm.definition["MetricName"], {})
        keys = range(start // LOOK_S, (start + alarm.period) // LOOK_S)
        found = [bins[key] for key in keys if key in bins]
        if not found:
            return None
        total, count = sum(each[0] for each in found), sum(each[1] for each in found)
        statistics = {"Sum": total, "Average": total / count, "Maximum": max(each[3] for each in found)}
        return statistics[alarm.statistic]


class Autoscaler:
    """Alarms as control evaluates them, and what is decided of them."""

    def __init__(self, registered: ScalableTarget, rules: Sequence[Rule], *, zero_allowed: bool = False) -> None:
        self._registered, self._zero_allowed = registered, zero_allowed
        self.policies = {rule.policy.name: rule.policy for rule in rules}
        self._alarms = [
            (rule, alarm_of_metric({"AlarmActions": [], **definition}, registered.target.scope, 0.0))
            for rule in rules
            for definition in rule.alarms
        ]
        self._states = [State.INSUFFICIENT_DATA] * len(self._alarms)
        self._breaches: dict[int, Breach] = {}
        self._changed: tuple[str, int, int] | None = None

    def look(self, metrics: Metrics, now: float, current: int, *, scalable: bool) -> int | None:
        """The capacity to set, `now` being a multiple of 10 s and `SETTLED_S`."""
        looked = False
        for place, (rule, alarm) in enumerate(self._alarms):
            if int(now - SETTLED_S) % alarm.step == 0:
                looked = True
                self._evaluate(place, rule, alarm, metrics.window(alarm, now))
        if not looked:
            return None
        found = [replace(each, policy=self.policies[each.policy.name]) for each in self._breaches.values()]
        made = decided(
            self._registered, list(self.policies.values()), found, current, now,
            zero_allowed=self._zero_allowed, scalable=scalable,
        )  # fmt: skip
        if made.capacity is not None and made.policy is not None:
            self._changed = (made.policy.name, current, made.capacity)
        return made.capacity

    def in_effect(self, now: float) -> None:
        """What was decided is done: cooldowns begin."""
        if self._changed is not None:
            name, before, capacity = self._changed
            self.policies[name] = noted(self.policies[name], before, capacity, now)
            self._changed = None

    def _evaluate(self, place: int, rule: Rule, alarm: Alarm, window: list[float | None]) -> None:
        result = evaluated(alarm.condition, window, self._states[place])
        self._states[place] = result.state
        if result.state is not State.ALARM:
            self._breaches.pop(place, None)
            return
        values = tuple(value for at in result.used if (value := window[at]) is not None)
        if rule.newest_only:
            values = values[-1:]
        self._breaches[place] = Breach(rule.policy, alarm.name, values, alarm.condition.threshold)


@dataclass
class Outcome:
    """What a run came to."""

    waits: list[float] = field(default_factory=list)
    """Of each call, until it began."""
    timed_out: int = 0
    changes: int = 0
    paid_s: float = 0.0
    over_s: float = 0.0
    """Instance-seconds beyond what the target asks for, minute by minute, and those that it asks for and were not."""
    under_s: float = 0.0

    def wait(self, percent: float) -> float:
        ranked = sorted(self.waits)
        return ranked[min(len(ranked) - 1, math.ceil(len(ranked) * percent / 100) - 1)] if ranked else 0.0


@dataclass
class Instance:
    up_at: float
    free_at: float
    ends: deque[float] = field(default_factory=deque)

    def outstanding(self, now: float) -> int:
        while self.ends and self.ends[0] <= now:
            self.ends.popleft()
        return len(self.ends)


def looks(load: Load) -> Iterator[float]:
    """When alarms are looked at."""
    return (at + SETTLED_S for at in range(LOOK_S, int(load.seconds), LOOK_S))


def need(load: Load, each_minute: float, least: int, most: int) -> list[int]:
    """The instances that a target of so many calls a minute asks for, in each minute, had it known."""
    counts = [0] * math.ceil(load.seconds / 60)
    for at in load.arrivals:
        counts[int(at // 60)] += 1
    return [min(most, max(least, math.ceil(count / each_minute))) for count in counts]


def real_time(
    load: Load, services: Sequence[float], scaler: Autoscaler, start_s: float, wanted: Sequence[int], first: int
) -> Outcome:
    """Calls to an endpoint that starts with `first` instances."""
    outcome, metrics = Outcome(), Metrics()
    fleet = [Instance(-1.0, 0.0) for _ in range(first)]
    ticks, seconds = looks(load), iter(range(1, math.ceil(load.seconds)))
    tick, second = next(ticks), next(seconds)
    for at, service in [*zip(load.arrivals, services, strict=True), (load.seconds, 0.0)]:
        while min(tick, second) <= at:
            if second <= tick:
                _sample(fleet, metrics, second)
                second = next(seconds, math.inf)
                continue
            _scale(fleet, scaler, metrics, tick, start_s, outcome)
            _account(outcome, len(fleet), wanted[int(tick // 60)])
            tick = next(ticks, math.inf)
        if at == load.seconds:
            break
        up = [each for each in fleet if each.up_at <= at]
        chosen = min(up, key=lambda each: each.free_at)
        begins = max(at, chosen.free_at)
        metrics.add("InvocationsPerInstance", at, 1 / len(up))
        outcome.waits.append(min(begins - at, TIMEOUT_S))
        outcome.timed_out += begins + service - at > TIMEOUT_S
        if begins - at < TIMEOUT_S:
            chosen.free_at = begins + service
            chosen.ends.append(chosen.free_at)
    return outcome


def _sample(fleet: Sequence[Instance], metrics: Metrics, now: float) -> None:
    """Once a second, calls in flight and queued by instance, as control adds them up for all gateways."""
    up = [each.outstanding(now) for each in fleet if each.up_at <= now]
    metrics.add("ConcurrentRequestsPerModel", now - 0.5, sum(up) / len(up))


def _scale(
    fleet: list[Instance], scaler: Autoscaler, metrics: Metrics, now: float, start_s: float, outcome: Outcome
) -> None:
    scalable = all(each.up_at <= now for each in fleet)
    if scalable:
        scaler.in_effect(max((each.up_at for each in fleet), default=now))
    capacity = scaler.look(metrics, now, len(fleet), scalable=scalable)
    if capacity is None:
        return
    outcome.changes += 1
    if capacity > len(fleet):
        fleet.extend(Instance(now + start_s, now + start_s) for _ in range(capacity - len(fleet)))
    else:
        fleet.sort(key=lambda each: each.free_at)
        for gone in fleet[: len(fleet) - capacity]:
            outcome.paid_s += max(0.0, gone.free_at - now)
        del fleet[: len(fleet) - capacity]
        scaler.in_effect(now)


def _account(outcome: Outcome, have: int, needed: int) -> None:
    outcome.paid_s += have * LOOK_S
    outcome.over_s += max(0, have - needed) * LOOK_S
    outcome.under_s += max(0, needed - have) * LOOK_S


def asynchronous(load: Load, services: Sequence[float], scaler: Autoscaler, start_s: float) -> Outcome:
    """Jobs of an endpoint that begins with no instance; `paid_s` is all that ran."""
    outcome, metrics = Outcome(), Metrics()
    fleet: list[Instance] = []
    waiting: deque[tuple[float, float]] = deque()
    jobs = deque(zip(load.arrivals, services, strict=True))
    events = [at for at, _ in jobs]
    ticks = set(looks(load))
    heapq.heapify(events)
    for each in ticks:
        heapq.heappush(events, each)
    while events:
        now = heapq.heappop(events)
        while jobs and jobs[0][0] <= now:
            waiting.append(jobs.popleft())
        if now in ticks:
            serving = sum(each.up_at <= now for each in fleet)
            backlog = len(waiting) + sum(each.free_at > now >= each.up_at for each in fleet)
            metrics.add("ApproximateBacklogSizePerInstance", now - SETTLED_S - 1, backlog / max(1, serving))
            metrics.add("HasBacklogWithoutCapacity", now - SETTLED_S - 1, float(backlog > 0 and not serving))
            before = len(fleet)
            _scale(fleet, scaler, metrics, now, start_s, outcome)
            outcome.paid_s += len(fleet) * LOOK_S
            if len(fleet) > before:
                heapq.heappush(events, now + start_s)
        for instance in fleet:
            if waiting and instance.up_at <= now and instance.free_at <= now:
                came, service = waiting.popleft()
                outcome.waits.append(now - came)
                instance.free_at = now + service
                heapq.heappush(events, instance.free_at)
    outcome.timed_out = len(waiting)
    return outcome


def tracking_rule(
    policy: Policy, changed: Callable[[dict[str, Any]], dict[str, Any]] | None = None, **more: Any
) -> Rule:
    """A target tracking policy with its own alarms, or with what `changed` makes of them."""
    if policy.kind != TRACKING:
        raise ValueError(policy.kind)
    names = tracking.alarm_names(policy.target, f"high-{policy.name}", f"low-{policy.name}")
    definitions = tracking.alarms(policy.target, policy.arn, policy.config, names)
    return Rule(policy, [changed(each) if changed else each for each in definitions], **more)
