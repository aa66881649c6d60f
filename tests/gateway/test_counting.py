"""What a gateway counts, and that control gets it once, however often the connection breaks or control dies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.gateway.counting import FOLD_AT, LONGEST_CALL_S, Counting
from mooring.gateway.reporting import EXACT_S, MOST_HELD, Ledger, Reporter
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, RouteReplica, RouteShadow, RouteVariant, Version
from mooring.metrics.distributions import Distribution, merged
from mooring.metrics.registry import Registry
from mooring.metrics.series import Point, Series
from mooring.metrics.statistics import statistic
from mooring.upstream.call import Failure

KEY = "1/us-east-1/ep"
A = Series("1", "r", "N", "a", (), "None")


def drained(counting: Counting, at: int = 7) -> dict[str, Distribution]:
    points = list(counting.drain(at))
    assert all(point.at == at for point in points)
    return {point.series.name: point.seen for point in points}


def test_calls_are_counted_by_their_ends() -> None:
    counting = Counting()
    counters = counting.of(KEY, "v")
    counters.instances = 4
    for _ in range(FOLD_AT + 5):
        counters.answered(0.010, 0.0001)
    counters.failed(400, None, 0.5)
    counters.failed(503, None, 0.5)
    counters.failed(302, None, 0.5)
    counters.failed(0, Failure.TIMED_OUT, 60.0)
    counters.failed(0, Failure.UNREACHABLE)
    found = drained(counting)
    calls = FOLD_AT + 10
    assert {name: seen.total for name, seen in found.items() if "Latency" not in name} == {
        "Invocations": calls,
        "InvocationsPerInstance": calls / 4,
        "Invocation4XXErrors": 1,
        "Invocation5XXErrors": 3,
        "InvocationModelErrors": 5,
    }
    assert found["Invocation5XXErrors"].count == calls  # the average is the share of errors
    assert found["ModelLatency"].count == FOLD_AT + 9
    assert found["ModelLatency"].most == 60e6
    assert abs((statistic("p50")(found["ModelLatency"]) or 0) - 10_000) < 500
    assert found["OverheadLatency"].count == FOLD_AT + 5
    assert not drained(counting)


def test_explained_records_are_counted_by_the_instances_and_their_errors() -> None:
    counting = Counting()
    counters = counting.of(KEY, "v")
    counters.explained(0, [])
    assert not drained(counting)
    counters.instances = 4
    counters.explained(2, [0.5, float("nan")])
    counters.explained(1, [0.0])
    counters.explained(0, [])
    found = drained(counting)
    assert (found["ExplanationsPerInstance"].total, found["ExplanationsPerInstance"].count) == (0.75, 3)
    seen = found["ExplanationRelativeError"]
    assert (seen.count, seen.total, seen.most) == (2, 0.5, 0.5)
    assert not drained(counting)


def route(*variants: RouteVariant) -> Route:
    return Route(Scope("1", "us-east-1"), "ep", Version(1, 1), variants, "InService", 1, 1.0)


def test_calls_count_after_their_endpoint_has_gone() -> None:
    now = [0.0]
    counting = Counting(lambda: now[0])
    counters = counting.of(KEY, "v")
    counters.answered(0.01, 0.001)
    counting.forget(KEY)
    assert drained(counting)["Invocations"].total == 1
    counters.answered(0.01, 0.001)  # it was under way
    now[0] = LONGEST_CALL_S + 1
    assert drained(counting)["Invocations"].total == 1
    assert not counting._counters
    again = counting.of(KEY, "v")
    counting.forget(KEY)
    counting.follow(route(RouteVariant("v", 1.0, ())))  # made again under the same name
    now[0] *= 3
    assert not drained(counting)
    assert counting.of(KEY, "v") is again


def test_the_fleets_of_an_update_are_told_apart_and_together() -> None:
    counting = Counting()
    replica = RouteReplica("i", "/s")
    shadow = RouteShadow("s", 1.0, "c", (replica, replica))
    old = RouteVariant("v", 1.0, (replica,) * 3, config="old", shadow=shadow)
    counting.follow(route(old, RouteVariant("v", 1.0, (replica,), config="new")))
    for config, calls in (("old", 3), ("new", 1)):
        for _ in range(calls):
            counting.of(KEY, "v", config).answered(0.01, 0.001)
    counting.of(KEY, "s").answered(0.01, 0.001)
    ledger = Ledger()
    ledger.add(counting.drain(7))
    found = {
        (series.name, series.dimensions[:-1], series.dimensions[-1][1]): seen.total
        for (series, _), seen in ledger._waiting.items()
    }
    by_config = {
        dimensions[0][1]: total
        for (name, dimensions, _), total in found.items()
        if name == "Invocations" and len(dimensions) == 2
    }
    assert by_config == {"old": 3, "new": 1}
    of_variant = {
        (name, variant): total for (name, dimensions, variant), total in found.items() if len(dimensions) == 1
    }
    assert of_variant["Invocations", "v"] == 4
    assert of_variant["InvocationsPerInstance", "v"] == 1
    assert of_variant["InvocationsPerInstance", "s"] == 0.5


class FakeControl:
    """Records each sequence once, and loses what it has not written when it is killed."""

    def __init__(self) -> None:
        self.there = True
        self.seen: dict[int, list[Any]] = {}
        self.on_disk: dict[int, list[Any]] = {}

    def tell(self, message: dict[str, Any]) -> bool:
        if self.there:
            counted = json.loads(json.dumps(message))["counted"]
            self.seen.setdefault(counted["sequence"], counted["points"])
        return self.there

    def flush(self) -> int:
        self.on_disk = dict(self.seen)
        return max(self.on_disk, default=0)

    def killed(self) -> None:
        self.there, self.seen = False, dict(self.on_disk)

    def total(self) -> float:
        points = [Point.from_document(each) for points in self.seen.values() for each in points]
        return merged(point.seen for point in points).total


@given(
    st.lists(
        st.sampled_from(["count", "count", "send", "break", "kill", "back", "flush", "unheard flush"]), max_size=60
    )
)
def test_each_count_arrives_once(steps: list[str]) -> None:
    ledger, control, counted, now = Ledger(), FakeControl(), 0, 1000
    for step in steps:
        now += 40
        if step == "count":
            counted += 1
            ledger.add([Point(A, now, Distribution.of([1.0]))])
        elif step == "send":
            ledger.send(control.tell, now)
        elif step == "break":
            control.there = False
        elif step == "kill":
            control.killed()
        elif step == "back" and not control.there:
            control.there = True
            ledger.send_again(control.tell)
        elif step == "flush" and control.there:
            ledger.acknowledged(control.flush())
        elif step == "unheard flush":
            control.flush()
    control.there = True
    ledger.send_again(control.tell)
    ledger.send(control.tell, now)
    assert control.total() == counted
    ledger.acknowledged(control.flush())
    assert not ledger._sent
    assert not ledger._waiting
    assert ledger._held == 0


def test_what_waits_for_long_grows_coarse_and_is_bounded() -> None:
    ledger = Ledger()
    for second in range(600):
        ledger.add([Point(A, 600 + second, Distribution.of([1.0]))])
        ledger.send(lambda _: False, 600 + second)
    assert len(ledger._waiting) <= EXACT_S + 1 + 600 / 60
    assert merged(ledger._waiting.values()).total == 600
    ledger.add(Point(A._replace(name=str(n)), 0, Distribution.of([1.0])) for n in range(MOST_HELD))
    ledger.send(lambda _: False, 1200)
    assert len(ledger._waiting) == MOST_HELD
    assert ledger.dropped > 0


def test_a_source_that_fails_silences_no_other_and_gauges_are_told() -> None:
    told: list[dict[str, Any]] = []

    def tell(message: dict[str, Any]) -> bool:
        told.append(json.loads(json.dumps(message)))
        return True

    def broken(now: int) -> list[Point]:
        raise ValueError(now)

    registry = Registry()
    registry.add("things", "gauge", "Some things.", lambda: 3)
    registry.add("done_total", "counter", "By kind.", lambda: {(("kind", "a"),): 1.0})
    reporter = Reporter(registry, tell, [broken])
    reporter.add(lambda now: [Point(A, now, Distribution.of([2.0]))])
    reporter.report()
    counted, gauges = told
    assert Point.from_document(counted["counted"]["points"][0]).seen.total == 2
    assert Registry.told_by(gauges["gauges"]) == registry.told()
