"""`mooring run`: one command in the environment of `mooring env`, with a server for it when none runs.

The command stays in the terminal's foreground, and its exit code becomes ours. How long a server lives that was started
for it is `sharing`'s.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from mooring.cli import environment, finding, signals
from mooring.cli.sharing import shared_server

NOT_EXECUTABLE, NOT_FOUND = 126, 127


def run(command: Sequence[str], url: str | None, data_dir: str | None) -> int:
    """Run `command` and return its exit code; 128 and the signal's number when a signal ended it."""
    if shutil.which(command[0]) is None:
        missing = os.sep not in command[0] or not Path(command[0]).exists()
        return _cannot(command[0], NOT_FOUND if missing else NOT_EXECUTABLE)
    with signals.leaving_on_sigterm(), contextlib.ExitStack() as stack:
        server = finding.find(url, data_dir)
        if server.paths is not None:
            server = stack.enter_context(shared_server(server.paths))
        # MOORING_URL is for `mooring` itself, as the command or called by it.
        environ = {**os.environ, **environment.variables(server, os.environ), "MOORING_URL": server.require_url()}
        return _run(command, environ)


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
        for number in signals.TOLD_TO_END:
            self._handlers.enter_context(signals.handling(number, self._received))
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
