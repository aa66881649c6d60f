"""One record that is being explained: the values of its coalitions, as the rows that they take are predicted.

Rows are made in blocks of coalitions, with one row of the baseline at a time, and a block is averaged over those when
all its rows are there. The sums run in the order of the baseline, so that neither the sizes of requests nor the order
of their answers change a bit of what comes out. What is solved needs nothing else any more, and may be so in a thread.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from mooring.explainer.shapley import attributions, coalitions, log_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mooring.explainer.reading.synthesis import Game
    from mooring.explainer.work.predictions import Predictions

    Floats = NDArray[np.float64]

BLOCK = 8192
"""Rows of a block, over all rows of the baseline; more where it has more."""
MADE, MADE_BYTES = 1024, 4_194_304
"""Rows that are made at once, with one row of the baseline."""
CELLS = 67_108_864
"""Coalitions by players of a record; a byte each, and several times that while it is solved."""
VALUES = 16_777_216
"""Coalitions, or rows of a baseline, by classes; eight bytes each."""


class _Block:
    def __init__(self, start: int, size: int, baseline_rows: int, first_row: int) -> None:
        self.start = start
        self.size = size
        self.numbers: NDArray[np.int64] = np.empty((baseline_rows, size), np.int64)
        self.asked = 0  # rows of the baseline with which it is numbered
        self.first_row = first_row


class Valuing:
    """Of one record. `row_size` is about how long its synthetic rows are."""

    def __init__(self, index: int, game: Game, samples: int, seed: int | None, classes: int, row_size: int) -> None:
        self.index = index
        self._game = game
        self._design = coalitions(max(len(game.varying), 1), samples, seed)
        self._values: Floats = np.zeros((len(self._design.masks), classes))
        self._row_size = row_size + 1
        self._blocks: deque[_Block] = deque()
        self._begun = 0  # coalitions that are in a block, or were

    @property
    def is_asked(self) -> bool:
        """Whether all its rows are numbered."""
        return self._begun == len(self._values) and (not self._blocks or self._is_whole(self._blocks[-1]))

    @property
    def is_there(self) -> bool:
        """Whether all its values are: it can be solved."""
        return self._begun == len(self._values) and not self._blocks

    @property
    def first_row(self) -> int | None:
        """The lowest number of a row that it still needs, but for those that are remembered."""
        return self._blocks[0].first_row if self._blocks else None

    def ask(self, predictions: Predictions, baseline_rows: int) -> None:
        """Make the rows of a block with the next row of the baseline."""
        if not self._blocks or self._is_whole(self._blocks[-1]):
            most = min(BLOCK // baseline_rows, MADE, MADE_BYTES // self._row_size)
            size = min(max(1, most), len(self._values) - self._begun)
            self._blocks.append(_Block(self._begun, size, baseline_rows, predictions.count))
            self._begun += size
        block = self._blocks[-1]
        masks = self._design.masks[block.start : block.start + block.size]
        block.numbers[block.asked] = predictions.number(self._game.lines(masks, block.asked))
        block.asked += 1

    def settle(self, predictions: Predictions) -> None:
        """Average what is there over the rows of the baseline."""
        blocks = self._blocks
        while blocks and self._is_whole(blocks[0]) and predictions.are_there(blocks[0].numbers):
            block = blocks.popleft()
            values = self._values[block.start : block.start + block.size]
            for numbers in block.numbers:
                values += predictions.scores(numbers)
            values /= len(block.numbers)

    def attributions(self, empty: Floats, full: Floats, *, use_logit: bool) -> tuple[Floats, float]:
        """Players by classes, and their estimated relative error."""
        values, varying = self._values, self._game.varying
        found: Floats = np.zeros((self._game.players, len(full)))
        if use_logit:
            empty, full, values = log_odds(empty), log_odds(full), log_odds(values)
        if len(varying) == 1:
            found[varying[0]] = full - empty
        if len(varying) < 2:
            return found, 0.0
        solved = attributions(self._design, values, empty, full)
        found[varying] = solved.values
        return found, float(solved.error)

    def _is_whole(self, block: _Block) -> bool:
        return block.asked == len(block.numbers)


def mean_of(scores: Floats) -> Floats:
    """Of a baseline's predictions, summed in its order."""
    total: Floats = np.zeros(scores.shape[1])
    for row in scores:
        total += row
    return total / len(scores)
