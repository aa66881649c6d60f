"""S3's connections leave for the objects front: the descriptor and the bytes already read, over a Unix socket.

Large uploads would otherwise share the loop with invocations. After the descriptor has been sent this process closes
its own copy without shutting the connection down, so the client notices nothing.

A session of TLS cannot leave this process. Then what is given away is one end of a socket pair, and a pipe lies between
the other and the client (`mooring.gateway.piping`).

The message is one per connection: four bytes, big-endian, that say how many bytes of the client's follow at the end;
one that says how long its address is; the address; the client's bytes. The descriptor rides on the first (SCM_RIGHTS).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING

from mooring.gateway.faults import s3_error
from mooring.gateway.piping import Pipe
from mooring.http1.messages import Response

if TYPE_CHECKING:
    from mooring.gateway.front import FrontConnection

log = logging.getLogger("mooring.gateway")

RETRY_AFTER_S = 0.05
SEND_WITHIN_S = 5.0


class Handover:
    """Gives connections away, a task each."""

    def __init__(self, handover_socket: str, wait_s: float, endpoint_url: str) -> None:
        self._socket_path = handover_socket
        self._wait_s = wait_s
        self._endpoint_url = endpoint_url
        self._tasks: set[asyncio.Task[None]] = set()
        self._pipes: set[Pipe] = set()

    def begin(self, client: FrontConnection, message: bytes) -> None:
        """Give `client` away with `message`, all that was read of its request. Its reading is paused already."""
        if self._endpoint_url:
            text = f"This Mooring keeps its objects in {self._endpoint_url}: set AWS_ENDPOINT_URL_S3 to that."
            client.not_taken(s3_error(400, "InvalidRequest", text))
            return
        task = asyncio.create_task(self._hand_over(client, message), name="hand over to the objects front")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, client: FrontConnection, message: bytes) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                channel = await self._connect()
        except TimeoutError:
            log.warning("the objects front does not take connections")
            client.not_taken(_away())
            return
        with channel:
            transport = client.transport
            if transport is None:  # the client left
                return
            try:
                async with asyncio.timeout(SEND_WITHIN_S):
                    if transport.get_extra_info("sslcontext") is not None:
                        await self._lay_pipe(channel, client, transport, message)
                        return
                    await _send(channel, transport.get_extra_info("socket").fileno(), _source(transport), message)
            except (OSError, TimeoutError) as error:
                # Whether the descriptor arrived is not known: two processes must not answer one client.
                log.warning("a connection was lost on its way to the objects front: %s", error)
        transport.abort()

    async def _lay_pipe(
        self, channel: socket.socket, client: FrontConnection, transport: asyncio.Transport, message: bytes
    ) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                await _send(channel, theirs.fileno(), _source(transport), message)
        except BaseException:
            ours.close()
            raise
        client.connection_lost(None)  # it is the pipe's from now on
        await Pipe.lay(self._pipes, transport, ours)

    def busy(self) -> int:
        """How many pipes move something; for a drain, which closes the others."""
        for pipe in tuple(self._pipes):
            if pipe.quiet:
                pipe.ended()
        return len(self._pipes)

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        while True:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel.setblocking(False)
            try:
                await loop.sock_connect(channel, self._socket_path)
            except OSError:
                channel.close()
                await asyncio.sleep(RETRY_AFTER_S)
            except BaseException:
                channel.close()
                raise
            else:
                return channel


def _source(transport: asyncio.Transport) -> bytes:
    peer = transport.get_extra_info("peername")
    return str(peer[0]).encode("ascii", "replace")[:255] if isinstance(peer, tuple) else b""


async def _send(channel: socket.socket, descriptor: int, source: bytes, message: bytes) -> None:
    payload = struct.pack(">IB", len(message), len(source)) + source + message
    sent = socket.send_fds(channel, [payload], [descriptor])
    if sent < len(payload):
        await asyncio.get_running_loop().sock_sendall(channel, payload[sent:])


def _away() -> Response:
    return s3_error(503, "ServiceUnavailable", "The object store is not available right now. Please try again.")
