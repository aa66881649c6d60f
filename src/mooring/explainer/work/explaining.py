"""One explained call, from its `Explain` to its `Explained`: frames in, frames out, and no I/O.

It advances in steps, each of which computes for a moment only, so that calls can take turns: take an answer, ask for
predictions, make the rows of a block. What takes longer is to read or write what is large, to divide texts, and to
solve a record, which can be as soon as its rows are there; that is for its owner to have run, in a thread. Of many
records only a few are open at a time, and of rows scores are kept, not text.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mooring.explainer.expressions import BadExpression
from mooring.explainer.faults import Misaligned, Unexplainable, shown
from mooring.explainer.frames import Explain, Explained, Frame, Predicted, Unexplained
from mooring.explainer.reading.composing import response
from mooring.explainer.reading.outputs import scores_of
from mooring.explainer.reading.records import Reading, baseline_lines
from mooring.explainer.work.predictions import Predictions
from mooring.explainer.work.requests import Caps, Chunk, Refused, Requests
from mooring.explainer.work.valuing import CELLS, VALUES, Valuing, mean_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mooring.explainer.reading.plan import Plan
    from mooring.explainer.reading.synthesis import Game
    from mooring.explainer.work.keeping import Kept

    Floats = NDArray[np.float64]

log = logging.getLogger("mooring.explainer")

Found = TypeVar("Found")

OPEN = 8
"""Records of a call at a time whose rows are asked for, or that wait to be solved."""
AT_ONCE_BYTES, AT_ONCE_CELLS = 65_536, 8192
"""So many bytes are read in a step, and so many attributions are written in one."""
MANY = 64
"""Players of a record with texts, before they are divided."""
MESSAGE_LIMIT = 65_536
KEY_BYTES = 16_384
"""About what the key of a baseline is, which has a configuration in it."""


class Work:
    """What is done by calling it, once, in any thread."""

    def __init__(self, task: Callable[[], Any], then: Callable[[Any], list[Frame]]) -> None:
        self.then = then
        """Given what was found, in the thread of the call's owner."""
        self.found: Any = None
        self.failure: Exception | None = None
        self._task = task

    def __call__(self) -> None:
        try:
            self.found = self._task()
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            self.failure = error


