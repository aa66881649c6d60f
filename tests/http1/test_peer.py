"""Kept connections to another process: when one is used again, and what is known when it ends."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from mooring.http1.client import Interrupted, Lost, NotConnected, Peer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Turn = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def beside(turn: Turn, body: Callable[[Peer], Coroutine[Any, Any, None]]) -> list[int]:
    """Run `body` against a server that calls `turn` with the request's number on each connection; requests on each."""
    requests: list[int] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = len(requests)
        requests.append(0)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                requests[index] += 1
                await turn(requests[index], reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def run(address: str) -> None:
        server = await asyncio.start_unix_server(connection, address)
        peer = Peer(address)
        try:
            async with asyncio.timeout(10):
                await body(peer)
        finally:
            peer.close()
            server.close()
            await server.wait_closed()

    with tempfile.TemporaryDirectory(prefix="mp-") as name:
        asyncio.run(run(str(Path(name) / "peer.sock")))
    return requests


async def get(peer: Peer) -> bytes:
    return (await peer.fetch("GET", "/", (), b"", 5)).body


async def answers(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ANSWER)


def test_calls_one_after_the_other_share_a_connection() -> None:
    async def body(peer: Peer) -> None:
        assert [await get(peer) for _ in range(5)] == [b"ok"] * 5

    assert beside(answers, body) == [5]


def test_calls_at_once_have_one_each_and_it_is_kept() -> None:
    async def body(peer: Peer) -> None:
        assert await asyncio.gather(*(get(peer) for _ in range(3))) == [b"ok"] * 3
        assert await asyncio.gather(*(get(peer) for _ in range(3))) == [b"ok"] * 3

    assert beside(answers, body) == [2, 2, 2]


def test_a_connection_that_was_ended_meanwhile_is_not_used() -> None:
    async def once(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)
        writer.close()

    async def body(peer: Peer) -> None:
        assert await get(peer) == b"ok"
        await asyncio.sleep(0.05)
        assert await get(peer) == b"ok"

    assert beside(once, body) == [1, 1]


def test_a_kept_connection_that_ends_without_a_byte_is_lost() -> None:
    async def second_ends(number: int, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(ANSWER)
        else:
            writer.close()

    async def body(peer: Peer) -> None:
        assert await get(peer) == b"ok"
        with pytest.raises(Lost):
            await get(peer)
        assert await get(peer) == b"ok"

    assert beside(second_ends, body) == [2, 1]


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"])
def test_what_was_begun_or_is_on_a_new_connection_is_interrupted(begun: bytes) -> None:
    async def ends(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        writer.close()

    async def body(peer: Peer) -> None:
        with pytest.raises(Interrupted) as caught:
            await get(peer)
        assert type(caught.value) is Interrupted

    beside(ends, body)


def test_an_answer_that_ends_with_the_connection_or_says_so_is_the_last_on_it() -> None:
    async def last(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    async def body(peer: Peer) -> None:
        assert [await get(peer) for _ in range(2)] == [b"ok"] * 2

    assert beside(last, body) == [1, 1]


def test_bytes_that_nobody_asked_for_end_a_connection() -> None:
    async def twice(_: int, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(ANSWER)

    async def body(peer: Peer) -> None:
        assert await get(peer) == b"ok"
        await asyncio.sleep(0.1)
        assert await get(peer) == b"ok"

    assert beside(twice, body) == [1, 1]


def test_nobody_there_and_nobody_who_answers() -> None:
    async def silent(_: int, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await reader.read()

    async def body(peer: Peer) -> None:
        with pytest.raises(NotConnected):
            await Peer("/nonexistent/peer.sock").fetch("GET", "/", (), b"", 1)
        with pytest.raises(Interrupted, match=r"no answer within 0\.05 s"):
            await peer.fetch("GET", "/", (), b"", 0.05)

    beside(silent, body)
