"""The coroutine edge, and the client that calls it: over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.http1.application import Server, serve
from mooring.http1.client import Interrupted, NotConnected, fetch
from mooring.http1.messages import Request, Response

Handler = Callable[[Request], Awaitable[Response]]


@pytest.fixture
def where() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mh-") as name:
        yield Path(name) / "edge.sock"


def served(where: Path, handler: Handler, body: Callable[[Server], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run `body` while `handler` is served at `where`."""

    async def run() -> None:
        server = await serve(where, handler, **{"body_limit": 1000, **options})
        try:
            async with asyncio.timeout(10):
                await body(server)
        finally:
            await server.close()

    asyncio.run(run())


async def echo(request: Request) -> Response:
    told = b"|".join((request.method, request.path, request.query, request.header(b"x-a") or b"-", request.body))
    return Response(201, ((b"X-B", b"b"),), told)


def test_a_request_and_its_answer(where: Path) -> None:
    async def body(_: Server) -> None:
        answer = await fetch(str(where), "POST", "/p/q?a=1?2", [(b"X-A", b"a")], b"body", 5)
        assert (answer.status, answer.body) == (201, b"POST|/p/q|a=1?2|a|body")
        assert (b"x-b", b"b") in answer.headers
        assert any(name == b"date" for name, _ in answer.headers)

    served(where, echo, body)


def test_head_gets_a_length_and_no_body(where: Path) -> None:
    async def body(_: Server) -> None:
        answer = await fetch(str(where), "HEAD", "/p")
        assert (answer.status, answer.body) == (201, b"")
        assert dict(answer.headers)[b"content-length"] == b"11"

    served(where, echo, body)


def test_the_body_limit(where: Path) -> None:
    async def body(_: Server) -> None:
        assert (await fetch(str(where), "POST", "/", (), b"x" * 1000)).status == 201
        refused = await fetch(str(where), "POST", "/", (), b"x" * 1001)
        assert (refused.status, refused.body) == (413, b"HTTP content length exceeded 1000 bytes.")

    served(where, echo, body)


def test_a_handler_that_fails_is_a_500_and_a_log_line(where: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Request) -> Response:
        raise RuntimeError("boom")

    async def body(_: Server) -> None:
        with caplog.at_level(logging.ERROR, "mooring.http1"):
            assert (await fetch(str(where), "GET", "/")).status == 500

    served(where, broken, body)
    assert "boom" in caplog.text


def test_requests_of_one_connection_are_handled_one_at_a_time_in_order(where: Path) -> None:
    running = 0

    async def slow(request: Request) -> Response:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01)
        running -= 1
        return Response(200, (), request.target)

    async def body(_: Server) -> None:
        reader, writer = await asyncio.open_unix_connection(where)
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(5)))
        for number in range(5):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            assert await reader.readexactly(2) == b"/%d" % number
        writer.close()
        await writer.wait_closed()

    served(where, slow, body)


def test_a_handler_runs_on_when_the_client_leaves(where: Path) -> None:
    finished = asyncio.Event()

    async def slow(_: Request) -> Response:
        await asyncio.sleep(0.05)
        finished.set()
        return Response(200)

    async def body(_: Server) -> None:
        with pytest.raises(Interrupted):
            await fetch(str(where), "GET", "/", timeout=0.01)
        await finished.wait()

    served(where, slow, body)


def test_closing_lets_what_is_handled_finish(where: Path) -> None:
    async def slow(_: Request) -> Response:
        await asyncio.sleep(0.1)
        return Response(200, (), b"done")

    async def run() -> None:
        server = await serve(where, slow, body_limit=10)
        call = asyncio.create_task(fetch(str(where), "GET", "/"))
        await asyncio.sleep(0.03)
        await server.close()
        assert (await call).body == b"done"
        with pytest.raises(NotConnected):
            await fetch(str(where), "GET", "/")

    asyncio.run(run())


def test_a_bound_tcp_socket_is_served_too() -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = await serve(listener, echo, body_limit=10)
        host, port = listener.getsockname()
        assert (await fetch(f"{host}:{port}", "GET", "/t")).body == b"GET|/t||-|"
        await server.close()

    asyncio.run(run())


# The client against servers that misbehave


def against(where: Path, said: bytes, **options: Any) -> Any:
    """What `fetch` makes of a server that says this and closes."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async def run() -> Any:
        server = await asyncio.start_unix_server(say, where)
        try:
            return await fetch(str(where), "GET", "/", **options)
        finally:
            server.close()
            await server.wait_closed()

    return asyncio.run(run())


def test_nobody_listens(where: Path) -> None:
    with pytest.raises(NotConnected):
        asyncio.run(fetch(str(where), "GET", "/"))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_an_answer_that_is_none(where: Path, said: bytes) -> None:
    with pytest.raises(Interrupted):
        against(where, said)


def test_an_answer_that_ends_with_the_connection(where: Path) -> None:
    assert against(where, b"HTTP/1.0 200 OK\r\n\r\nwhole").body == b"whole"


def test_interim_and_chunked_answers(where: Path) -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert against(where, head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").body == b"abc"


def test_an_answer_that_is_too_long(where: Path) -> None:
    with pytest.raises(Interrupted, match="longer than 3 bytes"):
        against(where, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234", body_limit=3)
