"""Synthetic records: a record with some of its features taken from the baseline, as the model is asked of them.

A game holds each feature as it stands in the record and in each row of the baseline, in bytes of the call's format
already; a synthetic record is no more than their concatenation. A call has tens of thousands of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]

TOGETHER = 8
"""Neighbouring features that are looked up in one table, which has each combination of them."""
TABLE_BYTES = 1 << 20
"""Of a table at most, unless one feature alone makes it larger."""


class Unit(Protocol):
    """A piece of a text, as `mooring.explainer.text` finds it."""

    @property
    def text(self) -> str: ...

    @property
    def start(self) -> int: ...


class Feature(NamedTuple):
    """One that is present or absent as a whole: one player."""

    present: bytes
    absent: list[bytes]
    """For each row of the baseline."""

    def varies(self) -> list[bool]:
        """Of its player: whether some row of the baseline has another value."""
        return [any(each != self.present for each in self.absent)]


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
        self._pieces: tuple[int, list[_Run | _Text]] = (-1, [])
        self.players = sum(map(len, self._varies))
        """All features, and of a text all units."""
        self.varying: NDArray[np.intp] = np.flatnonzero([one for each in self._varies for one in each])
        """The players that differ from some row of the baseline; the others have no part in a prediction."""

    def lines(self, masks: Masks, baseline_row: int) -> list[bytes]:
        """A synthetic record for each row of `masks`: where its columns, those of `varying`, are true, the record's."""
        if self._pieces[0] != baseline_row:
            self._pieces = (baseline_row, self._pieces_with(baseline_row))
        columns = [piece.column(masks) for piece in self._pieces[1]]
        return list(map(b"".join, zip(*columns, strict=True)))

    def _pieces_with(self, row: int) -> list[_Run | _Text]:
        made: list[_Run | _Text] = []
        run = _Run(0)
        constant, at = self._before, 0
        for i, (feature, varies) in enumerate(zip(self.features, self._varies, strict=True)):
            constant += b"," if i else b""
            if not any(varies):
                constant += feature.present
                continue
            if isinstance(feature, TextFeature):
                made += (
                    [run, _Text(constant, feature, varies, at, row)]
                    if run.width
                    else [_Text(constant, feature, varies, at, row)]
                )
                run = _Run(at + sum(varies))
            else:
                if not run.takes(constant, feature.absent[row], feature.present):
                    made.append(run)
                    run = _Run(at)
                run.take(constant, feature.absent[row], feature.present)
            constant, at = b"", at + sum(varies)
        run.end(constant + self._after)
        return [*made, run]


class _Run:
    """Neighbouring features, as a table of all their combinations: a mask is an index of it."""

    def __init__(self, start: int) -> None:
        self._start, self.width = start, 0
        self._table = [b""]

    def takes(self, constant: bytes, absent: bytes, present: bytes) -> bool:
        longest = len(self._table[-1]) + len(constant) + max(len(absent), len(present))
        return not self.width or (self.width < TOGETHER and longest << (self.width + 1) <= TABLE_BYTES)

    def take(self, constant: bytes, absent: bytes, present: bytes) -> None:
        before = [each + constant for each in self._table] if constant else self._table
        self._table = [each + absent for each in before] + [each + present for each in before]
        self.width += 1

    def end(self, constant: bytes) -> None:
        self._table = [each + constant for each in self._table]

    def column(self, masks: Masks) -> list[bytes]:
        if not self.width:
            return self._table * len(masks)
        codes = np.packbits(masks[:, self._start : self._start + self.width], axis=1, bitorder="little")
        return list(map(self._table.__getitem__, codes[:, 0].tolist()))


class _Text:
    """A text, which is made anew for each choice of its units."""

    def __init__(self, constant: bytes, feature: TextFeature, varies: list[bool], start: int, row: int) -> None:
        self._constant, self._feature = constant, feature
        self._replacement = feature.replacements[row]
        self._varies = np.array(varies)
        self._columns = slice(start, start + sum(varies))

    def column(self, masks: Masks) -> list[bytes]:
        kept = np.ones((len(masks), len(self._varies)), np.bool_)
        kept[:, self._varies] = masks[:, self._columns]
        known: dict[bytes, bytes] = {}
        return [self._made(known, keep) for keep in kept]

    def _made(self, known: dict[bytes, bytes], keep: NDArray[np.bool_]) -> bytes:
        key = keep.tobytes()
        found = known.get(key)
        if found is None:
            text = self._feature.masked(keep.tolist(), self._replacement)
            found = known[key] = self._constant + self._feature.written(text)
        return found
