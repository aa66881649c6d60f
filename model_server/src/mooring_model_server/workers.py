"""Several worker processes for one replica, forked before any model code runs.

Each worker loads the model by itself, as under AWS's gunicorn: a process that used OpenMP once must not be forked,
because its children hang in XGBoost. The main process does nothing but watch: it never imports the script, so it can
fork a successor for a worker that died. On Linux workers die with it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from typing import Callable

from mooring_model_server.output import Output, leave
from mooring_model_server.records import returncode

PR_SET_PDEATHSIG = 1
BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
STEADY_S = 10.0
KILL_MARGIN_S = 1.0
EXIT_LOAD_FAILED = 3
HANDLED = (signal.SIGCHLD, signal.SIGTERM)


def run(count: int, drain_s: float, output: Output, serve: Callable[[], int]) -> int:
    """Keep `count` workers running until SIGTERM, or until one cannot load its model; returns the exit code."""
    return _Watch(count, drain_s, output, serve).run()


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; nothing off Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


class _Watch:
    def __init__(self, count: int, drain_s: float, output: Output, serve: Callable[[], int]) -> None:
        self._count = count
        self._drain_s = drain_s
        self._output = output
        self._serve = serve
        self._started: dict[int, float] = {}
        self._backoff_s = BACKOFF_S
        self._start_at = 0.0
        self._stopping = False
        self._code = 0
        self._signals, self._wakeup = os.pipe()
        for descriptor in (self._signals, self._wakeup):
            os.set_blocking(descriptor, False)

    def run(self) -> int:
        for number in HANDLED:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        while not self._stopping:
            self._start_missing()
            self._wait(max(0.0, self._start_at - time.monotonic()) if len(self._started) < self._count else 60.0)
        self._stop()
        return self._code

    def _start_missing(self) -> None:
        while len(self._started) < self._count and time.monotonic() >= self._start_at:
            parent = os.getpid()
            # Until a worker has put SIGTERM back, our own handler would swallow one that is meant for it.
            signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
            pid = os.fork()
            if pid == 0:
                self._become_worker(parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            self._started[pid] = time.monotonic()

    def _become_worker(self, parent: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in HANDLED:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            os.close(self._signals)
            os.close(self._wakeup)
            die_with_parent(parent)
            code = self._serve()
        except BaseException as error:  # noqa: BLE001 (a worker must never return into the watching loop)
            self._output.trace(error)
        finally:
            leave(code)

    def _wait(self, timeout_s: float) -> None:
        readable, _, _ = select.select([self._signals], [], [], timeout_s)
        if readable and signal.SIGTERM in os.read(self._signals, 512):
            self._stopping = True
        self._reap()

    def _reap(self) -> None:
        while self._started:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            began = self._started.pop(pid, None)
            if began is not None and not self._stopping:
                self._worker_ended(pid, returncode(status), time.monotonic() - began)

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
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_s + KILL_MARGIN_S
        while self._started and time.monotonic() < deadline:
            self._wait(deadline - time.monotonic())
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        for pid in self._started:
            os.kill(pid, number)
