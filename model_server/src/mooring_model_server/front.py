"""The process that speaks HTTP for a replica with several workers.

It alone holds the listening socket, and it runs no user code, so `/ping` is answered whatever the workers do. Calls
wait in one queue from which each worker takes the next when it has answered its last: no call waits behind a busy
worker while another idles. A call that a worker dies on loses its connection, as it would with one process; a call that
was not yet given to it goes to another. `/ping` fails while no worker has the model loaded.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from typing import Any

from mooring_model_server.channel import Channel
from mooring_model_server.contract import Invocation
from mooring_model_server.listening import HttpThread, Job
from mooring_model_server.output import Output
from mooring_model_server.passing import receive_message
from mooring_model_server.spec import ReplicaSpec


class Front:
    """Serves until SIGTERM; `control` tells which workers came (with their channel) and went."""

    def __init__(self, spec: ReplicaSpec, listener: socket.socket, control: socket.socket, output: Output) -> None:
        self._spec = spec
        self._listener = listener
        self._control = control
        self._output = output
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._loaded: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._channels: dict[int, Channel] = {}
        self._up: set[int] = set()
        self._serving = threading.Event()
        self._http: HttpThread

    def run(self) -> int:
        """Accept once a first worker has loaded the model; returns the exit code after SIGTERM."""
        threading.Thread(target=self._listen_to_control, name="control", daemon=True).start()
        parameters = self._loaded.get()
        self._http = HttpThread(
            self._spec, self._listener, parameters, self._jobs, self._output, healthy=lambda: bool(self._up)
        )
        self._http.heed_sigterm()
        self._serving.set()
        self._http.start()
        self._http.join()
        return 0

    def _listen_to_control(self) -> None:
        try:
            while True:
                data, descriptors, _ = receive_message(self._control)
                if not data:
                    os._exit(1)  # the main process is gone
                pid = int(data)
                if descriptors:
                    self._came(pid, Channel(socket.socket(fileno=descriptors[0])))
                else:
                    self._went(-pid)
        except BaseException as error:  # noqa: BLE001 (without this thread no worker would ever come again)
            self._output.trace(error)
            os._exit(1)

    def _came(self, pid: int, channel: Channel) -> None:
        self._channels[pid] = channel
        threading.Thread(target=self._use, args=(pid, channel), name=f"worker {pid}", daemon=True).start()

    def _went(self, pid: int) -> None:
        self._up.discard(pid)
        channel = self._channels.pop(pid, None)
        if channel is not None:
            channel.cut()

    def _use(self, pid: int, channel: Channel) -> None:
        parameters = channel.wait_loaded()
        if parameters is None:
            return
        self._up.add(pid)
        if pid not in self._channels:  # it went meanwhile
            self._up.discard(pid)
        self._loaded.put(parameters)
        self._serving.wait()
        try:
            self._give_calls(channel)
        except BaseException as error:  # noqa: BLE001 (a script can put anything on its channel)
            self._output.trace(error)
        finally:
            self._up.discard(pid)
            channel.cut()  # a worker that lives without a channel would be of no use: it sees the end and leaves

    def _give_calls(self, channel: Channel) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)  # for the next worker's thread
                return
            if channel.over():
                self._jobs.put(job)
                return
            if not job.connection.open:  # its caller gave up while it waited
                self._http.finish(job, None)
                continue
            answer = None
            try:
                answer = channel.ask(Invocation(bytes(job.request.body), job.request.headers))
            finally:
                if answer is None:
                    self._http.abandon(job)
            if answer is None:
                return
            self._http.finish(job, answer)
