"""Scaling over a store of its own, real alarms and metrics, and clocks that the test sets; no replica is started."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from mooring.control import scaling_moves
from mooring.control.scaling_clocks import SteadyTimes
from mooring.errors import Refused
from mooring.hosting import transitions
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.metrics.alarms import Owed
from mooring.metrics.evaluating import State
from mooring.scaling.documents import (
    FAILED,
    IN_PROGRESS,
    OVERRIDDEN,
    PENDING,
    SUCCESSFUL,
)
from mooring.settings import QuotaSettings, Settings
from mooring.store import endpoints, scaling
from tests.control.scaling_scene import (
    CALLS,
    DAY,
    NAMES,
    START,
    TARGET,
    Scene,
    TwoClocks,
    alarm,
    played,
    stepping,
    tracking,
)
from tests.store.making import HERE


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
