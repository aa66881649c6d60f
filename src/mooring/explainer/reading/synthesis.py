"""Synthetic records: a record with some of its features taken from the baseline, as the model is asked of them.

A game holds each feature as it stands in the record and in each row of the baseline, in bytes of the call's format
already; a synthetic record is no more than their concatenation. A call has tens of thousands of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.reading.text import Unit

Masks = NDArray[np.bool_]

TOGETHER = 8
"""Neighbouring features that are looked up in one table, which has each combination of them."""
TABLE_BYTES = 1 << 20
"""Of a table at most, unless one feature alone makes it larger."""
KEPT_BYTES = 4 << 20
"""Of the tables of a game, which are kept for other coalitions with the same row of the baseline."""
_VARIES, _STAYS = [True], [False]


class Feature(NamedTuple):
    """One that is present or absent as a whole: one player."""

    present: bytes
    absent: list[bytes]
    """For each row of the baseline."""

    def varies(self) -> list[bool]:
        """Of its player: whether some row of the baseline has another value."""
        return _STAYS if self.absent.count(self.present) == len(self.absent) else _VARIES


class TextFeature(NamedTuple):
    """One whose units are present or absent: a player for each."""

    present: bytes
    text: str
    units: Sequence[Unit]
    masked: Callable[[Sequence[bool], str], str]
    """The text with a replacement for the units that are not kept."""
    replacements: list[str]
    """For each row of the baseline."""
    written: Callable[[str], bytes]

    def varies(self) -> list[bool]:
        """Of each unit."""
        found = [any(each != unit.text for each in self.replacements) for unit in self.units]
        # A text of nothing but replacements is still another text than one of them.
        if not any(found) and any(each != self.text for each in self.replacements):
            return [True] * len(found)
        return found


class Game:
    """One record against the baseline."""

    def __init__(self, features: Sequence[Feature | TextFeature], surroundings: tuple[bytes, bytes]) -> None:
        self.features = features
        self._before, self._after = surroundings
        self._varies = [feature.varies() for feature in features]
        self._parts: dict[int, list[_Table | _Text]] = {}
        self._parts_bytes = 0
        self.players = sum(map(len, self._varies))
        """All features, and of a text all units."""
        self.varying: NDArray[np.intp] = np.flatnonzero([one for each in self._varies for one in each])
        """The players that differ from some row of the baseline; the others have no part in a prediction."""

    def lines(self, masks: Masks, baseline_row: int) -> list[bytes]:
        """A synthetic record for each row of `masks`: where its columns, those of `varying`, are true, the record's."""
        columns = [part.column(masks) for part in self._parts_of(baseline_row)]
        return columns[0] if len(columns) == 1 else list(map(b"".join, zip(*columns, strict=True)))

    def _parts_of(self, row: int) -> list[_Table | _Text]:
        found = self._parts.get(row)
        if found is None:
            found = self._made(row)
            self._parts_bytes += sum(part.size() for part in found)
            if self._parts_bytes > KEPT_BYTES:
                self._parts.clear()
                self._parts_bytes = 0
            self._parts[row] = found
        return found

    def _made(self, row: int) -> list[_Table | _Text]:
        """What stands in a line, from left to right. What does not vary goes before the next that does."""
        parts: list[_Table | _Text] = []
        between, at = [self._before], 0
        for i, (feature, varies) in enumerate(zip(self.features, self._varies, strict=True)):
            if i:
                between.append(b",")
            if not any(varies):
                between.append(feature.present)
                continue
            before = b"".join(between)
            if isinstance(feature, TextFeature):
                parts.append(_Text(before, feature, varies, at, row))
            else:
                last = parts[-1] if parts else None
                absent, present = before + feature.absent[row], before + feature.present
                if not isinstance(last, _Table) or not last.has_room(absent, present):
                    parts.append(last := _Table(at))
                last.add(absent, present)
            between, at = [], at + sum(varies)
        return [*parts, _Table(at, b"".join(between) + self._after)]


class _Table:
    """Neighbouring features, each combination of them: a mask is an index."""

    def __init__(self, start: int, only: bytes = b"") -> None:
        self._start, self._width = start, 0
        self._table = [only]

    def has_room(self, absent: bytes, present: bytes) -> bool:
        longest = max(map(len, self._table)) + max(len(absent), len(present))
        return self._width < TOGETHER and longest << (self._width + 1) <= TABLE_BYTES

    def add(self, absent: bytes, present: bytes) -> None:
        self._table = [each + absent for each in self._table] + [each + present for each in self._table]
        self._width += 1

    def size(self) -> int:
        return sum(map(len, self._table)) + 40 * len(self._table)

    def column(self, masks: Masks) -> list[bytes]:
        if not self._width:
            return self._table * len(masks)
        codes = np.packbits(masks[:, self._start : self._start + self._width], axis=1, bitorder="little")
        return list(map(self._table.__getitem__, codes[:, 0].tolist()))


class _Text:
    """A text, made anew for each choice of its units."""

    def __init__(self, before: bytes, feature: TextFeature, varies: list[bool], start: int, row: int) -> None:
        self._before, self._feature = before, feature
        self._replacement = feature.replacements[row]
        self._varies = np.array(varies)
        self._columns = slice(start, start + sum(varies))

    def size(self) -> int:
        return len(self._before) + len(self._varies)

    def column(self, masks: Masks) -> list[bytes]:
        kept = np.ones((len(masks), len(self._varies)), np.bool_)
        kept[:, self._varies] = masks[:, self._columns]
        # With features beside the text, the same choice comes again and again.
        keys = [row.tobytes() for row in np.packbits(kept, axis=1)]
        made = {key: self._made(keep) for key, keep in dict(zip(keys, kept, strict=True)).items()}
        return [made[key] for key in keys]

    def _made(self, keep: NDArray[np.bool_]) -> bytes:
        text = self._feature.masked(keep.tolist(), self._replacement)
        return self._before + self._feature.written(text)
