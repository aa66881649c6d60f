"""`mooring run`: one command in the environment of `mooring env`, with a server for it when none runs.

A server that was started here is stopped when the command has ended, and on Linux even when this process is killed; one
that ran before is left alone. The command stays in the terminal's foreground, and its exit code becomes ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from mooring.cli import environment, finding, waiting
from mooring.cli.finding import Server
from mooring.errors import MooringError, Unavailable
from mooring.paths import Paths

READY_S = 60.0
STOP_S = 60.0
KILL_S = 5.0
POLL_S = 0.02
NOT_EXECUTABLE, NOT_FOUND = 126, 127
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(command: Sequence[str], url: str | None, data_dir: str | None) -> int:
    """Run `command` and return its exit code; 128 and the signal's number when a signal ended it."""
    if shutil.which(command[0]) is None:
        missing = os.sep not in command[0] or not Path(command[0]).exists()
        return _cannot(command[0], NOT_FOUND if missing else NOT_EXECUTABLE)
    with _leaving_on_sigterm(), _server(url, data_dir) as server:
        environ = {**os.environ, **environment.variables(server, os.environ)}
        return _run(command, environ)


@contextlib.contextmanager
def _server(url: str | None, data_dir: str | None) -> Iterator[Server]:
    """The server that runs, or one for the length of the block."""
    found = finding.find(url, data_dir)
    if found.paths is None or found.url is not None:
        yield found
        return
    with contextlib.ExitStack() as stack:
        child = None if found.running else stack.enter_context(_started(found.paths))
        with waiting.said("waiting for the server to be ready" if child is None else "starting a server"):
            ready = _ready(found.paths, child)
        yield ready


@contextlib.contextmanager
def _started(paths: Paths) -> Iterator[subprocess.Popen[bytes]]:
    paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = [str(os.getpid()), "--port", "0", "--data-dir", str(paths.root)]
    descriptor = os.open(paths.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "mooring.cli.attached", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is the command's
        )
    try:
        yield child
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    # A second Ctrl-C must not leave a server behind; the time that this takes is bounded.
    with _ignoring(_FORWARDED), waiting.said("stopping the server"):
        for act, patience_s in ((child.terminate, STOP_S), (child.terminate, KILL_S), (child.kill, KILL_S)):
            act()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(patience_s)
                return


def _ready(paths: Paths, child: subprocess.Popen[bytes] | None) -> Server:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        ended = child is not None and child.poll() is not None
        found = finding.find(None, str(paths.root), {})
        if found.url is not None:
            return found
        # Ours may have ended because another one took the directory first: that one does as well.
        if (ended or child is None) and not found.running:
            raise Unavailable(f"the server ended before it was ready: {_last_line(paths.server_log)}")
        time.sleep(POLL_S)
    raise MooringError(f"the server was not ready within {READY_S:g} s: see {paths.server_log}")


def _last_line(log: Path) -> str:
    try:
        lines = log.read_bytes().decode(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.removeprefix("mooring: ") for line in reversed(lines) if line.strip()), f"see {log}")


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    with _Forwarding() as forwarding:
        try:
            child = subprocess.Popen(command, env=environ)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            return _cannot(command[0], NOT_FOUND if missing else NOT_EXECUTABLE)
        forwarding.begin(child)
        code = child.wait()
    return 128 - code if code < 0 else code


def _cannot(name: str, code: int) -> int:
    reason = "command not found" if code == NOT_FOUND else "cannot be executed"
    print(f"mooring: {name}: {reason}", file=sys.stderr)
    return code


class _Forwarding:
    """Hands signals on to the command, those among them that came before it had begun."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._handlers = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for number in _FORWARDED:
            self._handlers.enter_context(_handling(number, self._received))
        return self

    def __exit__(self, *reason: object) -> None:
        self._handlers.close()

    def begin(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        while self._early:
            child.send_signal(self._early.pop(0))

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        elif number != signal.SIGINT or not _in_foreground():
            self._child.send_signal(number)


def _in_foreground() -> bool:
    """Whether Ctrl-C reaches the command by itself, because the terminal sends it to the whole group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    with _handling(signal.SIGTERM, _leave), _handling(signal.SIGHUP, _leave):
        yield


@contextlib.contextmanager
def _ignoring(numbers: Sequence[int]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for number in numbers:
            stack.enter_context(_handling(number, lambda number, frame: None))
        yield


@contextlib.contextmanager
def _handling(number: int, handler: signal._HANDLER) -> Iterator[None]:
    previous = signal.getsignal(number)
    if previous is signal.SIG_IGN:  # as under nohup: so it stays, for the command too
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)