class Explaining:
    """Of one call. Its owner hands it predictions, and lets it advance for as long as that gives anything."""

    def __init__(self, explain: Explain, kept: Kept, now: float) -> None:
        self.call = explain.call
        self.until = now + explain.within_s
        """From then on nobody waits for it."""
        self.is_over = False
        self.is_held = False
        """Whether it is to ask for nothing now: others come first (`turns`)."""
        self.heard_at = now
        """When it had its last answer, or began to ask."""
        self.width = explain.width
        self.model = ""
        """That it asks; empty before it is read, and where it asks for nothing."""
        self._rows_each = 0  # of a record, about
        self._explain: Explain | None = explain  # until it is read
        self._long: Work | None = None  # that it waits for, before it can go on
        self._is_long_begun = False
        self._kept = kept
        self._answers: deque[Predicted] = deque()
        self._baseline_key: tuple[object, ...] | None = None
        self._baseline_numbers: NDArray[np.int64] | None = None  # while its predictions are missing
        self._baseline: Floats = np.empty((0, 0))
        self._empty: Floats = np.empty(0)
        self._todo: deque[int] = deque()
        self._open: deque[Valuing] = deque()
        self._solving = 0  # records
        self._is_solved = False  # and its answer is yet to be written
        self._errors: dict[int, float] = {}
        self._attributions: list[Floats | None] = []
        self._plan: Plan
        self._reading: Reading
        self._predictions: Predictions | None = None
        self._requests: Requests

    @property
    def not_before(self) -> float:
        """When it can go on by itself, if not now: 0.0 for never."""
        return 0.0 if self._predictions is None or self.is_over else self._requests.not_before

    @property
    def work_left(self) -> int:
        """About how many rows it has to ask for."""
        return self._rows_each * (len(self._todo) + len(self._open) + self._solving)

    def take(self, predicted: Predicted, now: float) -> None:
        """An answer came."""
        self.heard_at = now
        self._answers.append(predicted)

    def advance(self, now: float) -> list[Frame] | None:
        """One step, and the frames that it gives; None when there is nothing to do before an answer or a time."""
        if self.is_over:
            return None
        try:
            return self._step(now)
        except Exception as error:  # noqa: BLE001 - it is this call which fails
            return self._failed_by(error)

    def to_run(self) -> Work | None:
        """What takes longer than a step: it is to be run, in this thread or in another, and then handed to `ran`."""
        if self.is_over:
            return None
        if self._explain is not None:
            explain, self._explain = self._explain, None
            return Work(partial(_read, self._kept, explain), partial(self._begin, explain))
        if self._long is not None and not self._is_long_begun:
            self._is_long_begun = True
            return self._long
        if self._is_solved:
            self._is_solved = False
            return Work(partial(response, self._reading, self._attributions), self._explained)
        record = next((each for each in self._open if each.is_there), None)
        if record is None:
            return None
        self._open.remove(record)
        self._solving += 1
        full = self._reading.scores[record.index]
        solve = partial(record.attributions, self._empty, full, use_logit=self._plan.use_logit)
        return Work(solve, partial(self._solved, record.index))

    def ran(self, work: Work) -> list[Frame]:
        """It has been run; the frames that this gives."""
        if self.is_over:
            return []
        try:
            if work is self._long:
                self._long, self._is_long_begun = None, False
            if work.failure is not None:
                raise work.failure
            return work.then(work.found)
        except Exception as error:  # noqa: BLE001 - it is this call which fails
            return self._failed_by(error)

    def close(self) -> None:
        """It is forgotten, or has ended."""
        self.is_over = True
        self._explain = None
        self._answers.clear()
        self._open.clear()
        if self._predictions is not None:
            self._predictions.close()

    # Inside

    def _step(self, now: float) -> list[Frame] | None:
        if self._predictions is None:
            if self._explain is None or not self._is_read_at_once(self._explain):
                return None
            explain, self._explain = self._explain, None
            return self._begin(explain, _read(self._kept, explain))
        if self._long is not None:
            return None
        if self._answers:
            return self._take(self._answers.popleft(), now)
        return self._ask(now)

    def _do(self, size: int, task: Callable[[], Found], then: Callable[[Found], list[Frame]]) -> list[Frame] | None:
        """What takes as long as there is to read: in this step, or to be run before the next one."""
        if size <= AT_ONCE_BYTES:
            return then(task())
        self._long = Work(task, then)
        return None

    def _is_read_at_once(self, explain: Explain) -> bool:
        return len(explain.request) + len(explain.answer) <= AT_ONCE_BYTES and self._kept.knows(explain.explainer)

    def _begin(self, explain: Explain, read: tuple[Plan, Reading]) -> list[Frame]:
        plan, reading = self._plan, self._reading = read
        self._answer_size = len(explain.answer)
        self._attributions = [None] * len(reading.selected)
        self._todo.extend(index for index, selected in enumerate(reading.selected) if selected)
        if not self._todo:
            return self._finish()
        classes = reading.classes
        if plan.baseline_rows * classes.count > VALUES:
            raise Unexplainable(
                f"{plan.baseline_rows} baseline rows by {classes.count} classes are too many to explain."
            )
        self._predictions = Predictions(classes.count, self._kept.room)
        self._requests = Requests(
            explain.call,
            self._kept.batching(plan.model, explain.content_type, explain.answered_type),
            Caps(plan.max_records, plan.max_bytes),
            explain.width,
            self._predictions.unsent,
        )
        self._baseline_key = (
            explain.explainer, explain.content_type, explain.answered_type, explain.wishes, classes,
        )  # fmt: skip
        players = plan.baseline.columns if plan.text is None else MANY
        self.model, self._rows_each = plan.model, plan.samples(players) * plan.baseline_rows
        self._begin_baseline(explain.content_type)
        return []

    def _begin_baseline(self, content_type: str) -> None:
        assert self._predictions is not None
        lines = self._baseline_lines = baseline_lines(self._plan, content_type)
        known = self._kept.baselines.get(self._baseline_key)
        if known is None:
            self._baseline_numbers = self._predictions.number(lines)
        else:
            self._has_baseline(known)

    def _has_baseline(self, scores: Floats) -> None:
        assert self._predictions is not None
        for line, known in zip(self._baseline_lines, scores, strict=True):
            self._predictions.know(line, known)
        self._baseline_lines = []
        self._baseline = scores
        self._empty = mean_of(scores)

    # Asking

    def _ask(self, now: float) -> list[Frame] | None:
        """One request, or the rows of one, or nothing."""
        requests, predictions = self._requests, self._predictions
        assert predictions is not None
        if self.is_held or not requests.have_room(now):
            return None
        if not requests.has_again and len(predictions.unsent) < requests.size:
            if self._fill(predictions):
                return []
            if self._baseline_numbers is None and self._todo and len(self._open) + self._solving < OPEN:
                index = self._todo[0]
                # The first text of a language has that loaded.
                size = self._reading.length(index) if self._plan.text is None else AT_ONCE_BYTES + 1
                return self._do(size, partial(self._reading.game, index), partial(self._opened, index))
        predict = requests.next()
        return None if predict is None else [predict]

    def _fill(self, predictions: Predictions) -> bool:
        """Make the rows of a block with one row of the baseline. False when there are none to be made now."""
        if self._baseline_numbers is not None:
            return False
        record = self._open[-1] if self._open and not self._open[-1].is_asked else None
        if record is not None:
            record.ask(predictions, len(self._baseline))
            record.settle(predictions)
            return True
        return False

    def _opened(self, index: int, game: Game) -> list[Frame]:
        predictions, classes, samples = self._predictions, self._reading.classes.count, 0
        assert predictions is not None
        varying = len(game.varying)
        if varying > 1:
            samples = self._plan.samples(game.players)
            samples = samples if varying > 62 else min(samples, 2**varying - 2)
        if samples * varying > CELLS or samples * classes > VALUES:
            raise Unexplainable(
                f"Record {index} has {game.players} features, of which {varying} differ from the baseline, and "
                f"{classes} classes: {samples} samples are too many to explain. Fewer NumberOfSamples, or a coarser "
                "Granularity of text, would do."
            )
        whole = game.lines(np.ones((1, varying), np.bool_), 0)[0]
        predictions.know(whole, self._reading.scores[index])
        self._todo.popleft()
        self._open.append(Valuing(index, game, samples, self._plan.seed, classes, len(whole)))
        return []

    # Taking

    def _take(self, predicted: Predicted, now: float) -> list[Frame] | None:
        chunk = self._requests.taken(predicted.number)
        if chunk is None:
            return []
        if not 200 <= predicted.status < 300:
            self._requests.refused(chunk, predicted, now)
            return []
        scores = partial(self._scores, predicted, len(chunk.sent))
        return self._do(len(predicted.body), scores, partial(self._taken, chunk, predicted, now))

    def _scores(self, predicted: Predicted, sent: int) -> Floats | None:
        """None where they do not align, and might in a smaller request."""
        try:
            return scores_of(self._plan, predicted.content_type, predicted.body, sent, self._reading.classes)
        except Misaligned:
            if sent == 1:
                raise
            return None

    def _taken(self, chunk: Chunk, predicted: Predicted, now: float, scores: Floats | None) -> list[Frame]:
        predictions = self._predictions
        assert predictions is not None
        if scores is None:
            self._requests.refused(chunk, predicted, now)
            return []
        self._requests.answered(chunk, predicted.seconds)
        predictions.put(chunk.first, scores[: len(chunk.rows)])
        self._settle_all(predictions)
        return []

    def _settle_all(self, predictions: Predictions) -> None:
        numbers = self._baseline_numbers
        if numbers is not None and predictions.are_there(numbers):
            self._baseline_numbers = None
            scores = predictions.scores(numbers)
            self._kept.baselines.put(self._baseline_key, scores, scores.nbytes + KEY_BYTES)
            self._has_baseline(scores)
        for record in self._open:
            record.settle(predictions)
        needed = (record.first_row for record in self._open if record.first_row is not None)
        predictions.settle(next(needed, predictions.count))

    def _solved(self, index: int, solved: tuple[Floats, float]) -> list[Frame]:
        self._solving -= 1
        self._attributions[index], self._errors[index] = solved
        return [] if self._todo or self._open or self._solving else self._finish()

    def _finish(self) -> list[Frame]:
        cells = sum(each.size for each in self._attributions if each is not None)
        if cells <= AT_ONCE_CELLS and self._answer_size <= AT_ONCE_BYTES:
            return self._explained(response(self._reading, self._attributions))
        self._is_solved = True
        return []

    def _refusal(self, error: Refused) -> str:
        said = error.predicted.body[:MESSAGE_LIMIT].decode("utf-8", "replace")
        if error.row is None:
            return said
        whose = "a synthetic record" if self._baseline_numbers is None else "a record of the baseline"
        return f"The model refuses {whose}, {shown(error.row.decode('utf-8', 'replace'))}: {said}"

    def _explained(self, body: bytes) -> list[Frame]:
        errors = [self._errors[index] for index in sorted(self._errors)]
        asked = 0 if self._predictions is None else self._requests.asked
        self.close()
        return [Explained(self.call, body, len(errors), errors, asked, self._reading.loading_s)]

    def _failed_by(self, error: Exception) -> list[Frame]:
        if isinstance(error, Unexplainable):
            return self._failed(error.kind, 0, str(error))
        if isinstance(error, BadExpression):
            return self._failed("explainer", 0, str(error))
        if isinstance(error, Refused):
            return self._failed("container", error.predicted.status, self._refusal(error))
        log.error("call %d cannot be explained", self.call, exc_info=error)
        return self._failed("mooring", 0, f"The call cannot be explained: {type(error).__name__}")

    def _failed(self, kind: str, status: int, message: str) -> list[Frame]:
        self.close()
        return [Unexplained(self.call, kind, status, message)]


def _read(kept: Kept, explain: Explain) -> tuple[Plan, Reading]:
    plan = kept.plan(explain.explainer)
    return plan, Reading(plan, explain)
