"""`mooring stop`: ask, then watch until the server is really gone.

What is watched is the supervisor's process wherever it can be seen; its port closes long before it has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import time
from urllib.parse import urlsplit

from mooring.cli import waiting
from mooring.cli.client import client_of
from mooring.cli.finding import Server
from mooring.errors import MooringError
from mooring.paths import Paths
from mooring.processes.identity import ProcessIdentity

ASK_S = 5.0
POLL_S = 0.02


def stop(server: Server, timeout_s: float) -> bool:
    """Stop `server` and return when it is gone; False when there was none, `MooringError` when it outlasts the time."""
    deadline = time.monotonic() + timeout_s
    if not _there(server):
        return False
    told = _ask(server)
    # One that is not seen alive here is another machine's or another container's: then only its port can be watched.
    if server.identity is None and told is not None and told.alive():
        server = dataclasses.replace(server, identity=told)
    with waiting.said("stopping: replicas end, then the rest"):
        while _there(server):
            if time.monotonic() >= deadline:
                pid = f" (pid {server.identity.pid})" if server.identity else ""
                raise MooringError(f"the server {server.place}{pid} has not stopped within {timeout_s:g} s")
            time.sleep(POLL_S)
    return True


def end_left_replicas(paths: Paths) -> int:
    """End the replicas that outlived a killed server of this data directory; how many there were."""
    from mooring.supervisor import clearing

    with waiting.said("ending replicas that an earlier server left"):
        return clearing.end_left_replicas(paths)


def _ask(server: Server) -> ProcessIdentity | None:
    if server.url is not None:
        try:
            return client_of(server, ASK_S).stop()
        except MooringError:
            # Its API may be down, or the port another's by now; its own process can still be told.
            if server.identity is None:
                raise
    if server.identity is not None and server.identity.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.identity.pid, signal.SIGTERM)
    return server.identity


def _there(server: Server) -> bool:
    if server.identity is not None:
        return server.identity.alive()
    assert server.url is not None
    parts = urlsplit(server.url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=ASK_S).close()
    except OSError:
        return False
    return True
