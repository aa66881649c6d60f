"""Replies that are made to cost the gateway memory or time, or to pass for something else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mooring.upstream.call import Failure
from tests.upstream.scene import Recorded, Scene, play


def test_trailers_are_not_headers_of_the_reply(path: Path) -> None:
    told: list[tuple[int | None, list[tuple[bytes, bytes]]]] = []

    class Headed(Recorded):
        __slots__ = ()

        def replied(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
            told.append((len(body), headers))
            self.done.set()

        def reply_began(self, status: int, headers: list[tuple[bytes, bytes]], length: int | None) -> None:
            told.append((length, headers))

    async def trailing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for size in (10, 70_000, 10):
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n"
            writer.write(head + b"%x\r\n%b\r\n" % (size, b"x" * size))
            writer.write(b"0\r\nDate: late\r\nContent-Type: evil/trailer\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(b"\r\n")
        await reader.read()

    async def body(scene: Scene) -> None:
        for _ in range(3):
            await scene.call(Headed())
        assert scene.connections == 1
        headers = [(b"transfer-encoding", b"chunked"), (b"a", b"b")]
        assert told == [(10, headers), (None, headers), (10, headers)]

    play(path, trailing, body)


ENDLESS = {
    "head": (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"X: %b\r\n" % (b"y" * 1000)),
    "one trailer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ", b"y" * 1000),
    "extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", b"y" * 1000),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_is_no_body_has_an_end(path: Path, start: bytes, more: bytes) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        while sent < 100_000_000:
            writer.write(more)
            sent += len(more)
            await writer.drain()

    async def body(scene: Scene) -> None:
        assert await scene.call() == [Failure.MALFORMED]
        assert scene.replica.outstanding == 0
        await asyncio.sleep(0.02)
        assert sent < 5_000_000, "the rest stays with the sockets"

    play(path, endless, body)


def test_endless_trailers_break_a_reply_that_began(path: Path) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" + b"z" * 70_000 + b"\r\n0\r\n")
        while True:
            writer.write(b"X: " + b"y" * 10_000 + b"\r\n")
            await writer.drain()

    async def body(scene: Scene) -> None:
        call = Recorded()
        scene.replica.begin(call)
        while Failure.MALFORMED not in call.told:
            await asyncio.sleep(0.01)
        assert call.told[0] == (200, None)

    play(path, endless, body)


def test_a_token_a_chunk_is_a_body(path: Path) -> None:
    async def tokens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            writer.write(b"000001\r\nz\r\n" * 1000)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async def body(scene: Scene) -> None:
        told = await scene.call()
        assert told[-1] == "end"
        assert sum(piece for piece in told if isinstance(piece, int)) == 100_000

    play(path, tokens, body)


@pytest.mark.parametrize("slow_client", [False, True])
def test_a_reply_that_trickles_has_an_end(path: Path, slow_client: bool) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" + b"z" * 70_000 + b"\r\n")
        while True:
            writer.write(b"1\r\nz\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def body(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        call = Recorded(timeout_s=0.2)
        scene.replica = scene.pool(stream_within_s=0.4)
        scene.replica.begin(call)
        if slow_client:
            await asyncio.sleep(0.1)
            call.pause()
        await call.done.wait()
        assert call.told[-1] is Failure.TIMED_OUT
        assert 0.4 <= loop.time() - began < 2
        assert scene.replica.outstanding == 0

    play(path, trickle, body)
