"""The gateway's end of its solver process: calls go to it, and what it says of them is told to whoever waits.

The process is started by the first call, and stopped when nobody asked for long. It has one end of a pair of sockets;
what is said goes out at once, both ways. When it dies, which its end of the sockets tells however that came about, the
calls that it had fail, and the next call starts another; one that dies again and again is left alone for a while that
doubles. It ends with its gateway, of whatever that ends.

What is held is bounded: so many calls, and so many bytes of theirs; one more is refused. What it does not take in time
waits in the gateway, and `has_room` says so to those who would have more for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Protocol, cast

from mooring.errors import Unavailable
from mooring.explainer.frames import Explain, Explained, Forget, Frame, Predict, Predicted, Unexplained, frame_of, plain
from mooring.processes.attendants import Batches, batch
from mooring.settings import ExplainerSettings

log = logging.getLogger("mooring.explainer")

PROCESS = "mooring.explainer.process"
MOST_CALLS = 256
"""Calls that are being explained at a time."""
UNSENT_BYTES = 4 * 1024 * 1024
"""What may wait to be sent before `has_room` is False."""
RESTART_S, RESTART_MAX_S = 1.0, 30.0
"""How long a process that died twice without having explained anything is left alone, and at most."""
FINISH_S = 3.0
"""How long a process that is to end may take to."""
STUCK_S = 20.0
"""A process that says nothing for this long, while it is its turn, is ended."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""There is one for each gateway, and they leave the cores to the models."""

BUSY, FAULTY = "busy", "mooring"
"""Kinds of `Unexplained` (the first is the edge's own): trying again later helps, and what went wrong is Mooring's."""
FULL = "Too many calls are being explained at the moment. Try again later."
ENDED = "The process that explains predictions has ended. It is started again: try again."
RESTING = "The process that explains predictions has ended again and again. It is started again in a moment."
NOT_STARTED = "The process that explains predictions cannot be started: {reason}."
STOPPING = "This server is being stopped, and the explanation took longer than it waits."


class Busy(Unavailable):
    """No further call can be explained right now."""


class Asker(Protocol):
    """A call that is being explained."""

    def heard(self, frame: Predict | Explained | Unexplained) -> None:
        """The solver says something of it; after the last two, nothing more."""
        ...

    def lost(self, kind: str, reason: str) -> None:
        """The solver has gone, and with it what it knew of the call; `kind` as of `Unexplained`."""
        ...


class Solver:
    """One for a gateway. Its owner calls `sweep` a few times a second."""

    def __init__(
        self,
        settings: ExplainerSettings,
        on_room: Callable[[], None],
        module: str = PROCESS,
        *,
        stuck_s: float = STUCK_S,
    ) -> None:
        """`on_room` is called when `has_room` is True again."""
        self.on_room = on_room
        self.starts = 0
        self._settings = settings
        self._module = module
        self._stuck_s = stuck_s
        self._life: _Life | None = None
        self._ending: set[_Life] = set()
        self._held: dict[int, int] = {}
        self._held_bytes = 0
        self._numbers = 0
        self._unproven = 0  # that died in a row without having explained anything
        self._not_before = 0.0
        self._idle_since = 0.0
        self._closed = False

    @property
    def has_room(self) -> bool:
        """Whether the process takes what it is told."""
        life = self._life
        return life is None or life.has_room

    @property
    def refusal(self) -> str | None:
        """Why no further call would be taken now, however small."""
        if len(self._held) >= MOST_CALLS or self._held_bytes >= self._settings.queue_bytes:
            return FULL
        if self._life is None and self._not_before and asyncio.get_running_loop().time() < self._not_before:
            return RESTING
        return None

    def begin(self, asker: Asker, explain: Explain) -> int:
        """Have a call explained; its number, by which it is known. Raises `Busy`."""
        if (refusal := self.refusal) is not None:
            raise Busy(refusal)
        size = len(explain.request) + len(explain.answer)
        if self._held and (self._held_bytes + size > self._settings.queue_bytes):
            raise Busy(FULL)
        life = self._life or self._start()
        self._numbers += 1
        number = self._numbers
        self._held[number] = size
        self._held_bytes += size
        life.askers[number] = asker
        life.say(explain._replace(call=number))
        return number

    def say(self, predicted: Predicted) -> None:
        """What a replica answered."""
        if self._life is not None and predicted.call in self._life.askers:
            self._life.say(predicted)

    def forget(self, number: int, its_turn_since: float | None = None) -> None:
        """Nobody waits for a call any more. Since `its_turn_since`, by the loop's clock, it waits for the solver."""
        life = self._life
        if life is None or life.askers.pop(number, None) is None:
            return
        self._let_go(number)
        life.say(Forget(number))
        now = asyncio.get_running_loop().time()
        if its_turn_since is not None and now - max(its_turn_since, life.heard_at) > self._stuck_s:
            log.warning("the process that explains has said nothing for %.0f s, and is ended", now - life.heard_at)
            life.kill()

    def pause(self) -> None:
        """Take nothing from the process for now: there is enough to do."""
        if self._life is not None:
            self._life.pause()

    def resume(self) -> None:
        """The inverse of `pause`."""
        if self._life is not None:
            self._life.resume()

    def sweep(self, now: float) -> None:
        """Stop a process that nobody asks."""
        life = self._life
        if life is None or life.askers:
            self._idle_since = now
        elif 0 < self._settings.solver_idle_s < now - self._idle_since:
            self._life = None
            self._end(life, wanted=True)

    def give_up(self) -> int:
        """The gateway ends, and those who wait are told so; returns how many there were."""
        return 0 if self._life is None else self._life.lose(BUSY, STOPPING)

    async def finish(self, within_s: float = FINISH_S) -> None:
        """At the end of the gateway: let the process end, and see it go. One that does not in time is killed."""
        self._closed = True
        life, self._life = self._life, None
        if life is not None:
            life.lose(BUSY, STOPPING)
            self._end(life, wanted=True)
        for _ in range(2):
            ending = [asyncio.create_task(each.gone.wait(), name="end of a solver") for each in self._ending]
            if not ending:
                return
            _, late = await asyncio.wait(ending, timeout=within_s)
            for waiting in late:
                waiting.cancel()
            for each in tuple(self._ending):
                each.kill()

    # For a life

    def let_go(self, number: int) -> None:
        """A call has ended."""
        self._let_go(number)

    def proven(self) -> None:
        """The process has explained something."""
        self._unproven = 0

    def over(self, life: _Life, reason: str) -> None:
        """The sockets of a process closed."""
        if self._life is life:
            self._life = None
            self._unproven += 1
            if self._unproven > 1:
                rest = min(RESTART_S * 2.0 ** min(self._unproven - 2, 16), RESTART_MAX_S)
                self._not_before = asyncio.get_running_loop().time() + rest
        life.lose(FAULTY, reason)
        self._end(life, wanted=False)

    # Inside

    def _start(self) -> _Life:
        if self._closed:
            raise Busy(STOPPING)
        self.starts += 1
        life = self._life = _Life(self, self._module)
        return life

    def _let_go(self, number: int) -> None:
        self._held_bytes -= self._held.pop(number, 0)

    def _end(self, life: _Life, *, wanted: bool) -> None:
        life.is_wanted = not wanted
        if not life.gone.is_set() and life not in self._ending:
            self._ending.add(life)
            life.when_gone = lambda: self._ending.discard(life)
            life.end()


