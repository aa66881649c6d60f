"""What replicas use, told per variant, and per instance where a config asks for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from mooring.control.instance_metrics import InstanceMetrics, Living
from mooring.hosting.naming import Scope
from mooring.metrics.series import Point


class SetClock:
    now = 100.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def test_memory_is_told_of_what_a_replica_may_use(tmp_path: Path) -> None:
    told: list[Point] = []
    scope, group = Scope("1", "r"), os.getpgid(0)

    async def found() -> list[Living]:
        return [Living(scope, "serverless", "v", "i-1", group), Living(scope, "plain", "v", "i-2", group)]

    used = {"i-1": 0.625}
    asyncio.run(InstanceMetrics(found, told.extend, SetClock(), tmp_path, used.get).look())
    memory = {dict(each.series.dimensions)["EndpointName"]: each for each in told if "Memory" in each.series.name}
    assert memory["serverless"].seen.total == 62.5
    assert 0 < memory["plain"].seen.total < 62.5


def test_a_look_tells_of_what_lives(tmp_path: Path) -> None:
    told: list[Point] = []
    clock, group = SetClock(), os.getpgid(0)
    living = [
        Living(Scope("1", "r"), "plain", "v", "i-1", group),
        Living(Scope("1", "r"), "enhanced", "v", "i-2", group, enhanced=True),
        Living(Scope("1", "r"), "gone", "v", "i-3", 2**30),
    ]

    async def found() -> list[Living]:
        return living

    async def run() -> None:
        metrics = InstanceMetrics(found, told.extend, clock, tmp_path)
        await metrics.look()
        assert not [point for point in told if point.series.name == "CPUUtilization"]  # it takes two looks
        told.clear()
        clock.now += 1
        sum(range(2_000_000))
        await metrics.look()

    asyncio.run(run())
    names = {"MemoryUtilization", "DiskUtilization", "CPUUtilization"}
    by_endpoint: dict[str, list[Point]] = {}
    for point in told:
        by_endpoint.setdefault(dict(point.series.dimensions)["EndpointName"], []).append(point)
    assert by_endpoint.keys() == {"plain", "enhanced"}
    assert {point.series.name for point in by_endpoint["plain"]} == names
    assert len(by_endpoint["enhanced"]) == 2 * len(names)
    assert {dict(point.series.dimensions).get("InstanceId") for point in by_endpoint["enhanced"]} == {None, "i-2"}
    assert all(0 <= point.seen.total <= 100 * (os.cpu_count() or 1) * 2 for point in told)
    assert next(p for p in told if p.series.name == "MemoryUtilization").seen.total > 0
