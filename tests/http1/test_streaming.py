"""Calls with bodies in pieces: what is sent, what is read, and which connections may be used again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.http1.client import Interrupted, Lost, NotConnected
from mooring.http1.streaming import UNREAD_BYTES, Malformed, StreamConnection, StreamPool

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


async def with_peer(path: Path, answer: Answer, use: Callable[[StreamPool], Awaitable[object]]) -> object:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    pool = StreamPool(str(path))
    try:
        return await asyncio.wait_for(use(pool), 20)
    finally:
        pool.close()
        server.close()


def saying(*answers: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(each)
            await writer.drain()

    return answer


async def get(connection: StreamConnection) -> tuple[int, bytes]:
    connection.begin(HEAD)
    return await connection.answered(), await connection.read_all(1 << 30)


def test_a_second_answer_is_no_part_of_the_first(tmp_path: Path) -> None:
    """Where both come at once: who declared the length of the first would send on what nobody accounts for."""
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a\r\n\r\nhello"
    second = b"HTTP/1.1 500 No\r\nContent-Length: 3\r\nContent-Type: b\r\n\r\nbad"

    async def use(pool: StreamPool) -> None:
        connection = await pool.take()
        connection.begin(HEAD)
        assert await connection.answered() == 200
        assert await connection.read_all(100) == b"hello"
        assert (connection.status, connection.header(b"content-type")) == (200, b"a")
        assert not connection.reusable

    asyncio.run(with_peer(tmp_path / "s", saying(first + second), use))


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=3000), cuts=st.lists(st.integers(1, 500), max_size=20), chunked=st.booleans())
def test_a_body_arrives_as_it_was_sent_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, cuts: list[int], chunked: bool
) -> None:
    pieces, rest = [], body
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces = [each for each in (*pieces, rest) if each]
    if chunked:
        coded = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    else:
        coded, head = body, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = saying(head + coded, head + coded)

    async def use(pool: StreamPool) -> list[tuple[int, bytes]]:
        connection = await pool.take()
        first = await get(connection)
        pool.give_back(connection)
        again = await pool.take()
        assert again is connection
        return [first, await get(again)]

    path = tmp_path_factory.mktemp("s") / "s"
    assert asyncio.run(with_peer(path, answer, use)) == [(200, body), (200, body)]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"nonsense\r\n\r\n", Malformed),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\nContent-Length: 0\r\n\r\n", Malformed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", Interrupted),
        (b"", Interrupted),
    ],
)
def test_what_is_no_whole_answer_is_none(tmp_path: Path, answer: bytes, failure: type[Exception]) -> None:
    async def use(pool: StreamPool) -> None:
        with pytest.raises(failure):
            await get(await pool.take())

    asyncio.run(with_peer(tmp_path / "s", saying(answer), use))


def test_a_kept_connection_that_was_closed_is_told_apart(tmp_path: Path) -> None:
    async def use(pool: StreamPool) -> None:
        connection = await pool.take()
        assert await get(connection) == (204, b"")
        with pytest.raises(Lost):
            await get(connection)

    asyncio.run(with_peer(tmp_path / "s", saying(b"HTTP/1.1 204 No Content\r\n\r\n"), use))


def test_a_peer_that_answers_before_the_whole_body_is_not_asked_again(tmp_path: Path) -> None:
    async def use(pool: StreamPool) -> bool:
        connection = await pool.take()
        connection.begin(PUT)
        assert await connection.answered() == 404
        assert not await connection.send(b"0123456789")
        assert await connection.read_all(100) == b""
        return connection.reusable

    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    assert asyncio.run(with_peer(tmp_path / "s", saying(refusal), use)) is False


def test_a_body_that_is_not_wanted_is_not_sent(tmp_path: Path) -> None:
    async def use(pool: StreamPool) -> list[bool]:
        found = []
        for _ in range(2):
            connection = await pool.take(fresh=True)
            connection.begin(PUT)
            found.append(await connection.wanted(5.0))
            found.append(connection.reusable)
        return found

    refusal, go_on = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"
    answers = [refusal, go_on]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        await writer.drain()
        await reader.read()

    assert asyncio.run(with_peer(tmp_path / "s", answer, use)) == [False, False, True, False]


def test_a_reader_that_waits_makes_the_peer_wait(tmp_path: Path) -> None:
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1024):
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16

    async def use(pool: StreamPool) -> int:
        connection = await pool.take()
        connection.begin(HEAD)
        await connection.answered()
        await asyncio.sleep(0.5)
        waiting = sent
        assert len(await connection.read_all(64 << 20)) == 64 << 20
        return waiting

    waiting = asyncio.run(with_peer(tmp_path / "s", answer, use))
    assert isinstance(waiting, int)
    assert waiting < UNREAD_BYTES + (8 << 20), "what a socket's buffers take, and no more"


def test_nobody_there(tmp_path: Path) -> None:
    async def use() -> None:
        for address in (str(tmp_path / "nobody"), "127.0.0.1:1", "nonsense"):
            with pytest.raises(NotConnected):
                await StreamPool(address).take()

    asyncio.run(use())
