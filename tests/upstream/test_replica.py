"""The pool: reuse, counting, ejection, retirement."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mooring.http1.ticking import Ticker
from mooring.upstream.call import Call, Failure
from mooring.upstream.replica import Replica

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Recorded(Call):
    """A call that remembers what it was told."""

    __slots__ = ("done", "told")

    def __init__(self, timeout_s: float = 5.0, body: bytes = b"") -> None:
        super().__init__(timeout_s)
        self.head = b"POST /invocations HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.body = body
        self.told: list[object] = []
        self.done = asyncio.Event()

    def replied(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.told.append((status, body))
        self.done.set()

    def reply_began(self, status: int, headers: list[tuple[bytes, bytes]], length: int | None) -> None:
        self.told.append((status, length))

    def reply_data(self, data: bytes) -> None:
        self.told.append(len(data))

    def reply_ended(self) -> None:
        self.told.append("end")
        self.done.set()

    def failed(self, failure: Failure) -> None:
        self.told.append(failure)
        self.done.set()


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mu-") as name:
        yield Path(name) / "r.sock"


class Scene:
    """A replica's pool and a server at its address."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ticker = Ticker(interval=0.02)
        self.connections = 0
        self.replica = self.pool()

    def pool(self, idle_s: float = 5.0, may_retry: bool = True) -> Replica:
        return Replica("r1", str(self.path), self.ticker, connect_timeout_s=0.25, idle_s=idle_s, may_retry=may_retry)

    async def call(self, call: Recorded | None = None) -> list[object]:
        call = call or Recorded()
        self.replica.begin(call)
        await call.done.wait()
        return call.told


def play(path: Path, serving: Serving | None, body: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene(path)
        scene.ticker.start()
        tasks: set[asyncio.Task[None]] = set()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            scene.connections += 1
            assert serving is not None
            try:
                await serving(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_unix_server(accepted, path) if serving else None
        try:
            async with asyncio.timeout(10):
                await body(scene)
        finally:
            scene.replica.close()
            scene.ticker.stop()
            if server is not None:
                server.close()
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()

    asyncio.run(run())


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
def test_a_reply_that_trickles_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch, slow_client: bool) -> None:
    monkeypatch.setattr("mooring.upstream.connection.STREAM_WITHIN_S", 0.4)

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
        scene.replica.begin(call)
        if slow_client:
            await asyncio.sleep(0.1)
            call.pause()
        await call.done.wait()
        assert call.told[-1] is Failure.TIMED_OUT
        assert 0.4 <= loop.time() - began < 2
        assert scene.replica.outstanding == 0

    play(path, trickle, body)


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
