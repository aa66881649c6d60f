"""Capture as a feature of a gateway: it watches the calls of variants whose route wants that.

The caller's last bytes are held back until the record's write(2) has returned, so whoever has a whole answer knows that
its record is kept. A record that cannot be taken holds nobody up.

A call is sampled by its request's id, so that who captures its copy to a shadow variant, be it in another process,
decides the same.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary
from zlib import crc32

from mooring.data_capture.records import RecordForm
from mooring.data_capture.sealing import prepare
from mooring.data_capture.streams import Stream
from mooring.data_capture.writing import Counts, StreamWriter, Writers
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.routes import Route, RouteVariant
from mooring.keys.envelopes import DataKey
from mooring.settings import CaptureSettings
from mooring.upstream.observing import Answer, Asked, Failed

SMALL_BYTES = 64 * 1024
"""Of both bodies together: up to this a record is made and written at once."""
SWEEP_S = 0.25
LOOK_S = 1.0
"""Between two looks at the disk, and two reports."""

NO_KEY = "the key that records are sealed with on disk is not known yet"

Tell = Callable[[dict[str, Any]], object]
"""Sends a report to control."""


class Recorder:
    """Takes the records of one variant, under one version of its route."""

    def __init__(self, capture: CaptureRoute, counts: Counts, settings: CaptureSettings, aside: Aside) -> None:
        self._percentage = capture.percentage
        self._form = RecordForm(capture, settings.payload_limit_bytes)
        self._failed_too = settings.failed_invocations and capture.input
        self._counts = counts
        self._aside = aside
        self.writer: StreamWriter | None = None
        """None while the key is missing that records are to be sealed with."""

    # upstream.observing.Observer

    def began(self, asked: Asked) -> _Observation | None:
        """None for a call that is not sampled; or whose record could not be taken, which is counted."""
        if not is_sampled(asked, self._percentage):
            return None
        writer = self.writer
        if writer is None or writer.is_full:
            self._counts.not_taken += 1
            return None
        return _Observation(self, writer, asked)

    def record(self, writer: StreamWriter, asked: Asked, answer: Answer | None, go: Callable[[], None]) -> None:
        """Take the record of a call, which has no answer if it failed; `go` is called once, whatever comes of it."""
        headers, body = (answer.headers, answer.body) if answer is not None else (None, b"")
        if len(asked.body) + len(body) <= SMALL_BYTES and writer.try_write(
            self._form.line(asked.headers, asked.body, headers, body, time.time())
        ):
            go()
        else:
            self._aside.do(lambda: self._record_slowly(writer, asked, answer), go)

    @property
    def takes_failed(self) -> bool:
        """Whether calls that failed have records."""
        return self._failed_too

    def missed(self, problem: str) -> None:
        """Count a record whose bodies are not at hand any more."""
        self._counts.missed(problem)

    def failed(self, writer: StreamWriter, asked: Asked) -> None:
        """Of a call that failed the input is recorded, where that is wanted."""
        if self._failed_too:
            self.record(writer, asked, None, _nothing)

    def _record_slowly(self, writer: StreamWriter, asked: Asked, answer: Answer | None) -> None:
        try:
            self._write_slowly(writer, asked, answer)
        except MemoryError:
            self._counts.missed("there was not enough memory for a record")

    def _write_slowly(self, writer: StreamWriter, asked: Asked, answer: Answer | None) -> None:
        headers, body = (answer.headers, answer.body) if answer is not None else (None, b"")
        pieces = []
        for piece in self._form.pieces(asked.headers, asked.body, headers, body, time.time()):
            pieces.append(piece)
            time.sleep(0)  # lets the loop's thread go on, which else waits for the interpreter's turn of 5 ms
        writer.write(pieces)


class _Observation:
    """Of one call that is sampled."""

    __slots__ = ("_asked", "_recorder", "_writer")

    def __init__(self, recorder: Recorder, writer: StreamWriter, asked: Asked) -> None:
        self._recorder = recorder
        self._writer = writer
        self._asked = asked

    def answered(self, answer: Answer, go: Callable[[], None]) -> None:
        self._recorder.record(self._writer, self._asked, answer, go)

    def failed(self, failed: Failed) -> None:
        self._recorder.failed(self._writer, self._asked)

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
        self._data_keys: dict[tuple[str, str], DataKey] = {}
        self._unkeyed: WeakKeyDictionary[Recorder, Stream] = WeakKeyDictionary()
        self._elsewhere: dict[tuple[str, str], dict[str, Any]] = {}

    def observer(self, route: Route, variant: RouteVariant) -> Recorder | None:
        """The recorder of a production variant; None where nothing is captured here: jobs are, by control."""
        capture = variant.capture
        if capture is None or route.async_inference is not None:
            return None
        scope = route.scope
        stream = Stream(
            scope.account, scope.region, route.endpoint, variant.name, capture.bucket, capture.prefix, capture.key_id
        )
        return self.recorder(stream, capture)

    def recorder(self, stream: Stream, capture: CaptureRoute) -> Recorder:
        """Takes the records of a variant, also for those who learn of its calls in another way than an observer.

        They ask `began`, which decides whether a call is sampled, and tell what comes back how the call ended; with an
        empty `go` where nobody waits for the record.
        """
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        counts = self._writers.counts_of(stream.route_key, stream.variant)
        recorder = Recorder(capture, counts, self._settings, self._aside)
        if not capture.key_id:
            recorder.writer = self._writers.of(stream)
        else:
            self._unkeyed[recorder] = stream
            self._give_key(recorder)
        return recorder

    def take_keys(self, message: dict[str, Any]) -> None:
        """Data keys of one endpoint: `{"route", "keys": {KmsKeyId: {"plaintext", "sealed", "arn"}}}`, in base64."""
        for key_id, parts in message["keys"].items():
            plaintext, sealed = b64decode(parts["plaintext"]), b64decode(parts["sealed"])
            self._data_keys[message["route"], key_id] = DataKey(plaintext, sealed, parts["arn"])
        self._aside.do(prepare, self._give_keys)

    def _give_keys(self) -> None:
        for recorder in list(self._unkeyed):
            self._give_key(recorder)

    def _give_key(self, recorder: Recorder) -> None:
        """Let a recorder write, if there is what it is to seal with."""
        stream = self._unkeyed[recorder]
        data_key = self._data_keys.get((stream.route_key, stream.key_id))
        if data_key is None:
            return
        sealed = b64encode(data_key.sealed).decode()
        stream = replace(stream, key_id=data_key.key_arn or stream.key_id, sealed_data_key=sealed)
        recorder.writer = self._writers.of(stream, data_key.plaintext)
        del self._unkeyed[recorder]

    def forget(self, route_key: str) -> None:
        """The endpoint is gone; its open segments end in their time."""
        self._writers.forget(route_key)
        self._told.pop(route_key, None)
        for key in [key for key in self._data_keys if key[0] == route_key]:
            del self._data_keys[key]
        for key in [key for key in self._elsewhere if key[0] == route_key]:
            del self._elsewhere[key]

    def take(self, counted: dict[str, Any]) -> None:
        """What another process of this gateway has counted of variants that are not observed here."""
        for route_key, variants in counted.items():
            for variant, numbers in variants.items():
                self._elsewhere[route_key, variant] = numbers
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def greet(self) -> None:
        """Tell a control that has just come up everything that was counted."""
        if counted := self._counted():
            self._tell({"capture": counted})

    def _counted(self) -> dict[str, Any]:
        """`{route key: {variant: {"taken", "not_taken", "problem"}}}`."""
        found: dict[str, Any] = {}
        for (route_key, variant), counts in self._writers.counted():
            keyless = NO_KEY if any(stream.route_key == route_key for stream in self._unkeyed.values()) else None
            problem = counts.problem or self._writers.room.problem or keyless
            numbers = {"taken": counts.taken, "not_taken": counts.not_taken, "problem": problem}
            found.setdefault(route_key, {})[variant] = numbers
        for (route_key, variant), numbers in self._elsewhere.items():
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
        goes_on = self._writers or self._unkeyed or self._elsewhere
        self._sweeping = loop.call_later(SWEEP_S, self._sweep) if goes_on else None
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


def is_sampled(asked: Asked, percentage: int) -> bool:
    """Whether a call is one of those that are captured, wherever that is asked."""
    return percentage >= 100 or crc32(asked.request_id) % 100 < percentage


def _nothing() -> None:
    pass
