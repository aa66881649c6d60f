"""Capture as a feature of a gateway: it watches the calls of variants whose route wants that.

The caller's last bytes are held back until the record's write(2) has returned, so whoever has a whole answer knows that
its record is kept. A record that cannot be taken holds nobody up.

A call is sampled by its request's id, so that whatever else captures the same request (its copy to a shadow variant)
decides the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mooring.data_capture.records import RecordForm
from mooring.data_capture.streams import Stream
from mooring.data_capture.writing import StreamWriter, Writers
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.routes import Route, RouteVariant
from mooring.settings import CaptureSettings
from mooring.upstream.observing import Answer, Asked, Failed

SMALL_BYTES = 64 * 1024
"""Of both bodies together: up to this a record is made and written at once."""
SWEEP_S = 0.25
LOOK_S = 1.0
"""Between two looks at the disk, and two reports."""

Tell = Callable[[dict[str, Any]], object]
"""Sends a report to control."""


class Recorder:
    """Takes the records of one variant, under one version of its route."""

    def __init__(self, capture: CaptureRoute, writer: StreamWriter, settings: CaptureSettings, aside: Aside) -> None:
        self._percentage = capture.percentage
        self._form = RecordForm(capture, settings.payload_limit_bytes)
        self._failed_too = settings.failed_invocations and capture.input
        self.writer = writer
        self._aside = aside

    # upstream.observing.Observer

    def began(self, asked: Asked) -> _Observation | None:
        """None for a call that is not sampled; or whose record could not be taken, which is counted."""
        if self._percentage < 100 and hash(asked.request_id) % 100 >= self._percentage:
            return None
        writer = self.writer
        if writer.is_full:
            writer.counts.not_taken += 1
            return None
        return _Observation(self, asked)

    # For whoever has a call and its answer

    def record(self, asked: Asked, answer: Answer | None, go: Callable[[], None]) -> None:
        """Take the record of a call; `go` is called once, when it is kept or cannot be. No `answer`: the call failed.

        Whether the call is sampled is not asked here but in `began`.
        """
        headers, body = (answer.headers, answer.body) if answer is not None else (None, b"")
        if len(asked.body) + len(body) <= SMALL_BYTES and self.writer.try_write(
            self._form.line(asked.headers, asked.body, headers, body, time.time())
        ):
            go()
        else:
            self._aside.do(lambda: self._record_slowly(asked, answer), go)

    def failed(self, asked: Asked) -> None:
        """Of a call that failed the input is recorded, where that is wanted."""
        if self._failed_too:
            self.record(asked, None, _nothing)

    def _record_slowly(self, asked: Asked, answer: Answer | None) -> None:
        try:
            self._write_slowly(asked, answer)
        except MemoryError:
            self.writer.counts.missed("there was not enough memory for a record")

    def _write_slowly(self, asked: Asked, answer: Answer | None) -> None:
        headers, body = (answer.headers, answer.body) if answer is not None else (None, b"")
        pieces = []
        for piece in self._form.pieces(asked.headers, asked.body, headers, body, time.time()):
            pieces.append(piece)
            time.sleep(0)  # lets the loop's thread go on, which else waits for the interpreter's turn of 5 ms
        self.writer.write(pieces)


class _Observation:
    """Of one call that is sampled."""

    __slots__ = ("_asked", "_recorder")

    def __init__(self, recorder: Recorder, asked: Asked) -> None:
        self._recorder = recorder
        self._asked = asked

    def answered(self, answer: Answer, go: Callable[[], None]) -> None:
        self._recorder.record(self._asked, answer, go)

    def failed(self, failed: Failed) -> None:
        self._recorder.failed(self._asked)

    def abandoned(self) -> None:
        """Nobody has an answer, so nothing was acknowledged."""


class Aside:
    """One thread for what would hold the loop up."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def do(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        """Run `work` there and then `then` here, also if it failed. Called in the loop's thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "capture")
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                work()
            finally:
                loop.call_soon_threadsafe(then)

        self._thread.submit(run)

    def close(self) -> None:
        """Finish what was begun."""
        if self._thread is not None:
            self._thread.shutdown()


class Capture:
    """The feature of one gateway process (`mooring.upstream.observing.Feature`)."""

    def __init__(self, spool: Path, settings: CaptureSettings, tell: Tell) -> None:
        self._settings = settings
        self._tell = tell
        self._writers = Writers(spool, settings)
        self._aside = Aside()
        self._sweeping: asyncio.TimerHandle | None = None
        self._next_look = 0.0
        self._looking = False
        self._told: dict[str, dict[str, Any]] = {}

    def observer(self, route: Route, variant: RouteVariant) -> Recorder | None:
        """The recorder of a variant, a shadow or not; None where nothing is captured."""
        capture = variant.capture
        if capture is None:
            return None
        stream = Stream(
            route.scope.account, route.scope.region, route.endpoint, variant.name, capture.bucket, capture.prefix
        )
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return Recorder(capture, self._writers.of(stream), self._settings, self._aside)

    def forget(self, route_key: str) -> None:
        """The endpoint is gone; its open segments end in their time."""
        self._writers.forget(route_key)
        self._told.pop(route_key, None)

    def greet(self) -> None:
        """Tell a control that has just come up everything that was counted."""
        if counted := self._counted():
            self._tell({"capture": counted})

    def _counted(self) -> dict[str, Any]:
        """`{route key: {variant: {"taken", "not_taken", "problem"}}}`."""
        found: dict[str, Any] = {}
        for (route_key, variant), counts in self._writers.counted():
            problem = counts.problem or self._writers.room.problem
            numbers = {"taken": counts.taken, "not_taken": counts.not_taken, "problem": problem}
            found.setdefault(route_key, {})[variant] = numbers
        return found

    def close(self) -> None:
        """Finish: what is open is closed, and may be shipped."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._aside.close()
        self._writers.close()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        # Without a captured variant there is nothing to do, until there is one again.
        self._sweeping = loop.call_later(SWEEP_S, self._sweep) if self._writers else None
        self._writers.sweep()
        if loop.time() < self._next_look:
            return
        self._next_look = loop.time() + LOOK_S
        if not self._looking:
            self._looking = True
            self._aside.do(self._writers.look, self._looked)
        self._say()

    def _looked(self) -> None:
        self._looking = False

    def _say(self) -> None:
        """Tell control what has changed."""
        now = self._counted()
        changed = {key: numbers for key, numbers in now.items() if numbers != self._told.get(key)}
        if changed:
            self._told = now
            self._tell({"capture": changed})


def _nothing() -> None:
    pass
