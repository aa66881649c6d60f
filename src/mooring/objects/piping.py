"""Passing a connection on: what a client sends to another service on a connection that S3 was given.

The gateway gives a connection away whole when its first request is S3's. A client that then speaks to another service
on it gets through all the same: the bytes are relayed to the gateway's own address, the connection's local one.
"""

from __future__ import annotations

import contextlib
import selectors
import socket

CONNECT_TIMEOUT_S = 5.0
_SILENCE_S = 300.0
_TURN = 64 * 1024


def relay(client: socket.socket, already_read: bytes) -> None:
    """Relay both ways until both ends have closed, one fails, or nothing passes for `_SILENCE_S`."""
    family = client.family
    with socket.socket(family, socket.SOCK_STREAM) as gateway:
        gateway.settimeout(CONNECT_TIMEOUT_S)
        gateway.connect(client.getsockname())
        gateway.settimeout(_SILENCE_S)
        client.settimeout(_SILENCE_S)
        gateway.sendall(already_read)
        _relay_both(client, gateway)


def _relay_both(client: socket.socket, gateway: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, gateway)
        selector.register(gateway, selectors.EVENT_READ, client)
        while selector.get_map():
            ready = selector.select(_SILENCE_S)
            if not ready:
                return
            for key, _ in ready:
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                data = source.recv(_TURN)
                if data:
                    target.sendall(data)
                    continue
                selector.unregister(source)
                with contextlib.suppress(OSError):
                    target.shutdown(socket.SHUT_WR)
