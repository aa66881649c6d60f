"""The HTTP thread of a replica: accepts, reads, answers `/ping` itself, queues invocations for who runs the model."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import socket
import threading
import time
from _signal import getsignal  # type: ignore[import-not-found]  # without signal's enums, which cost 5 µs a call
from dataclasses import dataclass
from typing import Callable, Mapping

from mooring_model_server.connections import Connection, Request
from mooring_model_server.contract import JSON, TEXT, Answer
from mooring_model_server.output import Output
from mooring_model_server.spec import ReplicaSpec

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]

KEEP_ALIVE_S = 75.0
"""An unused connection is closed after this; longer than a gateway's own limit of 55 s, so the gateway closes first."""
SWEEP_S = 15.0
UNREAD_S = 1.0
"""How long a stopping server waits for the rest of a message that had begun to arrive."""
ACCEPTS_PER_TURN = 16

PONG = Answer(200, TEXT, b"\n")
NO_WORKER = Answer(503, TEXT, b"No worker has the model loaded\n")
NOT_FOUND = Answer(404, TEXT, b"Not Found\n")
GONE_TYPES = (BlockingIOError, InterruptedError, ConnectionAbortedError)


@dataclass(frozen=True)
class Job:
    """One invocation on its way to the model."""

    connection: Connection
    request: Request


class HttpThread(threading.Thread):
    """One loop in one thread. `stop_soon`, `finish` and `abandon` may be called from any thread."""

    def __init__(
        self,
        spec: ReplicaSpec,
        listener: socket.socket,
        parameters: Mapping[str, object],
        jobs: queue.SimpleQueue[Job | None],
        output: Output,
        healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(name="http", daemon=True)
        self.body_limit = spec.body_limit
        self.draining = False
        self._drain_s = spec.timeout_s
        self._listener = listener
        self._parameters = Answer(200, JSON, json.dumps(parameters).encode())
        self._jobs = jobs
        self._output = output
        self._healthy = healthy
        self._connections: set[Connection] = set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._outstanding = 0
        self._stopped = False
        self._heed = lambda *_: self.stop_soon()  # one object, to be known again
        self._loop: asyncio.AbstractEventLoop = new_event_loop()
        self._signals, self._wakeup = socket.socketpair()
        self._signals.setblocking(False)
        self._wakeup.setblocking(False)

    def heed_sigterm(self) -> None:
        """Stop on SIGTERM, from the main thread; again after user code ran, which may have taken the signal.

        The wakeup descriptor tells this thread at once, even while a long call keeps Python's handler waiting.
        """
        if getsignal(signal.SIGTERM) is not self._heed:
            signal.signal(signal.SIGTERM, self._heed)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)

    def descriptors(self) -> tuple[int, ...]:
        """What this thread cannot do without."""
        return self._listener.fileno(), self._signals.fileno(), self._wakeup.fileno()

    def release(self, null: int) -> None:
        """In a forked child: let go of every socket, so that peers are not kept waiting for an end."""
        held = [connection.descriptor for connection in self._connections]
        for descriptor in (*self.descriptors(), *held):
            if descriptor >= 0:
                os.dup2(null, descriptor, inheritable=False)

    def stop_soon(self) -> None:
        """Begin to stop, as SIGTERM does."""
        self._loop.call_soon_threadsafe(self._drain)

    def finish(self, job: Job, answer: Answer | None) -> None:
        """A job is done; None when nobody waits for its answer."""
        self._loop.call_soon_threadsafe(self._finished, job, answer)

    def abandon(self, job: Job) -> None:
        """A job will never be answered: its connection ends, as if the server had."""
        self._loop.call_soon_threadsafe(self._abandoned, job)

    def run(self) -> None:
        """The thread's body; its death would leave a replica that cannot answer, so it takes the process along."""
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # a script's mask is inherited
            asyncio.set_event_loop(self._loop)
            self._loop.add_reader(self._signals.fileno(), self._signalled)
            self._accept_on()
            self._loop.call_later(SWEEP_S, self._sweep)
            self._loop.run_forever()
        except BaseException as error:  # noqa: BLE001
            self._output.trace(error)
            os._exit(1)

    # Accepting.

    def _accept_on(self) -> None:
        if not self.draining:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        try:
            client, _ = self._listener.accept()
        except GONE_TYPES:
            return False
        except OSError as error:  # out of descriptors: try again soon instead of spinning
            self._output.say(f"accept: {error}")
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(SWEEP_S / 15, self._accept_on)
            return False
        client.setblocking(False)
        task = self._loop.create_task(self._connect(client))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return True

    async def _connect(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: Connection(self), client)
        except OSError as error:
            client.close()
            self._output.say(f"connection: {error}")

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._stop_when_drained()

    # Answering.

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer, or queue for the main thread."""
        path = request.url.partition(b"?")[0]
        if path == b"/invocations" and request.method == "POST":
            self._outstanding += 1
            self._jobs.put(Job(connection, request))
        elif path == b"/invocations":
            connection.respond(Answer(405, TEXT, b"Method Not Allowed\n", (("Allow", "POST"),)))
        elif path not in (b"/ping", b"/execution-parameters"):
            connection.respond(NOT_FOUND)
        elif request.method != "GET":
            connection.respond(Answer(405, TEXT, b"Method Not Allowed\n", (("Allow", "GET"),)))
        else:
            healthy = PONG if self._healthy() else NO_WORKER
            connection.respond(healthy if path == b"/ping" else self._parameters)

    def _finished(self, job: Job, answer: Answer | None) -> None:
        self._outstanding -= 1
        if answer is not None:
            try:
                job.connection.respond(answer)
            except Exception as error:  # noqa: BLE001 (an answer that cannot be written must not leave its caller waiting)
                self._output.trace(error)
                job.connection.abort()
        self._stop_when_drained()

    def _abandoned(self, job: Job) -> None:
        self._outstanding -= 1
        job.connection.abort()
        self._stop_when_drained()

    def _sweep(self) -> None:
        stale = time.monotonic() - KEEP_ALIVE_S
        for connection in list(self._connections):
            if connection.answering is None and connection.waiting_since < stale:
                connection.abort()
        self._loop.call_later(SWEEP_S, self._sweep)

    # Stopping.

    def _signalled(self) -> None:
        numbers = self._signals.recv(64)
        if signal.SIGTERM in numbers:
            self._drain()

    def _drain(self) -> None:
        if self.draining:
            return
        self.draining = True
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
        self._loop.call_later(UNREAD_S, self._drop_unread)
        self._loop.call_later(self._drain_s, self._give_up)
        self._stop_when_drained()

    def _drop_unread(self) -> None:
        for connection in list(self._connections):
            if connection.unread:
                connection.abort()

    def _stop_when_drained(self) -> None:
        if self.draining and not self._stopped and not self._outstanding and not self._connections:
            self._stopped = True
            self._jobs.put(None)
            self._loop.stop()

    def _give_up(self) -> None:
        self._output.say(f"stopping: still busy after {self._drain_s:g} s")
        os._exit(1)
