"""The pool: reuse, counting, ejection, retirement."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from mooring.upstream.call import Failure
from tests.upstream.scene import Recorded, Scene, play

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)


def test_a_connection_is_used_again(path: Path) -> None:
    async def body(scene: Scene) -> None:
        for _ in range(5):
            assert await scene.call() == [(200, b"ok")]
        assert scene.connections == 1
        assert scene.replica.outstanding == 0

    play(path, polite, body)


def test_a_loop_that_is_late_does_not_blame_the_replica(path: Path) -> None:
    async def body(scene: Scene) -> None:
        call = Recorded()
        scene.replica.begin(call)
        await asyncio.sleep(0)  # the connect has begun
        time.sleep(2 * scene.replica.connect_timeout_s)
        await call.done.wait()
        assert call.told == [(200, b"ok")]
        assert not scene.replica.ejected

    play(path, polite, body)


def test_outstanding_counts_what_is_under_way(path: Path) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(OK)
        await reader.read()

    async def body(scene: Scene) -> None:
        calls = [Recorded() for _ in range(3)]
        for call in calls:
            scene.replica.begin(call)
        assert scene.replica.outstanding == 3
        await asyncio.gather(*(call.done.wait() for call in calls))
        assert scene.replica.outstanding == 0
        assert scene.connections == 3

    play(path, slow, body)


@pytest.mark.parametrize("when", ["connecting", "sent"])
def test_cancelling_releases_once_and_nothing_follows(path: Path, when: str) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(OK)
        await reader.read()

    async def body(scene: Scene) -> None:
        call = Recorded()
        scene.replica.begin(call)
        if when == "sent":
            await asyncio.sleep(0.02)
        call.cancel()
        call.cancel()
        assert scene.replica.outstanding == 0
        await asyncio.sleep(0.1)
        assert call.told == []
        assert await scene.call() == [(200, b"ok")]
        assert scene.replica.outstanding == 0

    play(path, slow, body)


def test_a_timeout_never_comes_early(path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def body(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await scene.call(Recorded(timeout_s=0.1)) == [Failure.TIMED_OUT]
        assert 0.1 <= loop.time() - began < 1
        assert scene.replica.outstanding == 0

    play(path, silent, body)


def test_an_idle_connection_expires(path: Path) -> None:
    async def body(scene: Scene) -> None:
        scene.replica = scene.pool(idle_s=0.05)
        await scene.call()
        await asyncio.sleep(0.3)
        await scene.call()
        assert scene.connections == 2

    play(path, polite, body)


def test_unsolicited_bytes_end_a_connection(path: Path) -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
        await reader.read()

    async def body(scene: Scene) -> None:
        assert await scene.call() == [(200, b"ok")]
        await asyncio.sleep(0.1)
        assert await scene.call() == [(200, b"ok")]
        assert scene.connections == 2

    play(path, chatty, body)


def test_a_refused_connection_ejects_until_one_succeeds(path: Path) -> None:
    async def body(scene: Scene) -> None:
        assert await scene.call() == [Failure.UNREACHABLE]
        assert (scene.replica.ejected, scene.replica.outstanding) == (True, 0)
        await asyncio.sleep(0.7)
        assert not scene.replica.ejected, "after a while it may be tried again"

    play(path, None, body)


def test_the_stale_retry_happens_once(path: Path) -> None:
    requests = 0

    async def once_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        if requests > 2:
            return
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        requests += 1

    async def body(scene: Scene) -> None:
        assert await scene.call() == [(200, b"ok")]
        assert await scene.call() == [Failure.BROKEN]
        assert (requests, scene.connections) == (3, 2)
        assert scene.replica.outstanding == 0

    play(path, once_each, body)


def test_a_broken_fresh_connection_is_not_retried(path: Path) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def body(scene: Scene) -> None:
        assert await scene.call() == [Failure.BROKEN]
        assert scene.connections == 1

    play(path, rude, body)


def test_a_large_reply_streams(path: Path) -> None:
    size = 1_000_000

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)

    async def body(scene: Scene) -> None:
        for _ in range(2):
            told = await scene.call()
            assert told[0] == (200, size)
            assert told[-1] == "end"
            assert sum(piece for piece in told if isinstance(piece, int)) == size
        assert scene.connections == 1

    play(path, large, body)


def as_it_comes(call: Recorded) -> Recorded:
    call.as_it_comes = True
    return call


async def halting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Two small pieces, the second when the first has long been sent; then the end."""
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for piece in (b"to", b"ken"):
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(piece)


