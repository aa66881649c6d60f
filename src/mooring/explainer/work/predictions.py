"""The synthetic rows of one explained call: each different row is sent once, and its scores are kept until used.

A row has a number. The same text has the same number, over all records, masks and baseline rows of the call; a row that
is the record itself, or a baseline row, has its scores from the start. What is remembered of texts is bounded, for one
call and for all together; rows beyond that are sent as often as they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 65_536
"""Of a call, whose texts are remembered at most."""
SCORES = 2_097_152
"""Of a call, that are remembered at most."""
TEXT = 512
"""A longer row is remembered by its digest."""
ROW_BYTES = 160
"""About what one costs beside its text."""
REMEMBERED_BYTES = 64 * 1024 * 1024
"""Over all calls of a process."""


class Room:
    """What all calls of a process may remember of texts."""

    def __init__(self, size: int = REMEMBERED_BYTES) -> None:
        self.left = size


class Predictions:
    """Numbers rows, and holds their scores."""

    def __init__(self, classes: int, room: Room) -> None:
        self.unsent: deque[bytes] = deque()
        """Rows that are to be predicted, in the order of their numbers."""
        self.count = 0
        """Rows that were ever numbered, without those whose scores were known."""
        self._room = room
        self._taken = 0
        self._numbers: dict[bytes, int] = {}
        self._remembers = True
        self._most = min(ROWS, SCORES // classes)
        self._known: list[NDArray[np.float64]] = []
        # A remembered row stays where it is; of those from `_kept` on, the ones below `_first` are gone.
        self._kept = self._first = 0
        self._scores: NDArray[np.float64] = np.empty((256, classes))
        self._there: NDArray[np.bool_] = np.zeros(256, np.bool_)

    def know(self, row: bytes, scores: NDArray[np.float64]) -> None:
        """This row's scores are known, unless it is one that is being predicted."""
        if self._numbers.setdefault(_key(row), ~len(self._known)) == ~len(self._known):
            self._known.append(scores)

    def number(self, rows: Sequence[bytes]) -> NDArray[np.int64]:
        """The number of each; those that are new go to `unsent`."""
        self._make_room(len(rows))
        numbers, unsent, found, remembers = self._numbers, self.unsent, [], self._remembers
        for row in rows:
            key = row if len(row) <= TEXT else _key(row)
            number = numbers.get(key)
            if number is None:
                number = self.count
                self.count += 1
                unsent.append(row)
                if remembers:
                    numbers[key] = number
            found.append(number)
        if remembers:
            self._kept = self._first = self.count
        return np.array(found, np.int64)

    def put(self, first: int, scores: NDArray[np.float64]) -> None:
        """The scores of rows with successive numbers."""
        at = self._index(first)
        self._scores[at : at + len(scores)] = scores
        self._there[at : at + len(scores)] = True

    def are_there(self, numbers: NDArray[np.int64]) -> bool:
        """Whether the scores of all of these are known."""
        return bool(self._there[self._indices(numbers)].all(where=numbers >= 0))

    def scores(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """One row of scores for each number."""
        found: NDArray[np.float64] = self._scores[self._indices(numbers)]
        for at in zip(*np.nonzero(numbers < 0), strict=True):
            found[at] = self._known[~int(numbers[at])]
        return found

    def settle(self, first: int) -> None:
        """Nobody asks again for rows below this number, but for those that are remembered."""
        gone, held = first - self._first, self.count - self._first
        if gone > 0 and 2 * gone >= held:
            start, kept = self._index(first), self._kept
            for array in (self._scores, self._there):
                array[kept : kept + held - gone] = array[start : start + held - gone].copy()
            self._there[kept + held - gone : kept + held] = False
            self._first = first

    def close(self) -> None:
        """Give back the room that was taken."""
        self._room.left += self._taken
        self._taken = 0

    def _make_room(self, rows: int) -> None:
        size = rows * (ROW_BYTES + TEXT)
        if self._remembers and self.count + rows <= self._most and self._room.left >= size:
            self._room.left -= size
            self._taken += size
        else:
            self._remembers = False
        wanted = self._index(self.count) + rows
        if wanted > len(self._there):
            size = max(wanted, 2 * len(self._there))
            scores = np.empty((size, self._scores.shape[1]))
            there = np.zeros(size, np.bool_)
            scores[: len(self._there)] = self._scores
            there[: len(self._there)] = self._there
            self._scores, self._there = scores, there

    def _index(self, number: int) -> int:
        return number if number < self._kept else number - self._first + self._kept

    def _indices(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.where(
            numbers < self._kept, np.maximum(numbers, 0), numbers - self._first + self._kept
        )
        return found


def _key(row: bytes) -> bytes:
    return row if len(row) <= TEXT else blake2b(row, digest_size=32).digest()
