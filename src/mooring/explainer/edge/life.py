"""One solver process, from its start until it is reaped, and the gateway's end of the sockets to it.

What is said goes out at once, both ways. That it has died its end of the sockets tells, however that came about.
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

from mooring.explainer.frames import Explained, Frame, Predict, Unexplained, frame_of, plain
from mooring.processes.attendants import Batches, batch

log = logging.getLogger("mooring.explainer")

UNSENT_BYTES = 4 * 1024 * 1024
"""What may wait to be sent before `has_room` is False."""
FINISH_S = 3.0
"""How long a process that is to end may take to."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""There is one for each gateway, and they leave the cores to the models."""

ENDED = "The process that explains predictions has ended. It is started again: try again."
NOT_STARTED = "The process that explains predictions cannot be started: {reason}."


class Asker(Protocol):
    """A call that is being explained."""

    def heard(self, frame: Predict | Explained | Unexplained) -> None:
        """The solver says something of it; after the last two, nothing more."""
        ...

    def lost(self, kind: str, reason: str) -> None:
        """The solver has gone, and with it what it knew of the call; `kind` as of `Unexplained`."""
        ...


class Owner(Protocol):
    """Who has started it."""

    def let_go(self, number: int) -> None:
        """A call has ended."""
        ...

    def proven(self) -> None:
        """It has come to the end of a call."""
        ...

    def room(self) -> None:
        """It takes what it is told again."""
        ...

    def over(self, life: Life, reason: str) -> None:
        """Its sockets closed, though nobody wanted that."""
        ...


class Life(asyncio.Protocol):
    """Of one process. It begins at once, and what is said meanwhile waits."""

    def __init__(self, owner: Owner, module: str) -> None:
        self.askers: dict[int, Asker] = {}
        self.gone = asyncio.Event()
        """The process has ended, and is reaped."""
        self.when_gone: Callable[[], None] = _nothing
        self.is_wanted = True
        """False once it ends because it should."""
        self.heard_at = asyncio.get_running_loop().time()
        self.is_listened_to = True
        self._owner = owner
        self._batches = Batches()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.SubprocessTransport | None = None
        self._early: list[Frame] = []  # said before there was anybody to say it to
        self._paused = False
        self._ended = False
        self._task = asyncio.create_task(self._run(module), name=f"start of {module}")

    @property
    def has_room(self) -> bool:
        """Whether it takes what it is told."""
        return not self._paused

    def say(self, frame: Frame) -> None:
        """Tell it something."""
        if self._transport is None:
            self._early.append(frame)
        elif not self._transport.is_closing():
            self._transport.writelines(batch([plain(frame)]))

    def pause(self) -> None:
        """Take nothing from it for now."""
        self.is_listened_to = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """The inverse of `pause`."""
        self.is_listened_to = True
        self.heard_at = asyncio.get_running_loop().time()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def lose(self, kind: str, reason: str) -> int:
        """Tell all who wait that nothing comes any more."""
        askers, self.askers = self.askers, {}
        for number in askers:
            self._owner.let_go(number)
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
        """With -9."""
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
                self._owner.let_go(frame.call)
                self._owner.proven()
            else:
                asker = self.askers.get(frame.call)
            if asker is not None:
                asker.heard(cast("Predict | Explained | Unexplained", frame))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._owner.room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._ended:
            self._owner.over(self, ENDED)

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
        self._owner.over(self, NOT_STARTED.format(reason=error.strerror or error))

    def _departed(self) -> None:
        self.gone.set()
        self.when_gone()


class _Child(asyncio.SubprocessProtocol):
    def __init__(self, life: Life) -> None:
        self._life = life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._life._process = cast(asyncio.SubprocessTransport, transport)

    def process_exited(self) -> None:
        self._life.exited()


def _nothing() -> None:
    pass
