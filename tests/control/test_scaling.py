"""Scaling over a store of its own, real alarms and metrics, and clocks that the test sets; no replica is started."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from mooring.control import scaling_moves
from mooring.control.alarm_book import AlarmBook
from mooring.control.alarm_evaluation import AlarmEvaluation
from mooring.control.metering import Metering
from mooring.control.scaling import Scaling
from mooring.control.scaling_clocks import SteadyTimes
from mooring.errors import Refused
from mooring.hosting import transitions
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.resources import Resource
from mooring.metrics.alarms import METRIC, Alarm, Owed
from mooring.metrics.distributions import Distribution
from mooring.metrics.evaluating import State
from mooring.metrics.series import Point, Series, dimensions
from mooring.scaling import schedules
from mooring.scaling import tracking as rules_of_tracking
from mooring.scaling.deciding import STEP, TRACKING
from mooring.scaling.documents import (
    FAILED,
    IN_PROGRESS,
    INSTANCES,
    OVERRIDDEN,
    PENDING,
    SUCCESSFUL,
    Activity,
    Policy,
    ScalableTarget,
    ScheduledAction,
    Target,
)
from mooring.settings import QuotaSettings, Settings
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


def test_tracking_scales_out_by_the_load_and_in_after_it(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register(1, 4)
        await scene.put(tracking(scene.clock))
        assert [each.name for each in scene.book.of(HERE)] == sorted(NAMES)
        for _ in range(2):
            await scene.pass_time(60, CALLS, 14.0)  # twelve points a minute, so 168 calls
        assert await scene.count() == 1
        await scene.pass_time(120, CALLS, 14.0)
        assert await scene.count() == 3
        await scene.pass_time(600, CALLS, 14.0 / 3)
        assert await scene.count() == 3  # as many as it needs
        await scene.pass_time(18 * 60, CALLS, 1.0)
        assert await scene.count() == 1
        found = [(each.status, each.wanted, each.cause) for each in await scene.activities()]
        assert found == [
            (SUCCESSFUL, 1, f"monitor alarm {NAMES[1]} in state ALARM triggered policy t"),
            (SUCCESSFUL, 3, f"monitor alarm {NAMES[0]} in state ALARM triggered policy t"),
        ]
        assert scene.woken == ["uid-e", "uid-e"]

    played(tmp_path, script)


def test_an_alarm_that_stays_asks_again_after_each_cooldown(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register(1, 3)
        await scene.put(stepping(cooldown=60))
        await scene.book.put(alarm("high", "s"), {})
        await scene.pass_time(30, value=9)
        assert await scene.count() == 2
        await scene.pass_time(90, value=9)
        assert await scene.count() == 3
        await scene.pass_time(300, value=9)
        (kept,) = [each for each in await scene.activities(not_scaled=True) if each.not_scaled]
        assert kept.not_scaled == ({"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 3},)
        assert len([text for text in await scene.told() if "AlreadyAtMaxCapacity" in text]) == 1
        assert len([text for text in await scene.told() if "cools down" in text]) == 2  # once each time
        await scene.pass_time(60, value=1)
        assert scene.book.state_of(HERE, "high") is State.OK
        assert len(await scene.activities()) == 2

    played(tmp_path, script)


@pytest.mark.parametrize(("jump", "killed"), [(DAY, False), (-DAY, False), (-DAY, True)])
def test_a_cooldown_is_as_long_as_it_is_whatever_the_wall_clock_does(tmp_path: Path, jump: float, killed: bool) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register()
        await scene.put(stepping(cooldown=300))
        await scene.book.put(alarm("high", "s"), {})
        await scene.pass_time(20, value=9)
        assert await scene.count() == 2
        scene.clock.ahead += jump
        if killed:
            # All that the next control has is a time that is to come: it waits once more, and not for a day.
            await scene.restart()
        await scene.pass_time(280, value=9)
        assert await scene.count() == 2
        await scene.pass_time(40, value=9)
        assert await scene.count() == 3

    played(tmp_path, script)


def test_times_are_counted_from_the_first_look(tmp_path: Path) -> None:
    clock = TwoClocks()
    times = SteadyTimes(clock)
    policy = replace(stepping(), last_out_at=START - 100, last_in_at=START + 50, created_at=START - 1000)
    for _ in range(2):
        seen = times.seen(policy)
        now = clock.wall()
        assert seen.last_out_at is not None
        assert seen.last_in_at is not None
        waited = clock.steady
        assert now - seen.last_out_at == pytest.approx(100 + waited)
        assert now - seen.last_in_at == pytest.approx(waited)
        assert now - seen.created_at == pytest.approx(1000 + waited)
        clock.steady, clock.ahead = 30.0, START + DAY


def test_what_waits_begins_when_the_endpoint_is_in_service(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint(2)
        busy = transitions.reweighted(await scene.record(), [{"VariantName": "v", "DesiredWeight": 2}], START)
        await scene.write(endpoints.save, busy)
        await scene.register(3, 5)
        await scene.look()
        (waiting,) = await scene.activities()
        assert (waiting.status, waiting.message) == (
            PENDING,
            "The endpoint is Updating: it is scaled when it is InService.",
        )
        await scene.restart()
        await scene.settle()
        await scene.register(4, 5)  # another wish meanwhile
        await scene.look()
        begun, before = await scene.activities()
        assert (begun.status, begun.wanted, before.status) == (IN_PROGRESS, 4, OVERRIDDEN)
        await scene.restart()
        await scene.look()
        assert (await scene.activities())[0].status == IN_PROGRESS
        await scene.settle()
        await scene.look()
        (over, _) = await scene.activities()
        assert (over.status, over.message) == (
            SUCCESSFUL,
            "Successfully set desired instance count to 4. Change successfully fulfilled by sagemaker.",
        )
        assert await scene.told() == [
            "Setting desired instance count to 4. It was 2. Cause: minimum capacity was set to 4",
            f"{over.message} Cause: minimum capacity was set to 4",
        ]

    played(tmp_path, script)


def test_a_move_is_over_although_the_next_change_has_begun(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint(1)
        await scene.register(2, 5)
        await scene.look()
        await scene.settle()
        changes = [{"VariantName": "v", "DesiredWeight": 2}]
        await scene.write(endpoints.save, transitions.reweighted(await scene.record(), changes, START))
        await scene.look()
        assert [each.status for each in await scene.activities()] == [SUCCESSFUL]

    played(tmp_path, script)


def test_a_move_that_is_undone_has_failed(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint(1)
        await scene.register(2, 5)
        await scene.look()
        undone = transitions.unchanged(await scene.record(), "it does not start", START)
        await scene.write(endpoints.save, undone)
        await scene.look()
        assert (await scene.activities())[0].status == IN_PROGRESS
        await scene.write(endpoints.save, transitions.settled(await scene.record(), START))
        await scene.look()
        (failed,) = await scene.activities()
        assert failed.status == FAILED
        assert failed.message == "Failed to set desired instance count to 2. Reason: it does not start"

    played(tmp_path, script)


def test_a_move_of_an_endpoint_that_is_deleted_has_failed(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint(1)
        await scene.register(2, 5)
        await scene.look()
        await scene.write(endpoints.save, transitions.deleting(await scene.record(), START, forced=True))
        await scene.look()
        (failed,) = await scene.activities()
        assert (failed.status, failed.message) == (
            FAILED,
            f"Failed to set desired instance count to 2. Reason: {scaling_moves.GONE}",
        )

    played(tmp_path, script)


def test_the_same_refusal_again_and_again_is_one_activity(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        scene.settings = replace(Settings(), quotas=QuotaSettings(instances=1))
        scene.begin()
        await scene.endpoint()
        await scene.register()
        await scene.put(stepping(cooldown=0))
        await scene.book.put(alarm("high", "s"), {})
        await scene.pass_time(20, value=9)
        (first,) = await scene.activities()
        assert "The account-level service limit 'Number of instances across active endpoints' is 1" in first.message
        await scene.pass_time(60, value=9)
        (again,) = await scene.activities()
        assert (again.id, again.started_at) == (first.id, first.started_at)
        assert (again.ended_at or 0) > (first.ended_at or 0)
        assert len(await scene.told()) == 1
        assert await scene.count() == 1

    played(tmp_path, script)


STEPS = st.sampled_from(["settle", "undo", "reweight", "stop", "start", "kill", "ring", "look", "look", "look"])
BOUNDS = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted)


@given(st.lists(STEPS | BOUNDS, max_size=25), BOUNDS)
@hypothesis.settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_moves_end_and_the_bounds_hold(
    tmp_path: Path, steps: list[str | list[int]], last: list[int]
) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint(2)
        await scene.register(1, 4)
        await scene.put(stepping(cooldown=0))
        await scene.book.put(alarm("high", "s"), {})
        for step in [*steps, last]:
            await happen(scene, step)
            assert len([each for each in await scene.activities() if each.status == IN_PROGRESS]) <= 1
        record = await scene.record()
        if record.status is EndpointStatus.OUT_OF_SERVICE:
            await scene.write(endpoints.save, transitions.started(record, scene.clock.wall()))
        for _ in range(4):
            await scene.settle()
            await scene.scaling.look()
        assert not any(each.open for each in await scene.activities())
        record = await scene.record()
        assert record.status is EndpointStatus.IN_SERVICE
        assert max(1, last[0]) <= record.variants[0].current_count <= max(1, last[1])

    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        played(Path(place), script)


async def happen(scene: Scene, step: str | list[int]) -> None:
    """Something happens to an endpoint that is scaled."""
    now = scene.clock.wall()
    record = await scene.record()
    new: EndpointRecord | None = None
    scene.clock.steady += 11
    match step:
        case [least, most]:
            await scene.register(int(least), int(most))
        case "settle":
            await scene.settle()
        case "undo" if record.status is EndpointStatus.UPDATING:
            new = transitions.unchanged(record, "it does not start", now)
        case "reweight" if record.status is EndpointStatus.IN_SERVICE:
            new = transitions.reweighted(record, [{"VariantName": "v", "DesiredInstanceCount": 3}], now)
        case "stop" if record.status is EndpointStatus.IN_SERVICE:
            new = transitions.stopped(record, now)
        case "start" if record.status is EndpointStatus.OUT_OF_SERVICE:
            new = transitions.started(record, now)
        case "kill":
            await scene.restart()
        case "ring":
            held = scene.book.get(HERE, "high")
            assert held is not None
            await scene.book.move(held, State.OK, "x", "", by_hand=True)
            held = scene.book.get(HERE, "high")
            assert held is not None
            await scene.book.move(held, State.ALARM, "x", "", by_hand=True)
        case "look":
            await scene.scaling.look()
    if new is not None:
        await scene.write(endpoints.save, new)


def test_alarms_follow_their_policies(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        high, low = NAMES
        await scene.endpoint()
        await scene.register()
        await scene.put(tracking(scene.clock))
        mine = alarm(f"{high[:-1]}9x", "t")  # whatever somebody calls theirs
        await scene.book.put(mine, {})
        await scene.book.delete(HERE, [high])
        await scene.book.enable_actions(HERE, [low], enabled=False)
        await scene.pass_time(70, each=10)
        found = scene.book.get(HERE, high)
        assert found is not None
        assert found.definition["Threshold"] == 60.0
        await scene.put(tracking(scene.clock, TargetValue=80.0))
        found = scene.book.get(HERE, high)
        assert found is not None
        assert found.definition["Threshold"] == 80.0
        kept = scene.book.get(HERE, low)
        assert kept is not None
        assert kept.definition["ActionsEnabled"] is False
        await scene.put(tracking(scene.clock, DisableScaleIn=True))
        assert scene.book.get(HERE, low) is None
        # A control that was killed before it had deleted them.
        await scene.write(scaling.policies.delete, TARGET, "t")
        await scene.restart()
        await scene.look()
        assert [each.name for each in scene.book.of(HERE)] == [mine.name]

    played(tmp_path, script)


def test_an_action_names_a_policy_that_is_there(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register()
        await scene.put(stepping())
        ringing = alarm("high", "s")
        for action in ("arn:aws:autoscaling:none", "arn:aws:autoscaling:s"):
            foreign = replace(ringing, region="eu-west-1")
            with pytest.raises(Refused, match="There is no scaling policy"):
                await scene.scaling.triggered(foreign, Owed("i", action, "", ""))
        # Set by hand it asks once, as if its metric were at the threshold.
        await scene.book.put(ringing, {})
        await scene.book.move(ringing, State.ALARM, "a try", "", by_hand=True)
        held = scene.book.get(HERE, "high")
        assert held is not None
        await scene.scaling.triggered(held, held.owed[0])
        assert await scene.count() == 2
        await scene.settle()
        scene.clock.steady += 1000
        await scene.scaling.look()
        await scene.scaling.look()
        assert await scene.count() == 2

    played(tmp_path, script)


def test_datapoints_that_come_with_a_state_choose_the_step(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register()
        steps = [
            {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 5},
        ]
        await scene.put(replace(stepping(), config={"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps}))
        ringing = alarm("ok", "s", AlarmActions=[], OKActions=["arn:aws:autoscaling:s"])
        await scene.book.put(ringing, {})
        points = '{"recentDatapoints": [NaN, 1e308, 1e308, -Infinity, Infinity, 20.0]}'  # whoever may set it, writes it
        await scene.book.move(ringing, State.OK, "a try", points, by_hand=True)
        await scene.scaling.look()
        assert await scene.count() == 6
        assert (await scene.activities())[0].cause == "monitor alarm ok in state OK triggered policy s"

    played(tmp_path, script)


def test_missed_schedules_run_once_and_in_order(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register()
        await scene.schedule("often", "rate(1 minute)", MinCapacity=2)
        await scene.schedule("later", "rate(2 hours)", MinCapacity=4)
        await scene.scaling.look()
        assert await scene.count() == 1
        scene.clock.steady += 7500  # nobody was there
        await scene.restart()
        await scene.scaling.look()
        await scene.scaling.look()
        # `often` was due first, at its first minute; `later` came after it.
        assert await scene.count() == 4
        runs = [text for text in await scene.told() if text.startswith("Scheduled action")]
        assert [text.split()[2] for text in runs] == ["often", "later"]
        assert (await scene.activities())[0].cause == (
            "scheduled action name later was triggered: minimum capacity was set to 4"
        )
        (held,) = [each for each in await scene.store.read(scaling.actions.all) if each.name == "often"]
        assert held.due_at == START + 7560

    played(tmp_path, script)


def test_schedules_that_are_due_at_the_same_moment_all_run(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register()
        await scene.schedule("most", "at(2027-01-15T09:00:00)", MaxCapacity=8)
        await scene.schedule("least", "at(2027-01-15T09:00:00)", MinCapacity=3)
        await scene.pass_time(3700, each=60)
        runs = [text.split()[2] for text in await scene.told() if text.startswith("Scheduled action")]
        assert sorted(runs) == ["least", "most"]
        (held,) = await scene.store.read(scaling.targets.all)
        assert (held.least, held.most) == (3, 8)
        assert await scene.count() == 3

    played(tmp_path, script)


def test_a_clock_that_is_set_back_brings_schedules_back(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register()
        await scene.schedule("hourly", "cron(0 * * * ? *)", MinCapacity=2)
        scene.clock.ahead += 30 * DAY
        await scene.scaling.look()
        await scene.scaling.look()
        assert await scene.count() == 2
        for killed in (False, True):
            (held,) = await scene.store.read(scaling.actions.all)
            far = replace(held, due_at=scene.clock.wall() + 30 * DAY)
            await scene.write(scaling.actions.save, far)
            if killed:
                await scene.restart()
            else:
                await scene.scaling.follow()
                scene.clock.ahead -= 30 * DAY
            await scene.scaling.look()
            (held,) = await scene.store.read(scaling.actions.all)
            assert held.due_at is not None
            assert 0 < held.due_at - scene.clock.wall() <= 3600

    played(tmp_path, script)


def test_a_suspended_schedule_changes_nothing(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.endpoint()
        await scene.register(1, 4, ScheduledScalingSuspended=True)
        await scene.schedule("up", "rate(1 minute)", MinCapacity=3)
        await scene.pass_time(150, each=10)
        assert await scene.count() == 1
        (held,) = await scene.store.read(scaling.targets.all)
        assert held.least == 1
        assert await scene.activities() == []
        assert "Scheduled action up of variant v is suspended." in await scene.told()

    played(tmp_path, script)
