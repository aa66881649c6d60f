"""A child process that does for its parent what would hold up the parent's loop; it is fed in batches.

What is said to it is collected and written fifty times a second, so that saying something costs an append. What it
does not take in time is bounded, and its parent never waits for it. It reads standard input, and ends with that and so
with its parent; it may say lines of JSON on standard output. When it dies it is started again.

A batch is a length, and a list of plain tuples as `marshal` writes it, which costs least. Both ends are the same
interpreter with the same Mooring; nothing that a stranger says becomes more than bytes in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import marshal
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

log = logging.getLogger("mooring.processes")

_LENGTH = struct.Struct("!Q")

FLUSH_AFTER_S = 0.02
FLUSH_BYTES = 262_144
"""So much is written without waiting for that."""
FINISH_S = 3.0
RESTART_S, RESTART_MAX_S = 0.1, 10.0
PROVEN_AFTER_S = 30.0
"""One that lived for this long is started again soon."""

Frame = tuple[Any, ...]


def batch(frames: list[Any]) -> tuple[bytes, bytes]:
    """Frames on the wire."""
    data = marshal.dumps(frames)
    return _LENGTH.pack(len(data)), data


class Batches:
    """Takes frames from bytes as they come."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """What is whole by now."""
        held = self._held
        held += data
        while len(held) >= _LENGTH.size:
            ends = _LENGTH.size + _LENGTH.unpack_from(held)[0]
            if len(held) < ends:
                break
            with memoryview(held) as view:
                frames = marshal.loads(view[_LENGTH.size : ends])  # noqa: S302 - written by our own parent
            del held[:ends]
            yield from frames


class Attendant(asyncio.SubprocessProtocol):
    """The parent's end, of one child after the other. Its owner calls `sweep` a few times a second."""

    def __init__(
        self,
        module: str,
        most_bytes: int,
        introduction: Callable[[], list[Frame]] = list,
        on_line: Callable[[int, Any], None] = lambda number, line: None,
    ) -> None:
        self._module = module
        self._most_bytes = most_bytes
        self._introduction = introduction
        self._on_line = on_line
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.SubprocessTransport | None = None
        self._pipe: asyncio.WriteTransport | None = None
        self._starting: asyncio.Task[None] | None = None
        self._started_at = 0.0
        self._not_before = 0.0
        self._restart_s = RESTART_S
        self._frames: list[Frame] = []
        self._size = 0
        self._flushing: asyncio.TimerHandle | None = None
        self._said = b""
        self._closed = False
        self._gone = asyncio.Event()
        self._start()

    @property
    def has_room(self) -> bool:
        """Whether a copy can be passed on: what is written waits for one that is being started."""
        pipe = self._pipe
        return self._size + (0 if pipe is None else pipe.get_write_buffer_size()) < self._most_bytes

    def say(self, frame: Frame, size: int) -> None:
        """Pass a frame on, soon; `size` is about how long it is."""
        self._frames.append(frame)
        self._size += size
        if self._size > FLUSH_BYTES:
            self._flush()
        elif self._flushing is None:
            self._flushing = self._loop.call_later(FLUSH_AFTER_S, self._flush)

    def sweep(self, now: float) -> None:
        """Start it again, when it is time."""
        if self._transport is None and self._starting is None and now >= self._not_before:
            self._start()

    async def finish(self, within_s: float = FINISH_S) -> None:
        """Let it end what it was given, and see it go. One that does not in time is killed."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._pipe is not None:
            self._flush()
            self._pipe.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._gone.wait()
        if self._transport is not None:
            self._transport.close()

    # asyncio.SubprocessProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        *lines, self._said = (self._said + cast(bytes, data)).split(b"\n")
        for line in lines:
            self._on_line(self._number, json.loads(line))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._pipe = None

    def process_exited(self) -> None:
        transport, self._transport, self._pipe, self._said = self._transport, None, None, b""
        self._gone.set()
        if transport is None or self._closed:
            if transport is not None:
                transport.close()
            return
        if self._loop.time() - self._started_at > PROVEN_AFTER_S:
            self._restart_s = RESTART_S
        log.warning("%s ended with %s", self._module, transport.get_returncode())
        transport.close()
        self._not_before = self._loop.time() + self._restart_s
        self._restart_s = min(self._restart_s * 2, RESTART_MAX_S)

    # Inside

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._pipe is None or not self._frames:
            return
        self._pipe.writelines(batch(self._frames))
        self._frames, self._size = [], 0

    def _start(self) -> None:
        self._starting = self._loop.create_task(self._run(), name=f"start of {self._module}")

    async def _run(self) -> None:
        try:
            command = (sys.executable, "-P", "-m", self._module)
            await self._loop.subprocess_exec(lambda: self, *command, stderr=None)
        except OSError as error:
            log.warning("%s cannot be started: %s", self._module, error)
            self._not_before = self._loop.time() + RESTART_MAX_S
            return
        finally:
            self._starting = None
        if self._transport is None or self._closed:
            return
        self._number += 1
        self._gone.clear()
        self._started_at = self._loop.time()
        self._pipe = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        self._frames[:0] = self._introduction()
        self._flush()
