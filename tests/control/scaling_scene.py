"""A control that scales, over a store of its own, with real alarms and metrics and clocks that the test sets.

No replica is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mooring.control import scaling_moves
from mooring.control.alarm_book import AlarmBook
from mooring.control.alarm_evaluation import AlarmEvaluation
from mooring.control.metering import Metering
from mooring.control.scaling import Scaling
from mooring.hosting import transitions
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.resources import Resource
from mooring.metrics.alarms import METRIC, Alarm
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series, dimensions
from mooring.scaling import schedules
from mooring.scaling import tracking as rules_of_tracking
from mooring.scaling.deciding import STEP, TRACKING
from mooring.scaling.documents import (
    INSTANCES,
    Activity,
    Policy,
    ScalableTarget,
    ScheduledAction,
    Target,
)
from mooring.settings import Settings
from mooring.store import Store, endpoint_configs, endpoints, events, scaling, scaling_activities
from mooring.store.metric_data import Retention
from mooring.store.metric_store import MetricStore
from tests.store.making import HERE, an_endpoint

START = 1_800_000_000.0
DAY = 86_400.0
TARGET = Target(HERE, "e", "v", INSTANCES)
CALLS = Series(
    HERE.account, HERE.region, "AWS/SageMaker", "InvocationsPerInstance",
    dimensions({"EndpointName": "e", "VariantName": "v"}), "None",
)  # fmt: skip
LOAD = Series(HERE.account, HERE.region, "N", "m", (), "None")
NAMES = rules_of_tracking.alarm_names(TARGET, "0" * 36, "1" * 36)


class TwoClocks:
    """One jumps, one does not."""

    def __init__(self) -> None:
        self.steady = 0.0
        self.ahead = START

    def wall(self) -> float:
        return self.steady + self.ahead

    def monotonic(self) -> float:
        return self.steady


class Scene:
    def __init__(self, store: Store, metrics: MetricStore, clock: TwoClocks, book: AlarmBook) -> None:
        self.store, self.metrics, self.clock, self.book = store, metrics, clock, book
        self.settings = Settings()
        self.woken: list[str] = []
        self.begin()

    def begin(self) -> None:
        """A control that has only just come."""
        metering = cast(Metering, self.metrics)
        self.evaluation = AlarmEvaluation(self.book, metering, self.clock)
        self.scaling = Scaling(self.settings, self.store, self.clock, metering, self.book, self.woken.append)

    async def restart(self) -> None:
        self.book = await AlarmBook.open(self.store, self.clock)
        self.begin()

    async def write(self, change: Callable[..., Any], *arguments: Any) -> Any:
        return await self.store.write(lambda conn: change(conn, *arguments))

    async def endpoint(self, count: int = 1, **members: Any) -> None:
        record = an_endpoint(status=EndpointStatus.IN_SERVICE)
        variants = tuple(replace(each, current_weight=1.0, current_count=count, desired_count=count)
                         for each in record.variants)  # fmt: skip
        await self.write(endpoints.insert, replace(record, variants=variants, **members))
        config = {"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v"}]}
        await self.write(endpoint_configs.insert, Resource("endpoint-config", HERE, "c", config, 1.0))

    async def register(self, least: int = 1, most: int = 10, **suspended: bool) -> None:
        held = ScalableTarget(TARGET, "id", least, most, self.clock.wall(), "role", suspended)
        await self.write(scaling.targets.save, held)
        await self.write(scaling_moves.move_inside, held, self.clock.wall())
        await self.scaling.follow()

    async def put(self, policy: Policy) -> None:
        await self.write(scaling.policies.save, policy)
        await self.scaling.follow()

    async def schedule(self, name: str, text: str, **action: int) -> None:
        now = self.clock.wall()
        due_at = schedules.next_due(text, "UTC", now, created_at=now)
        made = ScheduledAction(TARGET, name, f"arn:{name}", text, "UTC", action, now, due_at=due_at)
        await self.write(scaling.actions.save, made)
        await self.scaling.follow()

    async def record(self) -> EndpointRecord:
        found = await self.store.read(lambda conn: endpoints.get(conn, HERE, "e"))
        assert found is not None
        return found

    async def count(self) -> int:
        return (await self.record()).variants[0].desired_count

    async def settle(self) -> None:
        """What the endpoint's worker does."""
        record = await self.record()
        if record.status in (EndpointStatus.UPDATING, EndpointStatus.ROLLING_BACK):
            await self.write(endpoints.save, transitions.settled(record, self.clock.wall()))

    async def look(self) -> None:
        await self.evaluation.look()
        await self.scaling.look()

    async def pass_time(self, seconds: int, series: Series = LOAD, value: float | None = None, each: int = 5) -> None:
        """Time goes on, the metric has that value, alarms are judged, and what is begun settles."""
        for _ in range(seconds // each):
            self.clock.steady += each
            if value is not None:
                at = int(self.clock.wall())
                self.metrics.record([Point(series, at, Distribution.of([value]))])
            await self.look()
            await self.settle()
            await self.scaling.look()

    async def activities(self, *, not_scaled: bool = False) -> list[Activity]:
        def read(conn: Any) -> list[Activity]:
            return scaling_activities.page(conn, HERE, 50, 0.0, not_scaled=not_scaled)[0]

        return await self.store.read(read)

    async def told(self) -> list[str]:
        found = await self.store.read(lambda conn: events.after(conn, "uid-e"))
        return [each.text for _, each in found if each.kind == "scaling"]


def played(path: Path, script: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = TwoClocks()
        store = await Store.open(path / "state.db")
        retention = Retention({1: 10_800, 60: 1e6, 300: 1e6, 3600: 1e6}, 100)
        metrics = await MetricStore.open(path / "metrics.db", retention, clock.wall)
        await script(Scene(store, metrics, clock, await AlarmBook.open(store, clock)))
        await metrics.close()
        await store.close()

    asyncio.run(run())


def tracking(clock: TwoClocks, **config: Any) -> Policy:
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
    given = {"TargetValue": 60.0, **metric, **config}
    return Policy(TARGET, "t", "arn:aws:autoscaling:t", TRACKING, given, clock.wall(), NAMES)


def stepping(name: str = "s", by: int = 1, cooldown: int = 300) -> Policy:
    config = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": by}],
        "Cooldown": cooldown,
    }
    return Policy(TARGET, name, f"arn:aws:autoscaling:{name}", STEP, config, START)


def alarm(name: str, policy: str, **members: Any) -> Alarm:
    definition: dict[str, Any] = {
        "AlarmName": name, "AlarmActions": [f"arn:aws:autoscaling:{policy}"], "Namespace": "N", "MetricName": "m",
        "Statistic": "Maximum", "Period": 10, "EvaluationPeriods": 1, "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold", **members,
    }  # fmt: skip
    return Alarm(HERE.account, HERE.region, f"arn:{name}", METRIC, definition, START)
