"""Several worker processes for one replica, forked before any model code runs, behind one that speaks HTTP.

Each worker loads the model by itself, as under AWS's gunicorn: a process that used OpenMP once must not be forked,
because its children hang in XGBoost. The main process does nothing but watch: it never imports the script and has one
thread, so it can fork a successor for a worker that died. The front (see `front`) is its first child, the replica ends
when that does. On Linux all of them die with the main process.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
from typing import Callable

from mooring_model_server.channel import Channel
from mooring_model_server.front import Front
from mooring_model_server.output import Output, leave
from mooring_model_server.passing import KIND, send_message
from mooring_model_server.records import returncode
from mooring_model_server.spec import ReplicaSpec

PR_SET_PDEATHSIG = 1
BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
STEADY_S = 10.0
KILL_MARGIN_S = 1.0
LEAVE_S = 2.0
"""How long a worker may take to leave (its script's exit handlers) once nobody calls it."""
EXIT_LOAD_FAILED = 3
HANDLED = (signal.SIGCHLD, signal.SIGTERM)
TOLD_TO_STOP = (0, -signal.SIGTERM)
"""How a front ends that was sent SIGTERM: after its calls, or at once while it has nothing to drain."""

Work = Callable[[Channel], int]


def run(spec: ReplicaSpec, listener: socket.socket, output: Output, work: Work) -> int:
    """Keep the workers running until SIGTERM, or until one cannot load its model; returns the exit code."""
    return _Watch(spec, listener, output, work).run()


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; nothing off Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


class _Watch:
    def __init__(self, spec: ReplicaSpec, listener: socket.socket, output: Output, work: Work) -> None:
        self._spec = spec
        self._listener = listener
        self._output = output
        self._work = work
        self._front = 0
        self._front_code: int | None = None
        self._started: dict[int, float] = {}
        self._backoff_s = BACKOFF_S
        self._start_at = 0.0
        self._stopping = False
        self._code = 0
        self._signals, self._wakeup = os.pipe()
        for descriptor in (self._signals, self._wakeup):
            os.set_blocking(descriptor, False)
        self._control, self._fronts_control = socket.socketpair(socket.AF_UNIX, KIND)

    def run(self) -> int:
        for number in HANDLED:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        self._front = self._fork(self._be_front)
        self._fronts_control.close()
        self._listener.close()
        self._control.setblocking(False)  # a front that does not listen must not keep this process from stopping
        while not self._stopping:
            self._start_missing()
            missing = len(self._started) < self._spec.workers
            self._wait(max(0.0, self._start_at - time.monotonic()) if missing else 60.0)
        self._stop()
        return self._code if self._code or self._front_code in TOLD_TO_STOP else 1

    def _fork(self, role: Callable[[], int]) -> int:
        parent = os.getpid()
        # Until a child has put SIGTERM back, our own handler would swallow one that is meant for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        pid = os.fork()
        if pid == 0:
            self._become(role, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        return pid

    def _become(self, role: Callable[[], int], parent: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in HANDLED:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            os.close(self._signals)
            os.close(self._wakeup)
            self._control.close()
            die_with_parent(parent)
            code = role()
        except BaseException as error:  # noqa: BLE001 (a child must never return into the watching loop)
            self._output.trace(error)
        finally:
            leave(code)

    def _be_front(self) -> int:
        return Front(self._spec, self._listener, self._fronts_control, self._output).run()

    def _start_missing(self) -> None:
        while not self._stopping and len(self._started) < self._spec.workers and time.monotonic() >= self._start_at:
            ours, theirs = socket.socketpair()

            def be_worker(ours: socket.socket = ours, theirs: socket.socket = theirs) -> int:
                ours.close()
                return self._work(Channel(theirs))

            pid = self._fork(be_worker)
            theirs.close()
            self._started[pid] = time.monotonic()
            with ours:
                self._tell_front(str(pid), ours.fileno())

    def _tell_front(self, text: str, *descriptors: int) -> None:
        try:
            send_message(self._control, text.encode("ascii"), descriptors)
        except ConnectionError:  # it has ended; how, is for `_reap` to see
            return
        except OSError as error:
            if not self._stopping:
                self._output.say(f"the front does not listen ({error}): the replica ends")
                self._code, self._stopping = 1, True

    def _wait(self, timeout_s: float) -> None:
        readable, _, _ = select.select([self._signals], [], [], timeout_s)
        if readable and signal.SIGTERM in os.read(self._signals, 512):
            self._stopping = True
        self._reap()

    def _reap(self) -> None:
        while self._started or self._front_code is None:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid == self._front:
                self._front_ended(returncode(status))
                continue
            began = self._started.pop(pid, None)
            if began is not None:
                self._tell_front(str(-pid))
                if not self._stopping:
                    self._worker_ended(pid, returncode(status), time.monotonic() - began)

    def _front_ended(self, code: int) -> None:
        self._front_code = code
        if not self._stopping and code not in TOLD_TO_STOP:  # a signal to all may reach the front first
            self._output.say(f"the front ended with {code}: the replica ends")
            self._code = self._code or 1
        self._stopping = True

    def _worker_ended(self, pid: int, code: int, lived_s: float) -> None:
        if code == EXIT_LOAD_FAILED:
            self._code, self._stopping = code, True
            return
        if lived_s > STEADY_S:
            self._backoff_s = BACKOFF_S
        self._output.say(f"worker {pid} ended with {code}; another starts in {self._backoff_s:g} s")
        self._start_at = time.monotonic() + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, LONGEST_BACKOFF_S)

    def _stop(self) -> None:
        """First the front, which waits for the calls; then the workers, which see the end of their channels."""
        if self._front_code is None:
            os.kill(self._front, signal.SIGTERM)
        deadline = time.monotonic() + self._spec.timeout_s + KILL_MARGIN_S
        while self._front_code is None and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())
        for pid in self._started:  # for one that is still loading
            os.kill(pid, signal.SIGTERM)
        self._reap_until(time.monotonic() + LEAVE_S)
        self._signal_all(signal.SIGKILL)

    def _reap_until(self, deadline: float) -> None:
        while (self._started or self._front_code is None) and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())

    def _signal_all(self, number: int) -> None:
        if self._front_code is None:
            os.kill(self._front, number)
        for pid in self._started:
            os.kill(pid, number)
