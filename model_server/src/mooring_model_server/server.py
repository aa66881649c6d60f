"""The model server of one replica.

User code runs in the main thread: importing, loading and every invocation happen there, one at a time, because
libraries care (signal handlers, thread-local state, sqlite connections). HTTP is spoken there too between calls, and by
another thread during a call that lasts (see `leading`), so `/ping` is answered while an invocation runs. Nothing is
accepted before the model is loaded: a connection that is made earlier waits, and its first answer arrives the moment
the model is ready.

SIGTERM while loading ends the process at once; later it means: accept nothing more, finish what was received, exit 0.
With several workers the HTTP side is a process of its own (`front`), and each worker is a main thread without it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections import deque
from typing import Iterator

from mooring_model_server import loading, mismatches, records, workers
from mooring_model_server.channel import BROKEN, ENDED, PART, Channel
from mooring_model_server.contract import TEXT, Answer, Invocation, LoadFailure, Model
from mooring_model_server.guarding import Guard, release_in_children
from mooring_model_server.leading import Lead
from mooring_model_server.listening import Http, Job
from mooring_model_server.output import Output, last_line
from mooring_model_server.spec import ReplicaSpec

EXIT_LOAD_FAILED = 3
"""The exit code of a replica that could not load its model; `failure.json` says why."""

LONGEST_BEFORE_HINT = 400
BODILESS = (204, 304)


def run(spec: ReplicaSpec, listening_fd: int) -> int:
    """Serve until SIGTERM on an inherited listening socket; returns the exit code for the caller to leave with."""
    output = Output()
    output.prepare()
    sys.dont_write_bytecode = True  # model directories are shared and read-only
    listener = socket.socket(fileno=listening_fd)
    listener.setblocking(False)
    os.set_inheritable(listening_fd, False)  # a program that the script starts must not hold our address
    if spec.workers > 1:
        return workers.run(spec, listener, output, lambda channel: work(spec, channel, listener, output))
    return serve(spec, listener, output)


def serve(spec: ReplicaSpec, listener: socket.socket, output: Output) -> int:
    """Load the model, then answer until SIGTERM."""

    def release_listener(null: int) -> None:
        if listener.fileno() >= 0:
            os.dup2(null, listener.fileno(), inheritable=False)

    guard = Guard(output, [listener.fileno()])
    release_in_children(release_listener)
    model = _load(spec, guard, output)
    if model is None:
        return EXIT_LOAD_FAILED
    jobs: deque[Job] = deque()
    http = Http(spec, listener, jobs.append, output)
    guard.watch(*http.descriptors())
    release_in_children(http.release)
    http.start(model.execution_parameters())
    _answer_all(model, jobs, http, guard, output)
    return 0


def work(spec: ReplicaSpec, channel: Channel, listener: socket.socket, output: Output) -> int:
    """Be one of several workers: load the model, then answer what the channel brings until its end."""
    listener.close()
    release_in_children(channel.replace_by)
    guard = Guard(output, [channel.fileno()])
    model = _load(spec, guard, output)
    if model is None:
        return EXIT_LOAD_FAILED
    signal.signal(signal.SIGTERM, lambda *_: None)  # sent to the whole group; the front says when it is over
    going = channel.loaded(model.execution_parameters())
    while going:
        invocation = channel.next()
        if invocation is None:
            break
        answer = answer_one(model, invocation, output)
        guard.check()
        going = channel.answer(answer)
        if going and answer.parts is not None:
            going = _follow(channel, answer.parts, guard, output)
        output.mend()
    return 0


def _follow(channel: Channel, parts: Iterator[bytes], guard: Guard, output: Output) -> bool:
    """Send one part after another; False when nobody listens."""
    while True:
        wanted = channel.wanted()
        if wanted is None:
            return False
        word, part = take_part(parts, output) if wanted else stop(parts, output)
        guard.check()
        if not channel.follow(word, part):
            return False
        if word != PART:
            return True


def _load(spec: ReplicaSpec, guard: Guard, output: Output) -> Model | None:
    """The loaded model; None when that failed, which is reported then."""
    try:
        model = loading.load(spec)
        guard.leave_if_forked()
        lost = guard.lost()
        if lost:
            raise LoadFailure("model_fn", f"the script closed descriptors that serve its calls: {lost}")
    except LoadFailure as failure:
        cause = failure.__cause__
        output.mend()
        if cause is not None:
            output.trace(cause)
        hint = mismatches.hint(cause, spec.made_with)
        # What follows the first line may be a stack of native code: the hint must not be cut off behind it.
        reason = f"{failure.reason.splitlines()[0][:LONGEST_BEFORE_HINT]} ({hint})" if hint else failure.reason
        if cause is None or reason != last_line(cause):  # else it is the traceback's last line
            output.say(f"{failure.where}: {reason}")
        records.write_failure(spec.run_dir, failure.where, reason)
        return None
    output.mend()
    return model


def _answer_all(model: Model, jobs: deque[Job], http: Http, guard: Guard, output: Output) -> None:
    lead = Lead(http.loop, output)
    with lead:
        while not http.stopped:
            if not jobs:
                http.loop.turn()
                continue
            job = jobs.popleft()
            if not job.connection.open:  # its caller gave up while it waited
                http.finish(job, None)
                continue
            lead.let_go()
            answer = answer_one(model, Invocation(bytes(job.request.body), job.request.headers), output)
            guard.check(lambda: http.draining)
            http.heed_sigterm()
            output.mend()
            lead.take()
            if answer.parts is None:
                http.finish(job, answer)
            else:
                job.connection.begin(answer)
                _stream(answer.parts, job, http, lead, guard, output)


def _stream(parts: Iterator[bytes], job: Job, http: Http, lead: Lead, guard: Guard, output: Output) -> None:
    """Send one part after another, none before the last was taken, and none for a caller that has left."""
    connection, word = job.connection, PART
    while word == PART:
        while connection.congested:
            http.loop.turn()
        wanted = connection.open
        lead.let_go()
        word, part = take_part(parts, output) if wanted else stop(parts, output)
        guard.check(lambda: http.draining)
        http.heed_sigterm()
        output.mend()
        lead.take()
        connection.part(part)
    if word == ENDED:
        http.end(job)
    else:
        http.abandon(job)


def take_part(parts: Iterator[bytes], output: Output) -> tuple[str, bytes]:
    """The next part of an answer, or how it ended."""
    try:
        return PART, next(parts)
    except StopIteration:
        return ENDED, b""
    except BaseException as error:  # noqa: BLE001 (user code, sys.exit included)
        output.mend()
        output.trace(error)
        return BROKEN, b""


def stop(parts: Iterator[bytes], output: Output) -> tuple[str, bytes]:
    """Have a generator that nobody listens to end, as with `close`."""
    try:
        parts.close()  # type: ignore[attr-defined]  # a generator of `responses`
    except BaseException as error:  # noqa: BLE001 (as above)
        output.mend()
        output.trace(error)
    return ENDED, b""


def answer_one(model: Model, invocation: Invocation, output: Output) -> Answer:
    """The model's answer; a 500 when even the model's own error handling fails."""
    try:
        answer = sound(model.invoke(invocation))
        if answer.parts is not None and answer.status in BODILESS:
            stop(answer.parts, output)
            return answer._replace(body=b"", parts=None)
        return answer
    except BaseException as error:  # noqa: BLE001 (sys.exit in a script must not end the server)
        output.mend()
        output.trace(error)
        return Answer(500, TEXT, (last_line(error) + "\n").encode("utf-8", "backslashreplace"))


def sound(answer: Answer) -> Answer:
    """An answer that can be written; raises for one that HTTP has no words for."""
    if not 200 <= int(answer.status) <= 599:
        raise ValueError(f"the script answered with status {answer.status}, which is not from 200 to 599")
    if type(answer.status) is int and type(answer.content_type) in (str, type(None)):
        return answer
    content_type = None if answer.content_type is None else str(answer.content_type)
    return answer._replace(status=int(answer.status), content_type=content_type)
