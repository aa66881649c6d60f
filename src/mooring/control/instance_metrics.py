"""What replicas use, as the metrics of instances in CloudWatch's `/aws/sagemaker/Endpoints`.

A replica is an instance. Of CPU 100 is one processor, so that the most is 100 for each that the machine has; of memory
100 is what the machine has, or the control group of Mooring allows, and for a serverless replica its MemorySizeInMB; of
the disk 100 is the file system of the data directory; of GPUs 100 is one GPU. All replicas are looked at in one pass
over `/proc`.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mooring.clock import Clock
from mooring.hosting.naming import Scope
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series, dimensions
from mooring.processes import machine
from mooring.processes.gpus import gpus_by_process, sum_of
from mooring.processes.usage import Usage, usage_of_groups

log = logging.getLogger("mooring.control")

NAMESPACE = "/aws/sagemaker/Endpoints"
PERCENT = "Percent"


class Living(NamedTuple):
    """A replica that runs: whose it is, and the id of its process group."""

    scope: Scope
    endpoint: str
    variant: str
    replica: str
    group: int
    enhanced: bool = False
    """Whether it has metrics of its own, beside those of its variant."""


class Sample(NamedTuple):
    """What one look found."""

    monotonic: float
    usages: dict[int, Usage]
    points: list[Point]


class InstanceMetrics:
    """`run` is the one task."""

    def __init__(
        self,
        living: Callable[[], Awaitable[list[Living]]],
        record: Callable[[Iterable[Point]], None],
        clock: Clock,
        disk: Path,
        used: Callable[[str], float | None] = lambda replica: None,
    ) -> None:
        """`used` is how much of its own memory a replica uses, of 1, if it is limited."""
        self._living = living
        self._record = record
        self._clock = clock
        self._disk = disk
        self._used = used
        self._last = Sample(0.0, {}, [])
        self._memory_bytes = machine.memory_gib() * 2**30

    async def run(self, interval_s: float) -> None:
        """Look until cancelled; never when `interval_s` is 0."""
        while interval_s > 0:
            await asyncio.sleep(interval_s)
            try:
                await self.look()
            except Exception:
                log.exception("what replicas use cannot be told")

    async def look(self) -> None:
        """Look once."""
        living = await self._living()
        if living:
            self._last = await asyncio.to_thread(self._sample, living)
            self._record(self._last.points)

    def _sample(self, living: list[Living]) -> Sample:
        now, at = self._clock.monotonic(), int(self._clock.wall())
        usages = usage_of_groups({each.group for each in living})
        gpus = gpus_by_process() if machine.accelerators() else {}
        disk = shutil.disk_usage(self._disk)
        points: list[Point] = []
        for each in living:
            usage = usages.get(each.group)
            if usage is None:
                continue
            own = self._used(each.replica)
            told = {"MemoryUtilization": 100 * (usage.resident_bytes / self._memory_bytes if own is None else own)}
            told["DiskUtilization"] = 100 * disk.used / disk.total
            before = self._last.usages.get(each.group)
            if before is not None and now > self._last.monotonic:
                told["CPUUtilization"] = 100 * max(usage.cpu_s - before.cpu_s, 0.0) / (now - self._last.monotonic)
            if gpus and (used := sum_of(gpus, usage.pids or [])) is not None:
                told["GPUUtilization"], told["GPUMemoryUtilization"] = used
            for name, value in told.items():
                points += _points(each, name, value, at)
        return Sample(now, usages, points)


def _points(living: Living, name: str, value: float, at: int) -> Iterator[Point]:
    of_variant = {"EndpointName": living.endpoint, "VariantName": living.variant}
    told = [of_variant, {**of_variant, "InstanceId": living.replica}] if living.enhanced else [of_variant]
    for pairs in told:
        series = Series(living.scope.account, living.scope.region, NAMESPACE, name, dimensions(pairs), PERCENT)
        yield Point(series, at, Distribution.repeated(value, 1.0))
