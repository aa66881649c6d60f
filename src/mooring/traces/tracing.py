"""The feature of a gateway that has spans made: which calls are sampled, their ids, and what became of them.

A call whose caller says whether it is sampled is treated so; of the others a part is. A sampled call gets a server span
and, below it, the client span of the call of the replica, whose id the replica is told as its parent. The server span's
id is the other's with one bit turned, so that nothing has to be kept of a call until its observer begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import getrandbits, random
from time import perf_counter

from mooring.hosting.routes import Route, RouteVariant
from mooring.http1.ticking import Ticker
from mooring.processes.attendants import Attendant
from mooring.settings import TraceSettings
from mooring.traces import context
from mooring.upstream.observing import Answer, Asked, Failed

EXPORTER = "mooring.traces.exporter"
MOST_BYTES = 4 * 1024 * 1024
"""Of spans that the exporter did not take yet; more are not recorded, and counted."""
ABANDONED = "abandoned"
"""What became of a call whose caller went away."""
INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
_LINE = b"\r\ntraceparent: 00-"
_SPAN_BYTES = 300


class Span:
    """The observation of a sampled call."""

    __slots__ = ("_asked", "_names", "_span_id", "_trace_id", "_tracing")

    def __init__(
        self, tracing: Tracing, names: tuple[str, str, str], asked: Asked, trace_id: bytes, span_id: bytes
    ) -> None:
        self._tracing = tracing
        self._names = names
        self._asked = asked
        self._trace_id = trace_id
        self._span_id = span_id

    def answered(self, answer: Answer, go: Callable[[], None]) -> None:
        replied = perf_counter()
        go()
        self._tracing.record(self._told(replied, answer.status, None))

    def failed(self, failed: Failed) -> None:
        self._tracing.record(self._told(perf_counter(), failed.status, failed.reason))

    def abandoned(self) -> None:
        self._tracing.record(self._told(perf_counter(), 0, ABANDONED))

    def _told(self, replied: float, status: int, reason: str | None) -> tuple[object, ...]:
        """As `mooring.traces.exporter` takes it."""
        asked = self._asked
        return (
            *self._names,
            asked.operation,
            self._trace_id,
            self._span_id,
            asked.headers.get(context.TRACEPARENT, b""),
            asked.began,
            asked.sent,
            replied,
            perf_counter(),
            status,
            reason,
            asked.request_id,
            asked.headers.get(INFERENCE_ID, b""),
        )


class _Observer:
    __slots__ = ("_names", "_tracing")

    def __init__(self, tracing: Tracing, names: tuple[str, str, str]) -> None:
        self._tracing = tracing
        self._names = names

    def began(self, asked: Asked) -> Span | None:
        """The ids of a sampled call stand in the head that its replica gets."""
        head = asked.head
        at = head.find(_LINE)
        if at < 0:
            return None
        at += len(_LINE)
        if not int(head[at + 50 : at + 52], 16) & context.SAMPLED:
            return None
        return Span(self._tracing, self._names, asked, head[at : at + 32], head[at + 33 : at + 49])


class Tracing:
    """One for a gateway that traces."""

    def __init__(self, settings: TraceSettings, ticker: Ticker) -> None:
        self._settings = settings
        self._ticker = ticker
        self._child: Attendant | None = None
        self._lost = 0

    def lines(self, headers: Mapping[bytes, bytes] | None) -> bytes:
        """The lines of the trace in the head for a replica; `headers` when the caller says something of a trace."""
        parent = None if headers is None else context.parent_of(headers.get(context.TRACEPARENT))
        if not (random() < self._settings.sampling if parent is None else parent.is_sampled):
            return b"" if headers is None else context.lines(headers)
        trace_id = b"%032x" % (getrandbits(128) or 1) if parent is None else parent.trace_id
        flags = context.SAMPLED if parent is None else parent.flags
        own = context.traceparent(trace_id, b"%016x" % (getrandbits(64) | 1), flags)
        return own if headers is None else context.lines(headers, own)

    def observer(self, route: Route, variant: RouteVariant) -> _Observer:
        """What watches the calls of a variant."""
        if self._child is None:
            self._child = Attendant(EXPORTER, MOST_BYTES)
            self._ticker.add(self)
        return _Observer(self, (route.scope.region, route.endpoint, variant.name))

    def forget(self, route_key: str) -> None:
        """The endpoint is gone: nothing is held of it."""

    def record(self, told: tuple[object, ...]) -> None:
        """Pass a sampled call on to the exporter."""
        child = self._child
        if child is not None and child.has_room:
            child.say(told, _SPAN_BYTES)
        else:
            self._lost += 1

    def sweep(self, now: float) -> None:
        if self._child is None:
            return
        self._child.sweep(now)
        if self._lost and self._child.has_room:
            self._child.say((self._lost,), _SPAN_BYTES)
            self._lost = 0

    async def finish(self) -> None:
        """At the end of the process: what was recorded is sent."""
        if self._child is not None:
            self._ticker.discard(self)
            await self._child.finish()
