"""A coroutine per request on top of `connection`: for edges where clarity is worth more than a few microseconds."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from mooring.http1.connection import ServerConnection
from mooring.http1.listening import IDLE_S, Limits, Listening, plain_text
from mooring.http1.messages import Request, Response
from mooring.http1.ticking import Ticker

log = logging.getLogger("mooring.http1")

CLOSE_GRACE_S = 5.0
BACKLOG = 4096

Handler = Callable[[Request], Awaitable[Response]]


class _HandledConnection(ServerConnection):
    __slots__ = ("_server",)

    def __init__(self, server: Server) -> None:
        super().__init__(server.listening)
        self._server = server

    def request_received(self, request: Request) -> None:
        self._server.handle(request, self)


class Server:
    """A listener, its connections and the requests that are being handled. Made by `serve`."""

    def __init__(self, handler: Handler, listening: Listening) -> None:
        self.listening = listening
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    def handle(self, request: Request, connection: ServerConnection) -> None:
        """Run the handler for one request. It runs on when the client leaves: what it began must be finished."""
        name = f"{request.method.decode('latin-1')} {request.path.decode('latin-1')}"
        task = asyncio.create_task(self._answer(request, connection), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request, connection: ServerConnection) -> None:
        try:
            response = await self._handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = plain_text(500, "Internal error.")
        connection.respond(response.status, response.headers, response.body)

    async def start(self, where: socket.socket | Path | str) -> None:
        """Listen on a bound socket, or at a path, where a stale socket is replaced."""
        loop = asyncio.get_running_loop()
        self.listening.ticker.start()
        listener = where if isinstance(where, socket.socket) else _bind(Path(where))
        create = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
        self._listener = await create(self._connection, sock=listener, backlog=BACKLOG)

    def _connection(self) -> ServerConnection:
        return _HandledConnection(self)

    async def close(self) -> None:
        """Stop accepting, let what is being handled finish for `CLOSE_GRACE_S`, then cancel it."""
        if self._listener is not None:
            self._listener.close()
        self.listening.drain()
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=CLOSE_GRACE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CLOSE_GRACE_S)
        for connection in tuple(self.listening.connections):
            connection.hang_up()
        self.listening.ticker.stop()


def _bind(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener


async def serve(
    where: socket.socket | Path | str, handler: Handler, *, body_limit: int, idle_s: float = IDLE_S
) -> Server:
    """Answer HTTP/1.1 on a bound socket or a Unix socket's path with `handler`, a coroutine per request."""
    server = Server(handler, Listening(Limits(body_bytes=body_limit, idle_s=idle_s), Ticker()))
    await server.start(where)
    return server
