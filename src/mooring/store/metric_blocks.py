"""How points lie on disk: a block holds those of one series at one resolution, over one span of time.

The text of a block is a row: zlib of, a point after the other, its place in the span, the number of its buckets (-1:
they are not known), count, sum, least and most, the buckets' keys, and how often each was seen.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from mooring.metrics.distributions import Distribution

_POINT = struct.Struct("<Hidddd")
_LEVEL_OF_ZLIB = 1


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution in which points are kept."""

    seconds: int
    """Of one point."""
    span: int
    """Seconds of one block."""

    def start_of(self, at: int) -> int:
        """Where the block of a moment begins."""
        return at - at % self.span


LEVELS = (Level(1, 60), Level(60, 3600), Level(300, 21_600), Level(3600, 259_200))


def level_for(period: int) -> Level:
    """The coarsest level from which a period can be put together."""
    return next(level for level in reversed(LEVELS) if period % level.seconds == 0)


@dataclass(slots=True)
class Block:
    """Points by their place in the span."""

    points: dict[int, Distribution] = field(default_factory=dict)

    def merge(self, place: int, seen: Distribution) -> None:
        """See more in one place."""
        held = self.points.get(place)
        if held is None:
            self.points[place] = seen.copy()
        else:
            held.merge(seen)

    def packed(self) -> bytes:
        """The row."""
        raw = bytearray()
        for place, seen in self.points.items():
            buckets = seen.buckets
            size = -1 if buckets is None else len(buckets)
            raw += _POINT.pack(place, size, seen.count, seen.total, seen.least, seen.most)
            if buckets:
                raw += _little(array("i", buckets.keys())) + _little(array("d", buckets.values()))
        return zlib.compress(bytes(raw), _LEVEL_OF_ZLIB)

    @staticmethod
    def unpacked(row: bytes) -> Block:
        """The inverse of `packed`. Raises ValueError for what is none."""
        try:
            return Block(dict(_points(zlib.decompress(row))))
        except (zlib.error, struct.error) as error:
            raise ValueError(str(error)) from None


def _points(raw: bytes) -> Iterator[tuple[int, Distribution]]:
    position = 0
    while position < len(raw):
        place, size, count, total, least, most = _POINT.unpack_from(raw, position)
        position += _POINT.size
        buckets: dict[int, float] | None = None
        if size >= 0:
            keys, times = array("i"), array("d")
            keys.frombytes(raw[position : position + 4 * size])
            position += 4 * size
            times.frombytes(raw[position : position + 8 * size])
            position += 8 * size
            if sys.byteorder == "big":
                keys.byteswap()
                times.byteswap()
            buckets = dict(zip(keys, times, strict=True))
        yield place, Distribution(count, total, least, most, buckets)


def _little(values: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
