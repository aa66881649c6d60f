"""The process that speaks HTTP for a replica with several workers.

It alone holds the listening socket, and it runs no user code, so `/ping` is answered whatever the workers do. Calls
wait in one queue from which each worker gets the next when it has answered its last: no call waits behind a busy
worker while another idles. A call that a worker dies on loses its connection, as it would with one process; a call that
was not yet given to it goes to another. `/ping` fails while no worker has the model loaded.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Callable

from mooring_model_server.channel import BROKEN, PART, Frames, frame
from mooring_model_server.contract import Answer
from mooring_model_server.listening import Http, Job
from mooring_model_server.loop import READ
from mooring_model_server.output import Output
from mooring_model_server.passing import receive_message
from mooring_model_server.spec import ReplicaSpec
from mooring_model_server.streams import Stream


class Front:
    """Serves until SIGTERM; `control` tells which workers came (with their channel) and went."""

    def __init__(self, spec: ReplicaSpec, listener: socket.socket, control: socket.socket, output: Output) -> None:
        self.http = Http(spec, listener, self._invoke, output, healthy=lambda: bool(self._up))
        self.output = output
        self._control = control
        self._jobs: deque[Job] = deque()
        self._workers: dict[int, _Worker] = {}
        self._up: set[_Worker] = set()
        self._free: deque[_Worker] = deque()
        self._started = False

    def run(self) -> int:
        """Accept once a first worker has loaded the model; returns the exit code after SIGTERM."""
        self.http.loop.watch(self._control.fileno(), READ, self._told)
        while not self.http.stopped:
            self.http.loop.turn()
        return 0

    def loaded(self, worker: _Worker, parameters: object) -> None:
        """A worker has the model loaded."""
        self._up.add(worker)
        if not self._started and isinstance(parameters, dict):
            self._started = True
            self.http.start(parameters)
        self.free(worker)

    def free(self, worker: _Worker) -> None:
        """A worker can take a call."""
        self._free.append(worker)
        self._assign()

    def lost(self, worker: _Worker) -> None:
        """A worker ended, or cannot be trusted any longer."""
        self._up.discard(worker)
        if worker in self._free:
            self._free.remove(worker)

    def _told(self) -> None:
        data, descriptors, _ = receive_message(self._control)
        if not data:
            os._exit(1)  # the main process is gone
        pid = int(data)
        if descriptors:
            self._workers[pid] = _Worker(self, socket.socket(fileno=descriptors[0]))
        else:
            self._workers.pop(-pid).end()

    def _invoke(self, job: Job) -> None:
        self._jobs.append(job)
        self._assign()

    def _assign(self) -> None:
        while self._jobs and self._free:
            job = self._jobs.popleft()
            if not job.connection.open:  # its caller gave up while it waited
                self.http.finish(job, None)
            elif not self._free.popleft().give(job):
                self._jobs.appendleft(job)


class _Worker:
    """The front's end of one worker's channel. Once it ends the worker sees that, and is of no use any longer."""

    def __init__(self, front: Front, end: socket.socket) -> None:
        self._front = front
        self._frames = Frames()
        self._loaded = False
        self._job: Job | None = None
        self._streams = False  # its answer comes in parts
        self._stream = Stream(front.http.loop, end, self, front.output)

    def end(self) -> None:
        """Have nothing to do with it any longer."""
        self._stream.abort()

    def give(self, job: Job) -> bool:
        """Hand it a call; False when it is gone and will not have seen it."""
        self._stream.write(frame(job.request.headers, job.request.body))
        if self._stream.closing:
            return False
        self._job = job
        return True

    def data_received(self, data: bytes) -> None:
        found = self._frames.feed(data)
        if found is None:
            return
        head, body = found
        if not self._loaded:
            self._loaded = True
            self._front.loaded(self, head)
        elif self._job is None:
            raise ValueError("a worker answered what nobody had asked")
        elif self._streams:
            self._follow(self._job, head, body)
        else:
            # This raises for what no worker says; the call must still be here then, to be lost with the channel.
            status, content_type, headers, self._streams = head
            answer = Answer(status, content_type, body, headers)
            if self._streams:
                self._job.connection.begin(answer)
                self._job.connection.when_sent(self._ask_on)
            else:
                self._done(self._front.http.finish, answer)

    def _follow(self, job: Job, word: str, part: bytes) -> None:
        """What a worker says after an answer that has parts began."""
        http = self._front.http
        if word == PART:
            job.connection.part(part)
            job.connection.when_sent(self._ask_on)
        elif not job.connection.open:
            self._done(http.finish, None)
        else:
            self._done(http.abandon if word == BROKEN else http.end)

    def _ask_on(self) -> None:
        """The client has taken what there was, or is gone."""
        if self._job is not None:
            self._stream.write(frame(self._job.connection.open, b""))

    def _done(self, how: Callable[..., None], *answer: Answer | None) -> None:
        assert self._job is not None
        job, self._job, self._streams = self._job, None, False
        how(job, *answer)
        self._front.free(self)

    def connection_lost(self) -> None:
        self._front.lost(self)
        if self._job is not None:
            self._front.http.abandon(self._job)

    def writing_resumed(self) -> None:
        """The whole call is with the worker; its answer is the next to come."""
