"""The model server of one replica.

User code has the main thread to itself: importing, loading and every invocation happen there, one at a time, because
libraries care (signal handlers, thread-local state, sqlite connections). HTTP has a thread of its own, so `/ping` is
answered while an invocation runs. Nothing is accepted before the model is loaded: a connection that is made earlier
waits, and its first answer arrives the moment the model is ready.

SIGTERM while loading ends the process at once; later it means: accept nothing more, finish what was received, exit 0.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys

from mooring_model_server import loading, records, workers
from mooring_model_server.contract import TEXT, Answer, Invocation, LoadFailure, Model
from mooring_model_server.listening import HttpThread, Job
from mooring_model_server.output import Output, last_line
from mooring_model_server.spec import ReplicaSpec

EXIT_LOAD_FAILED = 3
"""The exit code of a replica that could not load its model; `failure.json` says why."""

STOP_JOIN_S = 5.0


def run(spec: ReplicaSpec, listening_fd: int) -> int:
    """Serve until SIGTERM on an inherited listening socket; returns the exit code for the caller to leave with."""
    output = Output()
    output.prepare()
    sys.dont_write_bytecode = True  # model directories are shared and read-only
    listener = socket.socket(fileno=listening_fd)
    listener.setblocking(False)
    os.set_inheritable(listening_fd, False)  # a program that the script starts must not hold our address
    if spec.workers > 1:
        return workers.run(spec.workers, spec.timeout_s, output, lambda: serve(spec, listener, output))
    return serve(spec, listener, output)


def serve(spec: ReplicaSpec, listener: socket.socket, output: Output) -> int:
    """Load the model, then answer until SIGTERM."""
    try:
        model = loading.load(spec)
    except LoadFailure as failure:
        output.mend()
        output.trace(failure.__cause__ or failure)
        output.say(f"{spec.replica_id}: {failure}")
        records.write_failure(spec.run_dir, failure.where, failure.reason)
        return EXIT_LOAD_FAILED
    output.mend()
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    http = HttpThread(spec, listener, model.execution_parameters(), jobs, output)
    _stop_on_sigterm(http)
    http.start()
    _answer_all(model, jobs, http, output)
    http.join(STOP_JOIN_S)
    return 0


def _answer_all(model: Model, jobs: queue.SimpleQueue[Job | None], http: HttpThread, output: Output) -> None:
    while True:
        job = jobs.get()
        if job is None:
            return
        if not job.connection.open:  # its caller gave up while it waited
            http.finish(job, None)
            continue
        request = job.request
        answer = answer_one(model, Invocation(bytes(request.body), request.headers), output)
        http.finish(job, answer)
        output.mend()


def answer_one(model: Model, invocation: Invocation, output: Output) -> Answer:
    """The model's answer; a 500 when even the model's own error handling fails."""
    try:
        return model.invoke(invocation)
    except BaseException as error:  # noqa: BLE001 (sys.exit in a script must not end the server)
        output.mend()
        output.trace(error)
        return Answer(500, TEXT, (last_line(error) + "\n").encode("utf-8", "backslashreplace"))


def _stop_on_sigterm(http: HttpThread) -> None:
    """The wakeup descriptor tells the HTTP thread at once, even while a long call keeps Python's handler waiting."""
    signal.signal(signal.SIGTERM, lambda *_: http.stop_soon())
    signal.set_wakeup_fd(http.signal_fd, warn_on_full_buffer=False)
