"""`python -m mooring.engines.relaying --listen-fd 3 -- PROGRAM …`: a server with a TCP port, as a replica on a socket.

A program that speaks SageMaker's container contract listens on a port, and a port proves nothing: once its owner is
dead it may be anybody's. So the program gets a free port of the loopback device (`{port}` in its words, and
SAGEMAKER_BIND_TO_PORT), and the replica's own address stays a Unix socket whose path is never used again. Guarantees:
nothing is sent but on a connection that the program itself took (`port_owners`); both end together, and this process
ends as the program did.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import cast

from mooring.engines.port_owners import Owners
from mooring.http1.loops import new_event_loop
from mooring.image_commands import filled
from mooring.processes import identity
from mooring.processes.pidfd import wait_for_exit
from mooring.processes.prctl import set_parent_death_signal

LOOPBACK = "127.0.0.1"
LISTENING_POLL_S = 0.02
LONGEST_POLL_S = 0.5
FLUSH_S = 1.0
"""For what a program said just before it ended."""
EXIT_WATCH_S = 3600.0
BUFFERED_BYTES = 256 * 1024
CANNOT_START = 4


class Side(asyncio.Protocol):
    """One of the two connections of a call: what it reads goes to the other, and so does its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None

    @property
    def _peer(self) -> asyncio.Transport | None:
        return self.other.transport if self.other is not None else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self.transport.set_write_buffer_limits(high=BUFFERED_BYTES)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.write(data)

    def eof_received(self) -> bool:
        if self._peer is not None and not self._peer.is_closing():
            self._peer.write_eof()
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._peer is not None:
            self._peer.close()  # after what is still to be written

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _Near(Side):
    """A connection to the replica's socket: it waits until the program has one for it."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay
        self._early: list[bytes] = []
        self._ended_early = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._relay.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
        else:
            self._early.append(data)
            assert self.transport is not None
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended_early = self.other is None
        return super().eof_received()

    def pair_with(self, far: Side) -> None:
        """From now on the two are one connection."""
        self.other, far.other = far, self
        assert far.transport is not None
        far.transport.writelines(self._early)
        self._early = []
        if self._ended_early:
            far.transport.write_eof()
        if self.transport is not None:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._relay.closed(self)


class Relay:
    """Between the replica's socket and the program's port."""

    def __init__(self, port: int, owners: Owners) -> None:
        self._port = port
        self._owners = owners
        self._open: set[_Near] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept until cancelled, once the program listens; what connects before waits in the socket's queue."""
        pause = LISTENING_POLL_S
        while not await self._listens():
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_POLL_S)
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Near(self), sock=listener)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    async def flush(self) -> None:
        """Wait a moment for connections that are not at their end yet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._idle.wait()

    def opened(self, near: _Near) -> None:
        self._open.add(near)
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._connect(near), name="connection to the program")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, near: _Near) -> None:
        self._open.discard(near)
        if not self._open:
            self._idle.set()

    async def _listens(self) -> bool:
        owners = self._owners.listeners()
        if owners is not None:
            return bool(owners)
        with contextlib.suppress(OSError):
            transport, _ = await asyncio.get_running_loop().create_connection(Side, LOOPBACK, self._port)
            transport.close()
            return True
        return False

    async def _connect(self, near: _Near) -> None:
        before = self._owners.listeners()
        far = Side()
        try:
            await asyncio.get_running_loop().create_connection(lambda: far, LOOPBACK, self._port)
        except OSError:
            near.abort()
            return
        # Nothing was sent yet: whoever else may listen there by now hears of no call.
        sound = before is None or (bool(before) and before == self._owners.listeners())
        if sound and near.transport is not None and far.transport is not None:
            near.pair_with(far)
        else:
            far.abort()
            near.abort()


async def run(listener: socket.socket, program: subprocess.Popen[bytes], port: int) -> int:
    """Relay until the program has ended; returns how it did, negative for a signal."""
    relay = Relay(port, Owners(port, os.getpgrp()))
    serving = asyncio.create_task(relay.serve(listener), name="relay")
    ended = asyncio.create_task(_end_of(program.pid), name="end of the program")
    # The program gets the signal too, as a member of the group, and decides when it is done.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done() and not serving.cancelled():
        program.kill()
        serving.result()
    await ended
    serving.cancel()  # who connects from here on is refused, and a gateway asks another replica
    await asyncio.wait({serving})
    await relay.flush()
    return program.wait()


async def _end_of(pid: int) -> None:
    known = identity.of(pid)
    while known is not None and not await wait_for_exit(known, EXIT_WATCH_S):
        pass


def start(words: tuple[str, ...], port: int) -> subprocess.Popen[bytes]:
    """The program, in this process's group, to be killed when this process dies. Raises OSError."""
    parent = os.getpid()

    def die_with_parent() -> None:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    environment = {**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port)}
    # Between fork and exec only Python's own lock matters, and there is no other thread yet that could hold it.
    return subprocess.Popen(words, env=environment, preexec_fn=die_with_parent)


def free_port() -> int:
    """A port of the loopback device that nobody has now; who takes it first is looked up again at every connection."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def main(arguments: list[str] | None = None) -> int:
    """Start the program and relay."""
    parser = argparse.ArgumentParser(prog="python -m mooring.engines.relaying")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(arguments)
    listener = socket.socket(fileno=options.listen_fd)
    listener.set_inheritable(False)  # else the program would keep the address of a replica that is dead
    port = free_port()
    words = filled(tuple(options.program), {"port": str(port)})
    try:
        program = start(words, port)
    except OSError as error:
        sys.stderr.write(f"{words[0]} cannot be started: {error.strerror}\n")
        return CANNOT_START
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        status = runner.run(run(listener, program, port))
    if status < 0:
        with contextlib.suppress(OSError):  # of SIGKILL nothing can be changed
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main())
