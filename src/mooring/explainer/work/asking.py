"""What one explained call asks its model for: its baseline, then its records, and what came of the requests.

Of many records only a few are open at a time, and of rows scores are kept, not text. Nothing here waits: it is told
when there is room to ask, and what was answered. What takes long can be run in another thread (`made`, `scores`, a
solution), where it changes nothing; what follows of it is done in the thread of its owner.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mooring.explainer.faults import Misaligned, Unexplainable, shown
from mooring.explainer.reading.outputs import scores_of
from mooring.explainer.reading.records import baseline_lines
from mooring.explainer.work.predictions import Predictions
from mooring.explainer.work.requests import Caps, Chunk, Refused, Requests
from mooring.explainer.work.valuing import CELLS, VALUES, Valuing, mean_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mooring.explainer.frames import Explain, Predict, Predicted
    from mooring.explainer.reading.plan import Plan
    from mooring.explainer.reading.records import Reading
    from mooring.explainer.work.keeping import Kept

    Floats = NDArray[np.float64]
    Solution = Callable[[], tuple[Floats, float]]

OPEN = 8
"""Records of a call at a time whose rows are asked for, or that wait to be solved."""
MANY = 64
"""Players of a record with texts, before they are divided."""
DRAWN_AT_ONCE = 131_072
"""Coalitions by players that are drawn in a step; some milliseconds."""
MESSAGE_LIMIT = 65_536
KEY_BYTES = 16_384
"""About what the key of a baseline is, which has a configuration in it."""


class Asking:
    """Of one call that has been read, and has records to explain. To be begun, and closed."""

    def __init__(self, explain: Explain, plan: Plan, reading: Reading, kept: Kept) -> None:
        classes = reading.classes
        if plan.baseline_rows * classes.count > VALUES:
            raise Unexplainable(
                f"{plan.baseline_rows} baseline rows by {classes.count} classes are too many to explain."
            )
        self._plan = plan
        self._reading = reading
        self._kept = kept
        self._predictions = Predictions(classes.count, kept.room)
        batching = kept.batching(plan.model, explain.content_type, explain.answered_type)
        caps = Caps(plan.max_records, plan.max_bytes)
        self._requests = Requests(explain.call, batching, caps, explain.width, self._predictions.unsent)
        self._baseline_key = (
            explain.explainer, explain.content_type, explain.answered_type, explain.wishes, classes,
        )  # fmt: skip
        self._baseline_lines = baseline_lines(plan, explain.content_type)
        self._baseline_numbers: NDArray[np.int64] | None = None  # while its predictions are missing
        self._empty: Floats = np.empty(0)
        players = plan.baseline.columns if plan.text is None else MANY
        self._rows_each = plan.samples(players) * plan.baseline_rows  # of a record, about
        self._todo = deque(index for index, selected in enumerate(reading.selected) if selected)
        self._open: deque[Valuing] = deque()
        self._solving = 0  # records

    @property
    def not_before(self) -> float:
        """When the model is to be asked again."""
        return self._requests.not_before

    @property
    def asked(self) -> int:
        """Records that the model was asked for."""
        return self._requests.asked

    @property
    def rows_left(self) -> int:
        """About how many rows it has to ask for."""
        return self._rows_each * (len(self._todo) + len(self._open) + self._solving)

    @property
    def is_over(self) -> bool:
        """Whether all records are solved."""
        return not (self._todo or self._open or self._solving)

    def begin(self) -> None:
        """The baseline comes first, unless it was predicted before."""
        known = self._kept.baselines.get(self._baseline_key)
        if known is None:
            self._baseline_numbers = self._predictions.number(self._baseline_lines)
        else:
            self._has_baseline(known)

    def close(self) -> None:
        """Nobody asks any more."""
        self._open.clear()
        self._predictions.close()

    # Asking

    def has_room(self, now: float) -> bool:
        """Whether one more request may be under way."""
        return self._requests.have_room(now)

    def fill(self) -> bool:
        """Make rows for the next request. False when there are enough, or none to be made now."""
        record = self._open[-1] if self._open else None
        if not self._needs_rows or record is None or record.is_asked:
            return False
        record.ask(self._predictions, self._plan.baseline_rows)
        record.settle(self._predictions)
        return True

    def request(self) -> Predict | None:
        """One more; None when there are no rows. Raises `Unexplainable` for a row above the cap."""
        return self._requests.next()

    @property
    def to_open(self) -> int | None:
        """The record whose rows come next, if one is to be opened now."""
        if not self._needs_rows or self._baseline_numbers is not None or not self._todo:
            return None
        return self._todo[0] if len(self._open) + self._solving < OPEN else None

    def is_long(self, index: int) -> bool:
        """Whether it takes more than a step to open a record, however short it is."""
        plan = self._plan
        if plan.text is not None:
            return True  # the first text of a language has that loaded
        return plan.samples(plan.baseline.columns) * plan.baseline.columns > DRAWN_AT_ONCE

    def made(self, index: int) -> tuple[Valuing, bytes]:
        """A record that can be opened, and the row that it is itself; in any thread. Raises `Unexplainable`."""
        plan, classes, samples = self._plan, self._reading.classes.count, 0
        game = self._reading.game(index)
        varying = len(game.varying)
        if varying > 1:
            samples = plan.samples(game.players)
            samples = samples if varying > 62 else min(samples, 2**varying - 2)
        if samples * varying > CELLS or samples * classes > VALUES:
            raise Unexplainable(
                f"Record {index} has {game.players} features, of which {varying} differ from the baseline, and "
                f"{classes} classes: {samples} samples are too many to explain. Fewer NumberOfSamples, or a coarser "
                "Granularity of text, would do."
            )
        whole = game.lines(np.ones((1, varying), np.bool_), 0)[0]
        return Valuing(index, game, samples, plan.seed, classes, len(whole)), whole

    def open(self, record: Valuing, whole: bytes) -> None:
        """Its rows are asked for from now on."""
        self._predictions.know(whole, self._reading.scores[record.index])
        self._todo.popleft()
        self._open.append(record)

    # Taking

    def taken(self, predicted: Predicted, now: float) -> Chunk | None:
        """What a request asked for, if its answer is to be read. Raises `Refused` when it is not to be tried again."""
        chunk = self._requests.taken(predicted.number)
        if chunk is None or 200 <= predicted.status < 300:
            return chunk
        self._requests.refused(chunk, predicted, now)
        return None

    def scores(self, predicted: Predicted, sent: int) -> Floats | None:
        """Of so many records, in any thread; None where they do not align, and might in a smaller request."""
        try:
            return scores_of(self._plan, predicted.content_type, predicted.body, sent, self._reading.classes)
        except Misaligned:
            if sent == 1:
                raise
            return None

    def put(self, chunk: Chunk, predicted: Predicted, now: float, scores: Floats | None) -> None:
        """An answer was read. Raises `Refused` when it is of no use, nor would another be."""
        if scores is None:
            self._requests.refused(chunk, predicted, now)
            return
        self._requests.answered(chunk, predicted.seconds)
        self._predictions.put(chunk.first, scores[: len(chunk.rows)])
        self._settle()

    def refusal(self, error: Refused) -> str:
        """What is said where the container refuses."""
        said = error.predicted.body[:MESSAGE_LIMIT].decode("utf-8", "replace")
        if error.row is None:
            return said
        whose = "a synthetic record" if self._baseline_numbers is None else "a record of the baseline"
        return f"The model refuses {whose}, {shown(error.row.decode('utf-8', 'replace'))}: {said}"

    # Solving

    def to_solve(self) -> tuple[int, Solution] | None:
        """A record all of whose values are there, and how it is solved, in any thread; `solved` follows."""
        record = next((each for each in self._open if each.is_there), None)
        if record is None:
            return None
        self._open.remove(record)
        self._solving += 1
        full = self._reading.scores[record.index]
        return record.index, partial(record.attributions, self._empty, full, use_logit=self._plan.use_logit)

    def solved(self) -> None:
        """A record is."""
        self._solving -= 1

    # Inside

    @property
    def _needs_rows(self) -> bool:
        return not self._requests.has_again and len(self._predictions.unsent) < self._requests.size

    def _settle(self) -> None:
        numbers, predictions = self._baseline_numbers, self._predictions
        if numbers is not None and predictions.are_there(numbers):
            self._baseline_numbers = None
            scores = predictions.scores(numbers)
            self._kept.baselines.put(self._baseline_key, scores, scores.nbytes + KEY_BYTES)
            self._has_baseline(scores)
        for record in self._open:
            record.settle(predictions)
        needed = (record.first_row for record in self._open if record.first_row is not None)
        predictions.settle(next(needed, predictions.count))

    def _has_baseline(self, scores: Floats) -> None:
        for line, known in zip(self._baseline_lines, scores, strict=True):
            self._predictions.know(line, known)
        self._baseline_lines = []
        self._empty = mean_of(scores)
