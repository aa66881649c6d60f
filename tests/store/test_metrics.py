"""Metrics on disk: everything that was flushed is there again, once; what is old goes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DatabaseError

from mooring.errors import DataDirectoryError, LimitExceeded
from mooring.metrics.distributions import Distribution, merged
from mooring.metrics.series import Point, Series
from mooring.store.metric_blocks import LEVELS, Block, level_for
from mooring.store.metric_data import MetricData, Retention
from mooring.store.metric_schema import open_metrics
from mooring.store.metric_store import MetricStore

RETENTION = Retention({1: 10_800, 60: 1_296_000, 300: 5_443_200, 3600: 39_312_000}, 100)
NOW = 1_800_000_000
A = Series("1", "r", "N", "a", (("D", "x"),), "None")
B = A._replace(name="b")


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def opened(path: Path, clock: Clock | None = None, retention: Retention = RETENTION) -> MetricData:
    return MetricData(open_metrics(path), retention, clock or Clock())


def point(at: int, *values: float, series: Series = A) -> Point:
    return Point(series, at, Distribution.of(values))


def read(data: MetricData, level: int = 1, series: Series = A) -> dict[int, float]:
    found = data.points(series, level_for(level), NOW - 40_000_000, NOW + 7200)
    return {at - NOW: seen.total for at, seen in found.items()}


distributions = st.one_of(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20).map(Distribution.of),
    st.just(Distribution.summarized(3, 6, 1, 4)),
)


@given(st.dictionaries(st.integers(0, 71), distributions, max_size=20))
def test_a_block_survives_its_row(points: dict[int, Distribution]) -> None:
    assert Block.unpacked(Block(points).packed()) == Block(points)


@given(st.binary(max_size=40))
def test_what_is_no_block_is_refused(row: bytes) -> None:
    with pytest.raises(ValueError):
        Block.unpacked(row)


def test_a_full_disk_is_told_and_takes_nothing(tmp_path: Path) -> None:
    data = opened(tmp_path / "m.db")
    data.record([point(NOW, 1)])
    data.flush()
    pages = data._connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    data._connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    data.receive("gateway", 1, [point(NOW, 2, series=A._replace(name=str(n) * 200)) for n in range(90)])
    with pytest.raises(DatabaseError, match="is full"):
        data.flush()
    data._connection.exec_driver_sql("PRAGMA max_page_count=100000")
    assert data.flush() == {"gateway": 1}
    again = opened(tmp_path / "m.db")
    assert read(again, series=A._replace(name="89" * 200)) == {0: 2}


def test_points_are_read_before_and_after_a_flush_and_after_a_kill(tmp_path: Path) -> None:
    data = opened(tmp_path / "m.db")
    data.record([point(NOW, 1, 2), point(NOW - 61, 4), point(NOW, 8)])
    wanted = {0: 11, -61: 4}
    assert read(data) == wanted
    assert data.flush() == {}
    data.record([point(NOW - 1, 100)])  # not flushed
    again = opened(tmp_path / "m.db")
    assert read(again) == wanted
    again.record([point(NOW, 16)])
    assert read(again) == {0: 27, -61: 4}
    assert sum(read(again, 3600).values()) == 31
    assert again.series()[A].last_at == NOW
    data.close()
    again.close()


def test_a_message_counts_once_whenever_control_dies(tmp_path: Path) -> None:
    data = opened(tmp_path / "m.db")
    data.receive("g", 1, [point(NOW, 1)])
    data.receive("g", 1, [point(NOW, 1)])
    assert data.flush() == {"g": 1}
    data.receive("g", 2, [point(NOW, 2)])
    data.close()  # killed before the flush: the gateway sends it again, and by then the first one too
    data = opened(tmp_path / "m.db")
    for sequence, value in ((1, 1), (2, 2), (3, 4)):
        data.receive("g", sequence, [point(NOW, value)])
    data.receive("other", 1, [point(NOW, 8)])
    assert read(data) == {0: 15}
    assert data.flush() == {"g": 3, "other": 1}
    data.close()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-9000, 0), st.floats(0.1, 1e6), st.sampled_from(["flush", "reopen", ""])), max_size=25
    )
)
def test_every_level_tells_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, float, str]]
) -> None:
    path = tmp_path_factory.mktemp("metrics") / "m.db"
    data = opened(path)
    for ago, value, then in steps:
        data.record([point(NOW + ago, value)])
        if then:
            data.flush()
        if then == "reopen":
            data.close()
            data = opened(path)
    wanted = Distribution.of([value for _, value, _ in steps])
    for level in LEVELS:
        found = merged(data.points(A, level, NOW - 20_000, NOW + 3600).values())
        assert found.buckets == wanted.buckets
        assert found.total == pytest.approx(wanted.total)
    data.close()


def test_what_is_old_goes_level_by_level(tmp_path: Path) -> None:
    clock = Clock()
    data = opened(tmp_path / "m.db", clock)
    data.record([point(NOW, 1)])
    data.flush()
    for later, left in ((20_000, (60, 300, 3600)), (2_000_000, (300, 3600)), (8_000_000, (3600,)), (50_000_000, ())):
        clock.now = NOW + later
        data.prune()
        assert [level for level in (1, 60, 300, 3600) if read(data, level)] == list(left)
    assert not data.series()
    data.close()
    again = opened(tmp_path / "m.db", clock)
    assert not again.series()
    again.close()


def test_a_range_without_end_is_read_as_far_as_there_can_be_points(tmp_path: Path) -> None:
    data = opened(tmp_path / "m.db")
    data.record([point(NOW + 7000, 1)])
    assert data.points(A, LEVELS[0], 0, 250_000_000_000).keys() == {NOW + 7000}
    data.close()


def test_series_are_bounded(tmp_path: Path) -> None:
    data = opened(tmp_path / "m.db", retention=Retention(RETENTION.seconds, 1))
    data.record([point(NOW, 1), point(NOW, 1, series=B), point(NOW + 9000, 1)])
    assert read(data) == {0: 1}
    assert data.dropped == 2
    data.require_room([A])
    with pytest.raises(LimitExceeded, match="MOST_SERIES"):
        data.require_room([A, B])
    data.close()


def test_a_broken_file_is_put_aside_and_a_newer_one_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    path.write_bytes(b"not a database at all" * 100)
    opened(path).close()
    assert len(list(tmp_path.glob("m.db.broken-*"))) == 1
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(DataDirectoryError, match="newer Mooring"):
        open_metrics(path)


def test_a_store_flushes_by_itself_and_at_its_end(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        store = await MetricStore.open(tmp_path / "m.db", RETENTION, clock)
        told: asyncio.Queue[dict[str, int]] = asyncio.Queue()
        task = asyncio.create_task(store.run(0.01, told.put_nowait))
        store.receive("g", 7, [point(NOW, 1)])
        async with asyncio.timeout(10):
            while await told.get() != {"g": 7}:
                pass
        task.cancel()
        store.record([point(NOW, 2)])
        await store.close()

    asyncio.run(run())
    data = opened(tmp_path / "m.db")
    assert read(data) == {0: 3}
    data.close()
