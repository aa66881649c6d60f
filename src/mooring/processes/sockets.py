"""Listening sockets that outlive the process that accepts on them.

The supervisor makes them and hands them down, so the accept queue of a worker that dies waits for its successor.

On Linux each gateway has a TCP socket of its own on the one port (SO_REUSEPORT), and the kernel spreads connections
over them. That option also lets a second server of the same user share a port in silence; therefore the port is bound
once without it first. On macOS SO_REUSEPORT does not spread connections, so all gateways share one socket there.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

from mooring.errors import DataDirectoryError, SettingsError

BACKLOG = 4096
FREE_PORT_ATTEMPTS = 8


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix stream socket at `path` (mode 0600), instead of a stale one that may be there."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise DataDirectoryError(f"cannot listen on {path}: {error.strerror or error}") from None
    return listener


def listen_tcp(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one TCP port (0: a free one), all the same one where the kernel does not spread.

    Raises `SettingsError` when the host is unknown or the port is taken.
    """
    family, address = _resolve(host, port)
    for attempt in range(FREE_PORT_ATTEMPTS):
        try:
            return _listen(family, address, count)
        except OSError as error:
            free_port_was_lost = port == 0 and error.errno == errno.EADDRINUSE
            if not free_port_was_lost or attempt == FREE_PORT_ATTEMPTS - 1:
                raise SettingsError(_explain(host, port, error)) from None
    raise AssertionError("unreachable")


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"host {host!r}: {reason}") from None
    family, _, _, _, address = found[0]
    return family, address


def _listen(family: socket.AddressFamily, address: tuple[Any, ...], count: int) -> list[socket.socket]:
    first = _bind(family, address, share=False)
    if sys.platform != "linux":
        first.listen(BACKLOG)
        return [first] * count
    taken = first.getsockname()
    first.close()
    listeners: list[socket.socket] = []
    try:
        for _ in range(count):
            listeners.append(_bind(family, taken, share=True))
            listeners[-1].listen(BACKLOG)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _bind(family: socket.AddressFamily, address: tuple[Any, ...], *, share: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without this, connections of an earlier server that are in TIME_WAIT would hold the port for a minute.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program: choose another with --port, or --port 0 for a free one"
        )
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"
