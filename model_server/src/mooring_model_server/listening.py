"""The HTTP side of a replica: accepts, reads, answers `/ping` itself, gives invocations to who runs the model."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from _signal import getsignal  # type: ignore[import-not-found]  # without signal's enums, which cost 5 µs a call
from typing import Callable, Mapping, NamedTuple

from mooring_model_server.connections import Connection, Request
from mooring_model_server.contract import JSON, TEXT, Answer
from mooring_model_server.loop import READ, Loop
from mooring_model_server.output import Output
from mooring_model_server.spec import ReplicaSpec

KEEP_ALIVE_S = 75.0
"""An unused connection is closed after this; longer than a gateway's own limit of 55 s, so the gateway closes first."""
SWEEP_S = 15.0
ACCEPT_AGAIN_S = 1.0
UNREAD_S = 1.0
"""How long a stopping server waits for the rest of a message that had begun to arrive."""
ACCEPTS_PER_TURN = 16

INFERENCE_ID = "x-amzn-sagemaker-inference-id"
CALLS = b"/mooring/calls"
"""Answers with the inference ids of the calls that this replica has, also of those whose caller is gone."""

PONG = Answer(200, TEXT, b"\n")
NO_WORKER = Answer(503, TEXT, b"No worker has the model loaded\n")
NOT_FOUND = Answer(404, TEXT, b"Not Found\n")
GONE_TYPES = (BlockingIOError, InterruptedError, ConnectionAbortedError)


class Job(NamedTuple):
    """One invocation on its way to the model."""

    connection: Connection
    request: Request


class Http:
    """A server in a loop of its own, which somebody must turn."""

    def __init__(
        self,
        spec: ReplicaSpec,
        listener: socket.socket,
        invoke: Callable[[Job], None],
        output: Output,
        healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        self.loop = Loop(self._heard)
        self.body_limit = spec.body_limit
        self.draining = False
        self.stopped = False
        """Whether it was told to stop, and has done all that it had to before."""
        self._drain_s = spec.timeout_s
        self._listener = listener
        self._parameters = NOT_FOUND
        self._invoke = invoke
        self._output = output
        self._healthy = healthy
        self._connections: set[Connection] = set()
        self._outstanding = 0
        self._works_on: dict[int, str] = {}  # inference ids, by their connection
        self._on_sigterm = lambda *_: self.loop.tell(bytes([signal.SIGTERM]))  # one object, to be known again

    def start(self, parameters: Mapping[str, object]) -> None:
        """Accept from the next turn of the loop on, and heed SIGTERM; `parameters` answer `/execution-parameters`."""
        self._parameters = Answer(200, JSON, json.dumps(parameters).encode())
        self.heed_sigterm()
        self._accept_on()
        self.loop.later(SWEEP_S, self._sweep)

    def heed_sigterm(self) -> None:
        """Stop on SIGTERM, from the main thread; again after user code ran, which may have taken the signal.

        The loop hears of the signal itself at once, even while a long call keeps Python's handler waiting.
        """
        if getsignal(signal.SIGTERM) is not self._on_sigterm:
            signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.set_wakeup_fd(self.loop.mouth, warn_on_full_buffer=False)

    def descriptors(self) -> tuple[int, ...]:
        """What this server cannot do without."""
        return (self._listener.fileno(), *self.loop.descriptors())

    def release(self, null: int) -> None:
        """In a forked child: let go of every socket, so that peers are not kept waiting for an end."""
        held = [connection.descriptor for connection in self._connections]
        for descriptor in (*self.descriptors(), *held):
            if descriptor >= 0:
                os.dup2(null, descriptor, inheritable=False)

    def finish(self, job: Job, answer: Answer | None) -> None:
        """A job is done; None when nobody waits for its answer."""
        self._over(job)
        if answer is not None:
            try:
                job.connection.respond(answer)
            except Exception as error:  # noqa: BLE001 (an answer that cannot be written must not leave its caller waiting)
                self._output.trace(error)
                job.connection.abort()
        self._stop_when_drained()

    def end(self, job: Job) -> None:
        """A job whose answer came in parts is done."""
        self._over(job)
        job.connection.end()
        self._stop_when_drained()

    def abandon(self, job: Job) -> None:
        """A job will never be answered: its connection ends, as if the server had."""
        self._over(job)
        job.connection.abort()
        self._stop_when_drained()

    def _over(self, job: Job) -> None:
        self._outstanding -= 1
        self._works_on.pop(id(job.connection), None)

    # Accepting.

    def _accept_on(self) -> None:
        if not self.draining:
            self.loop.watch(self._listener.fileno(), READ, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if self.draining or not self._accept_one():
                return

    def _accept_one(self) -> bool:
        try:
            client, _ = self._listener.accept()
            self._connections.add(Connection(self, client, self._output))
        except GONE_TYPES:
            return False
        except OSError as error:  # out of descriptors: try again soon instead of spinning
            self._output.say(f"accept: {error}")
            self.loop.unwatch(self._listener.fileno())
            self.loop.later(ACCEPT_AGAIN_S, self._accept_on)
            return False
        return True

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._stop_when_drained()

    # Answering.

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer, or hand on."""
        path = request.url.partition(b"?")[0]
        if path == b"/invocations" and request.method == "POST":
            self._outstanding += 1
            if INFERENCE_ID in request.headers:
                self._works_on[id(connection)] = request.headers[INFERENCE_ID]
            self._invoke(Job(connection, request))
        elif path == b"/invocations":
            connection.respond(Answer(405, TEXT, b"Method Not Allowed\n", (("Allow", "POST"),)))
        elif path == CALLS and request.method == "GET":
            # For a gateway or control that was killed: its successor asks which of its calls still run.
            connection.respond(Answer(200, JSON, json.dumps({"calls": sorted(self._works_on.values())}).encode()))
        elif path not in (b"/ping", b"/execution-parameters"):
            connection.respond(NOT_FOUND)
        elif request.method != "GET":
            connection.respond(Answer(405, TEXT, b"Method Not Allowed\n", (("Allow", "GET"),)))
        else:
            healthy = PONG if self._healthy() else NO_WORKER
            connection.respond(healthy if path == b"/ping" else self._parameters)

    def _sweep(self) -> None:
        stale = time.monotonic() - KEEP_ALIVE_S
        for connection in list(self._connections):
            if connection.answering is None and connection.waiting_since < stale:
                connection.abort()
        self.loop.later(SWEEP_S, self._sweep)

    # Stopping.

    def _heard(self, said: bytes) -> None:
        if signal.SIGTERM in said and not self.draining:
            self._drain()

    def _drain(self) -> None:
        self.draining = True
        self.loop.unwatch(self._listener.fileno())
        self._listener.close()
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
        self.loop.later(UNREAD_S, self._drop_unread)
        self.loop.later(self._drain_s, self._give_up)
        self._stop_when_drained()

    def _drop_unread(self) -> None:
        for connection in list(self._connections):
            if connection.unread:
                connection.abort()

    def _stop_when_drained(self) -> None:
        if self.draining and not self._outstanding and not self._connections:
            self.stopped = True

    def _give_up(self) -> None:
        self._output.say(f"stopping: still busy after {self._drain_s:g} s")
        os._exit(1)
