"""Passing a request on: what a client sends to another service on a connection that S3 was given.

The gateway gives a connection away whole when its first request is S3's. A client that then speaks to another service
on it gets through all the same: the request goes to a gateway's private socket, which is told whose it is, and the
answer comes back. Where that gateway is away, it goes to the connection's local address, which any gateway answers; a
connection over TLS, which comes by a pipe, has none.

One request is passed on, as the connection's last: it tells the gateway, and so the answer tells the client, that the
connection closes. Were the connection passed on for good, its next request of S3 would be handed over to this process
again, inside the first, and each change of service would take one more thread.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
from collections.abc import Callable
from typing import Any

from mooring.http1.messages import SOURCE

CONNECT_TIMEOUT_S = 5.0
_SILENCE_S = 300.0
_TURN = 64 * 1024
_CONNECTION = re.compile(rb"(?:proxy-)?connection[ \t]*:", re.IGNORECASE)


def relay(
    client: socket.socket,
    head: bytes,
    rest: bytes,
    goes_on: Callable[[], bool],
    gateway_socket: str = "",
    source: str = "",
) -> None:
    """Pass a request on, whose `rest` may still come, and the answer back, until the gateway has closed.

    Ends early when either side fails, or nothing passes for `_SILENCE_S`, or when `goes_on`, which is asked whenever
    something has moved, says no.
    """
    with _connected(client, gateway_socket) as gateway:
        gateway.settimeout(_SILENCE_S)
        client.settimeout(_SILENCE_S)
        gateway.sendall(as_last(head, source if gateway.family == socket.AF_UNIX else "") + rest)
        _relay_both(client, gateway, goes_on)


def _connected(client: socket.socket, gateway_socket: str) -> socket.socket:
    try:
        return _connection(socket.AF_UNIX, gateway_socket)
    except OSError:
        if client.family == socket.AF_UNIX:
            raise
    return _connection(client.family, client.getsockname())


def _connection(family: int, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(CONNECT_TIMEOUT_S)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def as_last(head: bytes, source: str = "") -> bytes:
    """A request's head as that of a connection's last request, which says whose it is where only we can say that."""
    first, *lines = head.lstrip(b"\r\n").split(b"\n")
    kept, dropping = [first, b"Connection: close\r"], False
    if source:
        kept.append(b"%b: %b\r" % (SOURCE, source.encode("ascii", "replace")))
    for line in lines:
        dropping = line.startswith((b" ", b"\t")) if dropping else False  # the rest of a folded line
        dropping = dropping or _CONNECTION.match(line) is not None
        if not dropping:
            kept.append(line)
    return b"\n".join(kept)


def _relay_both(client: socket.socket, gateway: socket.socket, goes_on: Callable[[], bool]) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, gateway)
        selector.register(gateway, selectors.EVENT_READ, client)
        while ready := selector.select(_SILENCE_S):
            if not goes_on():
                return
            for key, _ in ready:
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                data = source.recv(_TURN)
                if data:
                    target.sendall(data)
                elif source is gateway:
                    return
                else:
                    selector.unregister(source)
                    with contextlib.suppress(OSError):
                        target.shutdown(socket.SHUT_WR)
