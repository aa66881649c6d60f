"""The synthetic requests of one explained call: cut within the caps, some under way at a time, tried again in halves.

What ends is bounded. A refused request is tried again as two halves, and one of a single record that is refused ends
the call with what the container said, unless it takes two of the same: as it came, one row is not always a table of
one row to a model. One that is only too busy (429, 503), or gives no answer, is asked again after a
pause, but no more than `PATIENCE` times without an answer in between; every answer means rows that are done. What was
under way when it became busy says that once, however much it was.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from mooring.explainer.faults import Unexplainable
from mooring.explainer.frames import Predict, Predicted
from mooring.explainer.reading.records import body_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mooring.explainer.work.batching import Batching

AHEAD_S = 0.15
"""Requests for so long are under way: no replica idles while this process solves a record or two."""
DEPTH, DEPTH_MOST = 3, 24
"""Requests under way for each that the replicas take at a time."""
MOST = 256
BYTES = 33_554_432
"""Of bodies under way, of one call; one request may always be under way."""
BUSY = (0, 429, 503)
PATIENCE = 8
PAUSE_S, PAUSE_MAX_S = 0.05, 1.0
REMEMBERED_BYTES = 4096
"""Of what a container said of a single record, which is kept as long as what else was learned of it."""

_AROUND = len(body_of([b""]))
_BETWEEN = len(body_of([b"", b""])) - _AROUND


class Refused(Exception):
    """The container refuses a single record, or all for too long."""

    def __init__(self, predicted: Predicted, row: bytes | None = None) -> None:
        super().__init__(f"a synthetic request was answered with {predicted.status}")
        self.predicted = predicted
        self.row = row
        """The record that it refuses."""


class Chunk(NamedTuple):
    """Rows with successive numbers that go into a request."""

    first: int
    rows: list[bytes]
    size: int
    """Of the body."""
    refused: Predicted | None = None
    """What the container said of the single row, which is now sent twice."""

    @property
    def sent(self) -> list[bytes]:
        """The rows as they are sent."""
        return self.rows if self.refused is None else self.rows * 2


class Caps(NamedTuple):
    """What no synthetic request may exceed."""

    records: int | None
    size: int


class Requests:
    """Of one call. Rows come in the order of their numbers from `unsent`, which its owner fills."""

    def __init__(self, call: int, batching: Batching, caps: Caps, width: int, unsent: deque[bytes]) -> None:
        self.asked = 0
        """Records that the model was asked for, with those that it was asked for again."""
        self._call = call
        self._batching = batching
        self._caps = caps
        self._width = width
        self._unsent = unsent
        self._next_row = 0
        self._number = 0
        self._under_way: dict[int, Chunk] = {}
        self._size = 0
        self._again: deque[Chunk] = deque()
        self._in_vain = 0
        self._busy_until = 0  # the number of the last request that was made before it was found busy
        self._not_before = 0.0

    @property
    def size(self) -> int:
        """How many records the next request may have."""
        return self._batching.size if self._caps.records is None else min(self._batching.size, self._caps.records)

    @property
    def has_again(self) -> bool:
        """Whether rows that were refused are to be tried again."""
        return bool(self._again)

    @property
    def not_before(self) -> float:
        """When the container is to be asked again."""
        return self._not_before

    def have_room(self, now: float) -> bool:
        """Whether one more may be under way."""
        most = 1
        if not self._in_vain and self._batching.answers:
            depth = min(max(DEPTH, math.ceil(AHEAD_S / self._batching.seconds(self.size))), DEPTH_MOST)
            most = min(MOST, depth * self._width, 1 + self._batching.answers)
        return len(self._under_way) < most and (self._size < BYTES or not self._under_way) and now >= self._not_before

    def next(self) -> Predict | None:
        """One more request; None when there are no rows. Raises `Unexplainable` for a row above the cap."""
        chunk = self._refused_before() if self._again else self._fresh()
        if chunk is None:
            return None
        alone = self._batching.refused_alone
        if len(chunk.rows) == 1 and chunk.refused is None and alone is not None:
            with contextlib.suppress(Refused):
                chunk = self._twice(chunk, alone)
        self._number += 1
        self._under_way[self._number] = chunk
        self._size += chunk.size
        self.asked += len(chunk.sent)
        return Predict(self._call, self._number, len(chunk.sent), body_of(chunk.sent))

    def taken(self, number: int) -> Chunk | None:
        """What the request with this number asked for; it is not under way any more."""
        chunk = self._under_way.pop(number, None)
        if chunk is not None:
            self._size -= chunk.size
        return chunk

    def answered(self, chunk: Chunk, seconds: float) -> None:
        """It was answered as it should be."""
        self._in_vain = 0
        self._batching.answered(len(chunk.sent), seconds)
        if chunk.refused is not None:
            self._batching.refused_alone = chunk.refused._replace(body=chunk.refused.body[:REMEMBERED_BYTES])

    def refused(self, chunk: Chunk, predicted: Predicted, now: float) -> None:
        """The container did not predict it. Raises `Refused` when it is not to be tried again."""
        if predicted.status in BUSY:
            self._pause(predicted, now)
            if predicted.status != 0 and self._in_vain <= PATIENCE // 2:
                self._again.appendleft(chunk)  # parts of it would only be more requests
                return
        elif len(chunk.rows) == 1:
            self._again.appendleft(self._twice(chunk, predicted))
            return
        if predicted.status not in BUSY or predicted.status == 0:  # it may have died of the size
            self._batching.refused(len(chunk.rows))
        half = (len(chunk.rows) + 1) // 2
        for first, rows in ((half, chunk.rows[half:]), (0, chunk.rows[:half])):
            if rows:
                self._again.appendleft(Chunk(chunk.first + first, rows, size_of(rows)))

    def _pause(self, predicted: Predicted, now: float) -> None:
        if self._in_vain and predicted.number <= self._busy_until:
            return
        self._in_vain += 1
        if self._in_vain > PATIENCE:
            raise Refused(predicted)
        self._busy_until = self._number
        self._not_before = now + min(PAUSE_S * 2 ** (self._in_vain - 1), PAUSE_MAX_S)

    def _twice(self, chunk: Chunk, refused: Predicted) -> Chunk:
        size = size_of(chunk.rows * 2)
        if chunk.refused is not None:
            first = refused if chunk.refused is self._batching.refused_alone else chunk.refused
            raise Refused(first, chunk.rows[0])
        if (self._caps.records or 2) < 2 or size > self._caps.size:
            raise Refused(refused, chunk.rows[0])
        return chunk._replace(size=size, refused=refused)

    def _refused_before(self) -> Chunk:
        chunk, most = self._again.popleft(), self.size
        if len(chunk.rows) <= most:
            return chunk
        rest = chunk.rows[most:]
        self._again.appendleft(Chunk(chunk.first + most, rest, size_of(rest)))
        return Chunk(chunk.first, chunk.rows[:most], size_of(chunk.rows[:most]))

    def _fresh(self) -> Chunk | None:
        if not self._unsent:
            return None
        rows = cut(self._unsent, self.size, self._caps.size)
        chunk = Chunk(self._next_row, rows, size_of(rows))
        self._next_row += len(rows)
        return chunk


def size_of(rows: Sequence[bytes]) -> int:
    """Of the body with these rows."""
    return _AROUND + sum(map(len, rows)) + _BETWEEN * (len(rows) - 1)


def cut(unsent: deque[bytes], most: int, most_bytes: int) -> list[bytes]:
    """The rows of the next request, taken from `unsent`, which has some."""
    size = _AROUND - _BETWEEN
    rows: list[bytes] = []
    while unsent and len(rows) < most:
        size += _BETWEEN + len(unsent[0])
        if size > most_bytes:
            break
        rows.append(unsent.popleft())
    if not rows:
        raise Unexplainable(
            f"a synthetic request with one record is {size} bytes long, and MaxPayloadInMB allows {most_bytes}: "
            f"{unsent[0][:80].decode('utf-8', 'replace')!r}"
        )
    return rows
