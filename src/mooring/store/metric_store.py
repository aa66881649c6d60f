"""`MetricStore`: the metrics of one control process, on a thread of their own.

What is recorded can be read at once, and is on disk after the next flush: killing control takes nothing from a gateway,
which sends again what was not flushed, and the last `flush_s` of all else.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DatabaseError

from mooring.metrics.series import Point
from mooring.store.metric_data import MetricData, Retention
from mooring.store.metric_schema import open_metrics

T = TypeVar("T")

FLUSHES_BETWEEN_PRUNINGS = 120

_log = logging.getLogger("mooring.store")


class MetricStore:
    """Open with `MetricStore.open`, keep with `run`, close once."""

    def __init__(self, data: MetricData, thread: ThreadPoolExecutor) -> None:
        self._data = data
        self._thread = thread
        self._failing = False

    @staticmethod
    async def open(path: Path, retention: Retention, wall: Callable[[], float]) -> MetricStore:
        """Raises `DataDirectoryError`."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(thread, lambda: MetricData(open_metrics(path), retention, wall))
        return MetricStore(data, thread)

    async def read(self, query: Callable[[MetricData], T]) -> T:
        """What `query` returns."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, query, self._data)

    def record(self, points: Iterable[Point]) -> None:
        """Record what was counted or measured; reads that are asked for later see it."""
        self._submit(lambda data: data.record(points))

    def receive(self, source: str, sequence: int, points: Iterable[Point]) -> None:
        """Record a message of a source, once."""
        self._submit(lambda data: data.receive(source, sequence, points))

    async def run(self, flush_s: float, on_flush: Callable[[dict[str, int]], None]) -> None:
        """Flush again and again, and say how far each source's messages are on disk."""
        flushes = 0
        while True:
            await asyncio.sleep(flush_s)
            flushes += 1
            prune = flushes % FLUSHES_BETWEEN_PRUNINGS == 1
            told = await self.read(functools.partial(self._flush, prune=prune))
            if told is not None:
                on_flush(told)

    async def close(self) -> None:
        """Flush and close."""
        await self.read(lambda data: self._flush(data, prune=False))
        await self.read(MetricData.close)
        await asyncio.to_thread(self._thread.shutdown)

    def _submit(self, work: Callable[[MetricData], None]) -> None:
        def done() -> None:
            try:
                work(self._data)
            except Exception:  # noqa: BLE001 - nobody waits for it
                _log.exception("metrics were not recorded")

        self._thread.submit(done)

    def _flush(self, data: MetricData, *, prune: bool) -> dict[str, int] | None:
        try:
            told = data.flush()
            if prune:
                data.prune()
        except DatabaseError as error:  # a full disk: it stays in memory, and the next flush tries again
            if not self._failing:
                _log.error("metrics cannot be written: %s", error.orig)
            self._failing = True
            return None
        self._failing = False
        return told
