"""Time series on disk, with their newest blocks in memory: recorded and read on one thread (`MetricStore`).

A point is merged into a block of every level, and all changed blocks are written together with how far each gateway's
messages are in them. So after a kill nothing is half there: a message is in every level or in none, and a gateway sends
again what is in none.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DatabaseError

from mooring.errors import LimitExceeded
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Metric, Point, Series, dimensions
from mooring.store import metric_schema as schema
from mooring.store.metric_blocks import LEVELS, Block, Level

FURTHEST_S = 7200
"""No point is from further in the future."""
FORGET_SOURCES_S = 15 * 86_400
UNUSED_BLOCK_S = 900
"""A block that was neither written to nor read from for this long leaves memory."""

_log = logging.getLogger("mooring.store")

_BlockKey = tuple[int, int, int]
"""Series, seconds of a point, start."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long points are kept, by the seconds of a point."""

    seconds: Mapping[int, float]
    most_series: int


@dataclass(slots=True)
class _Held:
    block: Block
    used_at: float
    changed: bool = False


@dataclass(slots=True)
class Known:
    """A series that there is."""

    id: int
    last_at: int
    changed: bool = False
    new: bool = False
    """Not on disk yet."""


class MetricData:
    """The file, and what of it is in memory. Not for two threads."""

    def __init__(self, engine: Engine, retention: Retention, wall: Callable[[], float]) -> None:
        self._engine = engine
        self._connection = engine.connect()
        self._retention = retention
        self._wall = wall
        self._blocks: dict[_BlockKey, _Held] = {}
        self._series = {_series_of(row): Known(row.id, row.last_at) for row in self._rows(schema.series)}
        self._of_metric: dict[Metric, list[Series]] = {}
        for series in self._series:
            self._of_metric.setdefault(series.metric, []).append(series)
        self._sources = {row.name: (row.sequence, row.at) for row in self._rows(schema.sources)}
        self._new_sources: set[str] = set()
        self._next_id = max((known.id for known in self._series.values()), default=0) + 1
        self.dropped = 0
        """Points that came for a series too many, or for a time that is no longer kept."""

    def close(self) -> None:
        """Without writing: see `flush`."""
        self._connection.close()
        self._engine.dispose()

    # Writing

    def receive(self, source: str, sequence: int, points: Iterable[Point]) -> None:
        """Record a message of a source, unless it was recorded before."""
        if sequence <= self._sources.get(source, (0, 0))[0]:
            return
        self.record(points)
        self._sources[source] = (sequence, int(self._wall()))
        self._new_sources.add(source)

    def record(self, points: Iterable[Point]) -> None:
        """Merge points in; those of a series too many are dropped, and counted."""
        now = self._wall()
        for series, at, seen in points:
            known = self._known(series)
            if known is None or at > now + FURTHEST_S:
                self.dropped += 1
                continue
            known.last_at = max(known.last_at, at)
            known.changed = True
            for level in LEVELS:
                if at > now - self._retention.seconds[level.seconds] - level.span:
                    held = self._held(known.id, level, level.start_of(at), now)
                    held.block.merge(at % level.span // level.seconds, seen)
                    held.changed = True

    def require_room(self, wanted: Iterable[Series]) -> None:
        """Raises `LimitExceeded` when so many more series cannot be kept."""
        new = {series for series in wanted if series not in self._series}
        if len(self._series) + len(new) > self._retention.most_series:
            raise LimitExceeded(
                f"There are {len(self._series)} metrics, and MOORING_METRICS_MOST_SERIES allows "
                f"{self._retention.most_series}."
            )

    def flush(self) -> dict[str, int]:
        """Write what changed, in one transaction; returns how far each source's messages are on disk."""
        changed = {key: held for key, held in self._blocks.items() if held.changed}
        rows = [
            {"series": key[0], "level": key[1], "start": key[2], "points": held.block.packed()}
            for key, held in changed.items()
        ]
        new = [_row_of(series, known) for series, known in self._series.items() if known.new]
        touched = [{"key": k.id, "last": k.last_at} for k in self._series.values() if k.changed and not k.new]
        told = [
            {"name": name, "sequence": self._sources[name][0], "at": self._sources[name][1]}
            for name in self._new_sources
        ]
        if rows or new or touched or told:
            self._in_transaction(lambda connection: _write(connection, rows, new, touched, told))
        for held in changed.values():
            held.changed = False
        for known in self._series.values():
            known.changed = known.new = False
        self._new_sources.clear()
        self._let_go()
        return self.sources()

    def prune(self) -> None:
        """Forget what is older than it is kept."""
        now = self._wall()
        limits = {level: int(now - self._retention.seconds[level.seconds] - level.span) for level in LEVELS}
        oldest = int(now - max(self._retention.seconds.values()))
        gone = [series for series, known in self._series.items() if known.last_at < oldest]
        silent = [name for name, (_, at) in self._sources.items() if at < now - FORGET_SOURCES_S]

        def remove(connection: Connection) -> None:
            for level, start in limits.items():
                table = schema.blocks.c
                connection.execute(delete(schema.blocks).where(table.level == level.seconds, table.start < start))
            for series in gone:
                connection.execute(delete(schema.series).where(schema.series.c.id == self._series[series].id))
            for name in silent:
                connection.execute(delete(schema.sources).where(schema.sources.c.name == name))

        self._in_transaction(remove)
        by_seconds = {level.seconds: start for level, start in limits.items()}
        for key in [key for key in self._blocks if key[2] < by_seconds[key[1]]]:
            del self._blocks[key]
        for series in gone:
            del self._series[series]
            self._of_metric[series.metric].remove(series)
            if not self._of_metric[series.metric]:
                del self._of_metric[series.metric]
        for name in silent:
            del self._sources[name]

    # Reading

    def series(self) -> Mapping[Series, Known]:
        """Every series that there is."""
        return self._series

    def of_metric(self, metric: Metric, unit: str | None = None) -> list[Series]:
        """The series of a metric, in one unit or in all."""
        return [series for series in self._of_metric.get(metric, ()) if unit is None or series.unit == unit]

    def sources(self) -> dict[str, int]:
        """Up to which message each source's were recorded."""
        return {name: sequence for name, (sequence, _) in self._sources.items()}

    def points(self, series: Series, level: Level, start: int, end: int) -> dict[int, Distribution]:
        """The points of a series from `start` to before `end`, by the start of each, ascending; not to be changed."""
        known = self._series.get(series)
        if known is None:
            return {}
        now, found = self._wall(), dict[int, Distribution]()
        since = max(start, int(now - self._retention.seconds[level.seconds] - level.span))
        end = min(end, int(now) + FURTHEST_S + 1)
        blocks = self._read(known.id, level, level.start_of(since), end)
        for begin in range(level.start_of(since), end, level.span):
            held = self._blocks.get((known.id, level.seconds, begin))
            block = held.block if held is not None else blocks.get(begin)
            if block is None:
                continue
            for place in sorted(block.points):
                at = begin + place * level.seconds
                if start <= at < end:
                    found[at] = block.points[place]
        return found

    # Inside

    def _known(self, series: Series) -> Known | None:
        known = self._series.get(series)
        if known is None and len(self._series) < self._retention.most_series:
            known = self._series[series] = Known(self._next_id, 0, new=True)
            self._of_metric.setdefault(series.metric, []).append(series)
            self._next_id += 1
        return known

    def _held(self, series: int, level: Level, start: int, now: float) -> _Held:
        key = (series, level.seconds, start)
        held = self._blocks.get(key)
        if held is None:
            block = self._read(series, level, start, start + 1).get(start)
            held = self._blocks[key] = _Held(block or Block(), now)
        held.used_at = now
        return held

    def _read(self, series: int, level: Level, start: int, end: int) -> dict[int, Block]:
        values = {"series": series, "level": level.seconds, "start": start, "end": end}
        found = {}
        for row in self._connection.execute(_SELECT, values):
            try:
                found[row.start] = Block.unpacked(row.points)
            except ValueError as error:
                _log.error("a block of metrics cannot be read and is left out: %s", error)
        return found

    def _let_go(self) -> None:
        before = self._wall() - UNUSED_BLOCK_S
        for key in [key for key, held in self._blocks.items() if held.used_at < before]:
            del self._blocks[key]

    def _rows(self, table: Table) -> list[Row[Any]]:
        return list(self._connection.execute(select(table)))

    def _in_transaction(self, change: Callable[[Connection], object]) -> None:
        self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            change(self._connection)
            self._connection.exec_driver_sql("COMMIT")
        except BaseException:
            with contextlib.suppress(DatabaseError):  # on a full disk SQLite has rolled back by itself
                self._connection.exec_driver_sql("ROLLBACK")
            raise


_SELECT = select(schema.blocks.c.start, schema.blocks.c.points).where(
    schema.blocks.c.series == bindparam("series"),
    schema.blocks.c.level == bindparam("level"),
    schema.blocks.c.start >= bindparam("start"),
    schema.blocks.c.start < bindparam("end"),
)


def _write(
    connection: Connection,
    rows: list[dict[str, object]],
    new: list[dict[str, object]],
    touched: list[dict[str, int]],
    told: list[dict[str, object]],
) -> None:
    if new:
        connection.execute(insert(schema.series), new)
    if rows:
        put = sqlite.insert(schema.blocks)
        connection.execute(
            put.on_conflict_do_update(
                index_elements=["series", "level", "start"], set_={"points": put.excluded.points}
            ),
            rows,
        )
    if touched:
        table = schema.series
        connection.execute(
            update(table).where(table.c.id == bindparam("key")).values(last_at=bindparam("last")), touched
        )
    if told:
        put = sqlite.insert(schema.sources)
        changes = {"sequence": put.excluded.sequence, "at": put.excluded.at}
        connection.execute(put.on_conflict_do_update(index_elements=["name"], set_=changes), told)


def _series_of(row: Row[Any]) -> Series:
    pairs = dimensions([(name, value) for name, value in json.loads(row.dimensions)])
    return Series(row.account, row.region, row.namespace, row.name, pairs, row.unit)


def _row_of(series: Series, known: Known) -> dict[str, object]:
    return {**series._asdict(), "dimensions": json.dumps(series.dimensions), "id": known.id, "last_at": known.last_at}