def test_a_reply_that_is_wanted_as_it_comes(path: Path) -> None:
    async def body(scene: Scene) -> None:
        for _ in range(2):
            assert await scene.call(as_it_comes(Recorded())) == [(200, None), 2, 3, "end"]
            assert await scene.call() == [(200, b"token")], "all others are whole"
        assert (scene.connections, scene.replica.outstanding) == (1, 0)

    play(path, halting, body)


def test_a_refusal_is_whole_even_where_a_reply_is_wanted_as_it_comes(path: Path) -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nbr")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"oke")

    async def body(scene: Scene) -> None:
        assert await scene.call(as_it_comes(Recorded())) == [(500, b"broke")]

    play(path, refusing, body)


def test_a_head_is_not_yet_a_reply(path: Path) -> None:
    async def falling_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await reader.read()

    async def body(scene: Scene) -> None:
        assert await scene.call(as_it_comes(Recorded(timeout_s=0.1))) == [Failure.TIMED_OUT]
        assert scene.replica.outstanding == 0

    play(path, falling_silent, body)


def test_a_caller_may_leave_at_the_first_piece(path: Path) -> None:
    class Leaving(Recorded):
        __slots__ = ()

        def reply_began(self, status: int, headers: list[tuple[bytes, bytes]], length: int | None) -> None:
            super().reply_began(status, headers, length)
            self.cancel()
            self.done.set()

    async def body(scene: Scene) -> None:
        assert await scene.call(as_it_comes(Leaving())) == [(200, None)]
        assert scene.replica.outstanding == 0
        assert await scene.call() == [(200, b"token")]
        assert scene.connections == 2, "what was left half-read serves nobody"

    play(path, halting, body)


def test_retirement_waits_for_the_last_call(path: Path) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(OK)
        await reader.read()

    async def body(scene: Scene) -> None:
        idle: list[str] = []
        call = Recorded()
        scene.replica.begin(call)
        assert scene.replica.retire(lambda replica: idle.append(replica.id))
        assert idle == []
        await call.done.wait()
        assert idle == ["r1"]
        assert not scene.pool().retire(lambda replica: idle.append(replica.id))
        assert idle == ["r1"]

    play(path, slow, body)


def test_retirement_waits_for_who_holds_it_and_calls_again(path: Path) -> None:
    async def body(scene: Scene) -> None:
        idle: list[str] = []
        scene.replica.hold()
        scene.replica.hold()
        assert scene.replica.retire(lambda replica: idle.append(replica.id))
        assert await scene.call() == [(200, b"ok")]
        scene.replica.let_go()
        assert idle == []
        call = Recorded()
        scene.replica.begin(call)
        scene.replica.let_go()
        assert idle == [], "a call is under way"
        await call.done.wait()
        assert idle == ["r1"]

    play(path, polite, body)


def test_a_replica_that_is_let_go_in_its_route_stays(path: Path) -> None:
    async def body(scene: Scene) -> None:
        idle: list[str] = []
        scene.replica.hold()
        assert scene.replica.retire(lambda replica: idle.append(replica.id))
        scene.replica.reinstate()
        scene.replica.let_go()
        assert idle == []
        assert await scene.call() == [(200, b"ok")]

    play(path, polite, body)
