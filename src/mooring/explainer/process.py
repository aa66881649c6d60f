"""The solver process of a gateway: `python -m mooring.explainer.process FD`, where FD is its end of a pair of sockets.

Batches of frames come and go on it (`mooring.explainer.frames`). It ends with its gateway, which is when the socket
does. The calls take turns, a step each, and what came is read in between. Threads read large calls and solve records,
for one call after the other, so that a call which needs neither waits for no other. Whatever a call says, it is that
call which fails, and not the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

from mooring import settings as settings_module
from mooring.explainer.frames import Explain, Forget, Frame, Predicted, frame_of, plain
from mooring.explainer.work.explaining import Explaining, Work
from mooring.explainer.work.keeping import Kept
from mooring.explainer.work.turns import Turns
from mooring.http1.loops import new_event_loop
from mooring.processes.attendants import Batches, batch
from mooring.settings import Settings

log = logging.getLogger("mooring.explainer")

NICENESS = 5
"""Callers who wait for a gateway or a replica come first."""
THREADS = min(2, os.cpu_count() or 1)
"""Linear algebra needs no interpreter. The cores are the models', who come first."""
SWITCH_S = 0.001
"""How long one keeps the interpreter from the loop, where it is not in linear algebra."""
CROWDED_S = 1.0
"""How often it is looked whether calls that are in front of others have stalled."""
TURN_S = 0.004
"""So long steps are taken before the socket is looked at."""


class Solver(asyncio.Protocol):
    """All explained calls of one gateway."""

    def __init__(self, kept: Kept) -> None:
        self.ended = asyncio.Event()
        self._kept = kept
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._batches = Batches()
        self._calls: dict[int, Explaining] = {}
        self._ready: deque[int] = deque()
        self._turn: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._turns = Turns()
        self._is_held = False
        self._threads = ThreadPoolExecutor(THREADS, "work")
        self._waiting: deque[int] = deque()
        self._running = 0

    def close(self) -> None:
        """At the end of the process: nobody waits any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for said in self._batches.feed(data):
            self._take(frame_of(said))
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.ended.set()

    def pause_writing(self) -> None:
        self._is_held = True

    def resume_writing(self) -> None:
        self._is_held = False
        self._schedule()

    # Inside

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Explain):
            self._calls[frame.call] = Explaining(frame, self._kept, self._loop.time())
            self._ready.append(frame.call)
        elif isinstance(frame, Predicted):
            if (call := self._calls.get(frame.call)) is not None:
                call.take(frame, self._loop.time())
                self._wake(frame.call)
        elif isinstance(frame, Forget) and (call := self._calls.get(frame.call)) is not None:
            self._let_go(frame.call, call, self._loop.time())

    def _wake(self, call: int) -> None:
        if call not in self._ready:
            self._ready.append(call)

    def _schedule(self) -> None:
        if self._ready and self._turn is None and not self._is_held:
            self._turn = self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Let calls take a step each, in turn, for a moment."""
        self._turn = None
        said: list[tuple[object, ...]] = []
        now = began = self._loop.time()
        while self._ready and now < began + TURN_S:
            number = self._ready.popleft()
            call = self._calls.get(number)
            if call is None:
                continue
            frames = None if now > call.until else call.advance(now)
            self._line_up(number, call, now)
            if frames is not None:
                said += map(plain, frames)
                self._ready.append(number)
            elif number not in self._waiting:
                self._waiting.append(number)
            self._sort_out(number, call, now)
            now = self._loop.time()
        self._say(said)
        self._run()
        self._schedule()
        self._set_alarm(began)

    def _run(self) -> None:
        """Have the threads do what takes longer, for one call after the other."""
        while self._waiting and self._running < THREADS:
            number = self._waiting.popleft()
            call = self._calls.get(number)
            work = None if call is None else call.to_run()
            if call is None or work is None:
                continue
            self._waiting.append(number)
            self._running += 1
            done = self._loop.run_in_executor(self._threads, work)
            done.add_done_callback(partial(self._ran, number, call, work))

    def _ran(self, number: int, call: Explaining, work: Work, done: asyncio.Future[None]) -> None:
        self._running -= 1
        self._say([*map(plain, call.ran(work))])
        if self._calls.get(number) is call:
            now = self._loop.time()
            self._line_up(number, call, now)
            self._sort_out(number, call, now)
            self._wake(number)
        self._schedule()
        self._run()

    def _line_up(self, number: int, call: Explaining, now: float) -> None:
        """Let a call that has been read ask its model, when it is its turn."""
        if call.model and number not in self._turns:
            self._wake_those(self._turns.join(number, call.model, call, now))

    def _sort_out(self, number: int, call: Explaining, now: float) -> None:
        """Let a call go that has ended, or for which nobody waits any more."""
        if call.is_over or now > call.until:
            self._let_go(number, call, now)

    def _let_go(self, number: int, call: Explaining, now: float) -> None:
        call.close()
        del self._calls[number]
        self._wake_those(self._turns.leave(number, now))

    def _say(self, said: list[tuple[object, ...]]) -> None:
        if said and self._transport is not None:
            self._transport.writelines(batch(said))

    def _set_alarm(self, since: float) -> None:
        """For calls that wait for a time that had not come `since`: to ask again, or until nobody waits for them.

        An alarm that is set comes, though it may be too early; so no time is missed that passes meanwhile.
        """
        times = [time for call in self._calls.values() for time in (call.not_before, call.until + 0.001)]
        if self._turns.is_crowded:
            times.append(self._loop.time() + CROWDED_S)
        first = min((time for time in times if time > since), default=math.inf)
        if first == math.inf or (self._alarm is not None and self._alarm.when() <= first):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(first, self._wake_all)

    def _wake_all(self) -> None:
        self._alarm = None
        self._turns.settle(self._loop.time())
        self._wake_those(self._calls)
        self._schedule()

    def _wake_those(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._wake(number)


async def _main(end: socket.socket, settings: Settings) -> None:
    solver = Solver(Kept(settings.explainer))
    await asyncio.get_running_loop().connect_accepted_socket(lambda: solver, end)
    await solver.ended.wait()
    solver.close()


def main() -> None:
    """Explain until the gateway goes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the gateway says when it is over
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    sys.setswitchinterval(SWITCH_S)
    settings = settings_module.load()
    logging.basicConfig(
        level=settings.server.log_level.upper(), format="%(asctime)s explainer %(levelname)s %(message)s"
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_main(socket.socket(fileno=int(sys.argv[1])), settings))


if __name__ == "__main__":
    main()
