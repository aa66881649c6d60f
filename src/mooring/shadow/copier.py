"""The child process that sends copies: `python -m mooring.shadow.copier`.

Frames come on standard input and tell of shadows, of calls that are to be copied and of how those ended; lines go out
every second and tell what was counted (`mooring.shadow.frames`). It ends with its input, which is with its gateway. Its
niceness keeps it from the core of a gateway that has callers waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mooring import settings as settings_module
from mooring.data_capture.observing import Capture, Recorder
from mooring.data_capture.streams import Stream
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.naming import Scope
from mooring.http1.loops import new_event_loop
from mooring.http1.ticking import Ticker
from mooring.paths import Paths
from mooring.processes.attendants import Batches
from mooring.settings import Settings
from mooring.shadow.comparing import Form, difference
from mooring.shadow.frames import Copied, DataKeys, Original, Shadow, frame_of
from mooring.shadow.lane import Lane, Verdict
from mooring.upstream.replica import Replica

log = logging.getLogger("mooring.shadow")

NICENESS = 10
REPORT_EVERY_S = 1.0
LAST_ANSWERS_S = 2.0
"""How long copies in flight may end when their shadow leaves."""
AT_ONCE_BYTES = 16_384
"""Bodies up to here are compared at once, larger ones in a thread."""
COMPARING_BYTES = 64 * 1024 * 1024
"""Of bodies that wait for the thread; more are not compared."""


class Copier(asyncio.Protocol):
    """All lanes of one gateway."""

    def __init__(self, settings: Settings, ticker: Ticker) -> None:
        self.ended = asyncio.Event()
        self._settings = settings
        self._ticker = ticker
        self._batches = Batches()
        self._lanes: dict[int, _Known] = {}
        self._replicas: dict[str, Replica] = {}
        self._thread = ThreadPoolExecutor(1, "comparison")
        self._comparing = 0  # bytes
        self._captured: dict[str, Any] = {}
        spool = Paths(settings_module.data_directory(settings)).capture
        self._capture = Capture(spool, settings.capture, self._captured_more)
        ticker.add(self)

    # asyncio.Protocol: standard input

    def data_received(self, data: bytes) -> None:
        for plain in self._batches.feed(data):
            frame = frame_of(plain)
            if isinstance(frame, Copied):
                if (known := self._lanes.get(frame.lane)) is not None:
                    known.lane.offer(frame)
            elif isinstance(frame, Original):
                if (known := self._lanes.get(frame.lane)) is not None:
                    known.lane.ended(frame)
            elif isinstance(frame, DataKeys):
                self._capture.take_keys(json.loads(frame.message))
            else:
                self._take(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def sweep(self, now: float) -> None:
        for number, known in list(self._lanes.items()):
            if known.gone_since is None:
                known.lane.sweep(now)
                continue
            known.lane.clear(in_flight=now - known.gone_since > LAST_ANSWERS_S)
            if known.lane.is_idle and now - known.gone_since > 2 * LAST_ANSWERS_S:
                del self._lanes[number]

    def reports(self) -> dict[str, Any]:
        """What has changed of each lane, and of what was captured, since this was asked before; empty when nothing."""
        found = []
        for number, known in self._lanes.items():
            counted, metrics = known.lane.tally.to_document(), known.lane.tally.metrics.take()
            if counted != known.told or metrics:
                known.told = counted
                found.append({"lane": number, "counted": counted, "metrics": metrics})
        captured, self._captured = self._captured, {}
        return {"lanes": found, "captured": captured} if found or captured else {}

    def compare(self, form: Form, one: bytes, other: bytes, verdict: Verdict) -> None:
        """Tell `verdict` in what two bodies differ, now or later."""
        size, tolerance = len(one) + len(other), self._settings.shadow.tolerance
        if size <= AT_ONCE_BYTES:
            verdict(True, difference(form, one, other, tolerance))
            return
        if self._comparing + size > COMPARING_BYTES:
            verdict(False, None)
            return
        self._comparing += size
        loop = asyncio.get_running_loop()

        def compared(done: Future[str | None]) -> None:
            loop.call_soon_threadsafe(self._compared, size, verdict, done)

        self._thread.submit(difference, form, one, other, tolerance).add_done_callback(compared)

    def close(self) -> None:
        """At the end of the process: nobody asks any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._capture.close()

    # Inside

    def _captured_more(self, message: dict[str, Any]) -> None:
        for route_key, variants in message["capture"].items():
            self._captured.setdefault(route_key, {}).update(variants)

    def _compared(self, size: int, verdict: Verdict, done: Future[str | None]) -> None:
        self._comparing -= size
        verdict(True, done.result())

    def _take(self, shadow: Shadow) -> None:
        """A lane that is new, has other replicas, or goes."""
        known = self._lanes.get(shadow.lane)
        if known is None:
            limit = self._settings.gateway.response_limit_bytes or math.inf
            lane = Lane(self._settings.shadow, self._ticker, self.compare, limit)
            known = self._lanes[shadow.lane] = _Known(lane)
        if shadow.replicas is None:
            known.gone_since = self._ticker.now
        known.lane.random = shadow.random
        known.lane.recorder = None if shadow.capture is None else self._recorder(**json.loads(shadow.capture))
        before = known.lane.replicas
        known.lane.replicas = [self._replica(*each) for each in shadow.replicas or ()]
        named = {each.id for other in self._lanes.values() for each in other.lane.replicas}
        for replica in before:
            if replica.id not in named:
                del self._replicas[replica.id]
                replica.retire(lambda retired: None)

    def _recorder(self, scope: dict[str, str], endpoint: str, variant: str, capture: dict[str, Any]) -> Recorder | None:
        found, whose = CaptureRoute.from_document(capture), Scope(**scope)
        if found is None:
            return None
        stream = Stream(whose.account, whose.region, endpoint, variant, found.bucket, found.prefix, found.key_id)
        return self._capture.recorder(stream, found)

    def _replica(self, replica_id: str, address: str) -> Replica:
        known = self._replicas.get(replica_id)
        if known is None:
            limits = self._settings.gateway
            known = self._replicas[replica_id] = Replica(
                replica_id,
                address,
                self._ticker,
                connect_timeout_s=limits.connect_timeout_s,
                idle_s=limits.upstream_idle_timeout_s,
                may_retry=limits.retry_stale_connection,
                stream_within_s=limits.stream_timeout_s,
            )
        return known


class _Known:
    __slots__ = ("gone_since", "lane", "told")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.told: dict[str, Any] = {}
        self.gone_since: float | None = None


async def _main(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker()
    ticker.start()
    copier = Copier(settings, ticker)
    await loop.connect_read_pipe(lambda: copier, sys.stdin.buffer)
    while not copier.ended.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_EVERY_S):
                await copier.ended.wait()
        if reports := copier.reports():
            _write(json.dumps(reports, separators=(",", ":")).encode() + b"\n")
    copier.close()


def _write(data: bytes) -> None:
    """The gateway reads all the time; one that is gone closes the pipe."""
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(1, data) :]


def main() -> None:
    """Copy until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the gateway says when it is over
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    settings = settings_module.load()
    logging.basicConfig(level=settings.server.log_level.upper(), format="%(asctime)s shadow %(levelname)s %(message)s")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_main(settings))


if __name__ == "__main__":
    main()
