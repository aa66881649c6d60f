"""The HTTP thread of a replica: accepts, reads, answers `/ping` itself, and queues invocations for the main thread."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import Mapping

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
YIELD_S = 0.01
"""How long a busy worker lets an idle one accept first, when several share the socket."""
ACCEPTS_PER_TURN = 16

PONG = Answer(200, TEXT, b"\n")
NOT_FOUND = Answer(404, TEXT, b"Not Found\n")
GONE_TYPES = (BlockingIOError, InterruptedError, ConnectionAbortedError)


@dataclass(frozen=True)
class Job:
    """One invocation on its way to the main thread."""

    connection: Connection
    request: Request


class HttpThread(threading.Thread):
    """One loop in one thread. `stop_soon` and `finish` may be called from any thread, the rest is its own."""

    def __init__(
        self,
        spec: ReplicaSpec,
        listener: socket.socket,
        parameters: Mapping[str, object],
        jobs: queue.SimpleQueue[Job | None],
        output: Output,
    ) -> None:
        super().__init__(name="http", daemon=True)
        self.body_limit = spec.body_limit
        self.draining = False
        self.closes_after_each = spec.workers > 1  # so that the worker that is free takes the next call
        self._drain_s = spec.timeout_s
        self._listener = listener
        self._parameters = Answer(200, JSON, json.dumps(parameters).encode())
        self._jobs = jobs
        self._output = output
        self._connections: set[Connection] = set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._outstanding = 0
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop = new_event_loop()
        self._signals, self._wakeup = socket.socketpair()
        self._signals.setblocking(False)
        self._wakeup.setblocking(False)

    @property
    def signal_fd(self) -> int:
        """For `signal.set_wakeup_fd`."""
        return self._wakeup.fileno()

    def stop_soon(self) -> None:
        """Begin to stop, as SIGTERM does."""
        self._loop.call_soon_threadsafe(self._drain)

    def finish(self, job: Job, answer: Answer | None) -> None:
        """The main thread is done with a job."""
        self._loop.call_soon_threadsafe(self._finished, job, answer)

    def run(self) -> None:
        """The thread's body; its death would leave a replica that cannot answer, so it takes the process along."""
        try:
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
        if self.closes_after_each and self._outstanding:
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(YIELD_S, self._accept_late)
            return
        for _ in range(1 if self.closes_after_each else ACCEPTS_PER_TURN):
            if not self._accept_one():
                return

    def _accept_late(self) -> None:
        if not self.draining:
            self._accept_one()
            self._accept_on()

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
            connection.respond(PONG if path == b"/ping" else self._parameters)

    def _finished(self, job: Job, answer: Answer | None) -> None:
        self._outstanding -= 1
        if answer is not None:
            job.connection.respond(answer)
        self._stop_when_drained()

    def _sweep(self) -> None:
        stale = time.monotonic() - KEEP_ALIVE_S
        for connection in list(self._connections):
            if connection.answering is None and connection.last_use < stale:
                connection.close()
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
        self._loop.call_later(self._drain_s, self._give_up)
        self._stop_when_drained()

    def _stop_when_drained(self) -> None:
        if self.draining and not self._stopped and not self._outstanding and not self._connections:
            self._stopped = True
            self._jobs.put(None)
            self._loop.stop()

    def _give_up(self) -> None:
        self._output.say(f"stopping: still busy after {self._drain_s:g} s")
        os._exit(1)
