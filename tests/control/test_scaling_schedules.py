"""Scheduled actions as control runs them: missed ones, several at once, and clocks that are set back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mooring.store import scaling
from tests.control.scaling_scene import DAY, START, Scene, played


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