class _Life(asyncio.Protocol):
    """One process, and this end of the sockets to it."""

    def __init__(self, solver: Solver, module: str) -> None:
        self.askers: dict[int, Asker] = {}
        self.gone = asyncio.Event()
        """The process has ended, and is reaped."""
        self.when_gone: Callable[[], None] = _nothing
        self.is_wanted = True
        """False once it ends because it should."""
        self.heard_at = asyncio.get_running_loop().time()
        self._solver = solver
        self._batches = Batches()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.SubprocessTransport | None = None
        self._early: list[Frame] = []  # said before there was anybody to say it to
        self._paused = False
        self._ended = False
        self._task = asyncio.create_task(self._run(module), name=f"start of {module}")

    @property
    def has_room(self) -> bool:
        return not self._paused

    def say(self, frame: Frame) -> None:
        if self._transport is None:
            self._early.append(frame)
        elif not self._transport.is_closing():
            self._transport.writelines(batch([plain(frame)]))

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def lose(self, kind: str, reason: str) -> int:
        """Tell all who wait that nothing comes any more."""
        askers, self.askers = self.askers, {}
        for number in askers:
            self._solver.let_go(number)
        for asker in askers.values():
            asker.lost(kind, reason)
        return len(askers)

    def end(self) -> None:
        """Let the process see the end of what it reads; one that goes on for long is killed."""
        self._ended = True
        self._early.clear()
        if self._transport is not None:
            self._transport.close()
        asyncio.get_running_loop().call_later(FINISH_S, self.kill)

    def kill(self) -> None:
        if self._process is not None and not self.gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def exited(self) -> None:
        """The process is reaped."""
        assert self._process is not None
        status = self._process.get_returncode()
        if self.is_wanted:
            log.warning("the process that explains ended with %s", status)
        self._process.close()
        self._departed()
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES)
        if self._ended:
            self._transport.close()
            return
        early, self._early = self._early, []
        for frame in early:
            self.say(frame)

    def data_received(self, data: bytes) -> None:
        try:
            frames = [frame_of(said) for said in self._batches.feed(data)]
        except (KeyError, TypeError, ValueError, EOFError) as error:
            log.warning("the process that explains says what is no frame, and is ended: %r", error)
            self.kill()
            return
        self.heard_at = asyncio.get_running_loop().time()
        for frame in frames:
            if isinstance(frame, Explained | Unexplained):
                asker = self.askers.pop(frame.call, None)
                self._solver.let_go(frame.call)
                self._solver.proven()
            else:
                asker = self.askers.get(frame.call)
            if asker is not None:
                asker.heard(cast("Predict | Explained | Unexplained", frame))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._solver.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._ended:
            self._solver.over(self, ENDED)

    # Inside

    async def _run(self, module: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._not_started(error)
            return
        fd = theirs.fileno()
        command = (sys.executable, "-P", "-m", module, str(fd))
        environment = {**os.environ, **ONE_THREAD}
        try:
            with theirs:
                process, _ = await loop.subprocess_exec(
                    lambda: _Child(self), *command, stdin=subprocess.DEVNULL, stdout=None, stderr=None,
                    pass_fds=(fd,), env=environment,
                )  # fmt: skip
            self._process = process
            await loop.create_unix_connection(lambda: self, sock=ours)
        except OSError as error:
            ours.close()
            self._not_started(error)

    def _not_started(self, error: OSError) -> None:
        log.warning("the process that explains cannot be started: %s", error)
        if self._process is None:
            self._departed()
        self._solver.over(self, NOT_STARTED.format(reason=error.strerror or error))

    def _departed(self) -> None:
        self.gone.set()
        self.when_gone()


class _Child(asyncio.SubprocessProtocol):
    def __init__(self, life: _Life) -> None:
        self._life = life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._life._process = cast(asyncio.SubprocessTransport, transport)

    def process_exited(self) -> None:
        self._life.exited()


def _nothing() -> None:
    pass
