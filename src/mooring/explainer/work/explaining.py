"""One explained call, from its `Explain` to its `Explained`: frames in, frames out, and no I/O.

It advances in steps, each of which computes for a moment only, so that calls can take turns: take an answer, ask for
predictions, make the rows of a block. What takes longer is to read or write what is large, to divide texts, to draw
many coalitions, and to solve a record, which can be as soon as its rows are there; that is for its owner to have run,
in a thread. What the model is asked is in `asking`.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from mooring.explainer.expressions import BadExpression
from mooring.explainer.faults import Unexplainable
from mooring.explainer.frames import Explain, Explained, Frame, Predicted, Unexplained
from mooring.explainer.reading.composing import response
from mooring.explainer.reading.records import Reading
from mooring.explainer.work.asking import Asking
from mooring.explainer.work.requests import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mooring.explainer.reading.plan import Plan
    from mooring.explainer.work.keeping import Kept
    from mooring.explainer.work.requests import Chunk
    from mooring.explainer.work.valuing import Valuing

    Floats = NDArray[np.float64]

log = logging.getLogger("mooring.explainer")

Found = TypeVar("Found")

AT_ONCE_BYTES, AT_ONCE_CELLS = 65_536, 8192
"""So many bytes are read in a step, and so many attributions are written in one."""


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
        self._explain: Explain | None = explain  # until it is read
        self._long: Work | None = None  # that it waits for, before it can go on
        self._is_long_begun = False
        self._kept = kept
        self._answers: deque[Predicted] = deque()
        self._asking: Asking | None = None  # before it is read, and where there is nothing to ask for
        self._is_solved = False  # and its answer is yet to be written
        self._errors: dict[int, float] = {}
        self._attributions: list[Floats | None] = []
        self._reading: Reading

    @property
    def not_before(self) -> float:
        """When it can go on by itself, if not now: 0.0 for never."""
        return 0.0 if self._asking is None or self.is_over else self._asking.not_before

    @property
    def work_left(self) -> int:
        """About how many rows it has to ask for."""
        return 0 if self._asking is None else self._asking.rows_left

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
        found = None if self._asking is None else self._asking.to_solve()
        if found is None:
            return None
        index, solution = found
        return Work(solution, partial(self._solved, index))

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
        if self._asking is not None:
            self._asking.close()

    # Inside

    def _step(self, now: float) -> list[Frame] | None:
        asking = self._asking
        if asking is None:
            if self._explain is None or not self._is_read_at_once(self._explain):
                return None
            explain, self._explain = self._explain, None
            return self._begin(explain, _read(self._kept, explain))
        if self._long is not None:
            return None
        if self._answers:
            return self._take(asking, self._answers.popleft(), now)
        return self._ask(asking, now)

    def _do(self, size: int, task: Callable[[], Found], then: Callable[[Found], list[Frame]]) -> list[Frame] | None:
        """What takes as long as there is to read: in this step, or to be run before the next one."""
        if size <= AT_ONCE_BYTES:
            return then(task())
        self._long = Work(task, then)
        return None

    def _is_read_at_once(self, explain: Explain) -> bool:
        return len(explain.request) + len(explain.answer) <= AT_ONCE_BYTES and self._kept.knows(explain.explainer)

    def _begin(self, explain: Explain, read: tuple[Plan, Reading]) -> list[Frame]:
        plan, reading = read
        self._reading, self._answer_size = reading, len(explain.answer)
        self._attributions = [None] * len(reading.selected)
        if not any(reading.selected):
            return self._finish()
        asking = self._asking = Asking(explain, plan, reading, self._kept)
        asking.begin()
        self.model = plan.model
        return []

    def _ask(self, asking: Asking, now: float) -> list[Frame] | None:
        """One request, or the rows of one, or nothing."""
        if self.is_held or not asking.has_room(now):
            return None
        if asking.fill():
            return []
        if (index := asking.to_open) is not None:
            size = AT_ONCE_BYTES + 1 if asking.is_long(index) else self._reading.length(index)
            return self._do(size, partial(asking.made, index), partial(self._opened, asking))
        predict = asking.request()
        return None if predict is None else [predict]

    def _opened(self, asking: Asking, made: tuple[Valuing, bytes]) -> list[Frame]:
        asking.open(*made)
        return []

    def _take(self, asking: Asking, predicted: Predicted, now: float) -> list[Frame] | None:
        chunk = asking.taken(predicted, now)
        if chunk is None:
            return []
        scores = partial(asking.scores, predicted, len(chunk.sent))
        return self._do(len(predicted.body), scores, partial(self._taken, asking, chunk, predicted, now))

    def _taken(
        self, asking: Asking, chunk: Chunk, predicted: Predicted, now: float, scores: Floats | None
    ) -> list[Frame]:
        asking.put(chunk, predicted, now, scores)
        return []

    def _solved(self, index: int, solved: tuple[Floats, float]) -> list[Frame]:
        assert self._asking is not None
        self._asking.solved()
        self._attributions[index], self._errors[index] = solved
        return self._finish() if self._asking.is_over else []

    def _finish(self) -> list[Frame]:
        cells = sum(each.size for each in self._attributions if each is not None)
        if cells <= AT_ONCE_CELLS and self._answer_size <= AT_ONCE_BYTES:
            return self._explained(response(self._reading, self._attributions))
        self._is_solved = True
        return []

    def _explained(self, body: bytes) -> list[Frame]:
        errors = [self._errors[index] for index in sorted(self._errors)]
        asked = 0 if self._asking is None else self._asking.asked
        self.close()
        return [Explained(self.call, body, len(errors), errors, asked, self._reading.loading_s)]

    def _failed_by(self, error: Exception) -> list[Frame]:
        if isinstance(error, Unexplainable):
            return self._failed(error.kind, 0, str(error))
        if isinstance(error, BadExpression):
            return self._failed("explainer", 0, str(error))
        if isinstance(error, Refused) and self._asking is not None:
            return self._failed("container", error.predicted.status, self._asking.refusal(error))
        log.error("call %d cannot be explained", self.call, exc_info=error)
        return self._failed("mooring", 0, f"The call cannot be explained: {type(error).__name__}")

    def _failed(self, kind: str, status: int, message: str) -> list[Frame]:
        self.close()
        return [Unexplained(self.call, kind, status, message)]


def _read(kept: Kept, explain: Explain) -> tuple[Plan, Reading]:
    plan = kept.plan(explain.explainer)
    return plan, Reading(plan, explain)
