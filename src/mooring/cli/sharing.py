"""The server that `mooring run` uses: the one of the data directory, started if there is none.

Several runs share one. The last to leave stops it, if it was one of them that started it, and returns when it is gone;
a server of somebody's `mooring serve` is left alone. What happens when runs are killed is `attached`'s.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mooring.cli import finding, waiting
from mooring.cli.finding import Server
from mooring.cli.run_users import RunUsers
from mooring.cli.signals import ignoring
from mooring.errors import MooringError, Unavailable
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.log_files import open_log

READY_S = 60.0
POLL_S = 0.02
LAST_WORDS_BYTES = 64 * 1024

Child = subprocess.Popen[bytes]


@contextlib.contextmanager
def shared_server(paths: Paths) -> Iterator[Server]:
    """The server of a data directory, ready, for the length of the block."""
    paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with RunUsers(paths) as users:
        with waiting.said("waiting for an earlier run to stop its server"):
            users.join()
        child = None if _find(paths).running else _start(paths)
        try:
            with waiting.said("waiting for the server to be ready" if child is None else "starting a server"):
                server = _ready(paths, users, child)
            yield server
        finally:
            _leave(users, child)


def _find(paths: Paths) -> Server:
    return finding.find(None, str(paths.root), {})


def _start(paths: Paths) -> Child:
    with os.fdopen(open_log(paths.server_log), "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mooring.cli.attached", "--data-dir", str(paths.root), "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is the command's
        )


def _ready(paths: Paths, users: RunUsers, child: Child | None) -> Server:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        ended = child is not None and child.poll() is not None
        found = _find(paths)
        if child is not None and found.identity is not None and found.identity.pid == child.pid:
            users.record(found.identity)
        if found.url is not None:
            return found
        # Ours may have ended because another one took the directory first: that one does as well.
        if (ended or child is None) and not found.running:
            raise Unavailable(f"the server ended before it was ready: {_last_line(paths.server_log)}")
        time.sleep(POLL_S)
    raise MooringError(f"the server was not ready within {READY_S:g} s: see {paths.server_log}")


def _leave(users: RunUsers, child: Child | None) -> None:
    # A second Ctrl-C must not leave a server behind; the time that this takes is bounded.
    with ignoring():
        if users.no_others():
            started = users.started()
            if started is None and child is not None and child.poll() is None:
                started = identity.of(child.pid)  # it has not come as far as to hold the directory
            if started is not None:
                with waiting.said("stopping the server"):
                    users.stop(started)
        if child is not None:
            child.poll()


def _last_line(log: Path) -> str:
    lines: list[str] = []
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.removeprefix("mooring: ") for line in reversed(lines) if line.strip()), f"see {log}")
