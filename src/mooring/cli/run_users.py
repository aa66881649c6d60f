"""Who uses the server of a data directory through `mooring run`, and which server one of them started.

A lock (flock) that users hold shared. Whoever gets it exclusively knows that there is no user, and keeps new ones
waiting for as long as it holds it. The kernel gives a lock up with its process, so one that was killed is no user.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from typing import Self

from mooring.errors import MooringError
from mooring.paths import Paths
from mooring.processes.identity import ProcessIdentity

JOIN_S = 90.0
"""Longer than a server may take to stop."""
STOPPING = ((signal.SIGTERM, 60.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
"""Signals to a server that is to stop, and how long each may take. At the second one it kills all that it has."""
POLL_S = 0.02


class RunUsers:
    """The lock file of one data directory, opened."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._descriptor = os.open(paths.run_users, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        os.close(self._descriptor)

    def join(self) -> None:
        """Become a user, as soon as nobody stops the server. Raises `MooringError` when that takes too long."""
        deadline = time.monotonic() + JOIN_S
        while not self._locked(fcntl.LOCK_SH):
            if time.monotonic() >= deadline:
                raise MooringError(f"another `mooring run` has been stopping the server for {JOIN_S:g} s")
            time.sleep(POLL_S)

    def no_others(self) -> bool:
        """Whether nobody else is a user; from then on nobody becomes one. If somebody is, we are none ourselves."""
        return self._locked(fcntl.LOCK_EX)

    def record(self, server: ProcessIdentity) -> None:
        """This server was started here: the last user stops it."""
        document = json.dumps(server.to_document()).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, document, 0)

    def started(self) -> ProcessIdentity | None:
        """The server that a user started, if it is alive."""
        found = ProcessIdentity.read(self._paths.run_users)
        return found if found is not None and found.alive() else None

    @staticmethod
    def stop(server: ProcessIdentity) -> None:
        """Stop `server`, and return when it is gone. To be called once there are no others."""
        for number, patience_s in STOPPING:
            if server.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server.pid, number)
            deadline = time.monotonic() + patience_s
            while server.alive() and time.monotonic() < deadline:
                time.sleep(POLL_S)

    def _locked(self, kind: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
            return True
        return False
