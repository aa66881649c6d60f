"""A replica's pool, a scripted server at its address, and a call that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from mooring.http1.ticking import Ticker
from mooring.upstream.call import Call, Failure
from mooring.upstream.replica import Replica

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


class Scene:
    """A replica's pool and a server at its address."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ticker = Ticker(interval=0.02)
        self.connections = 0
        self.replica = self.pool()

    def pool(self, idle_s: float = 5.0, may_retry: bool = True, stream_within_s: float = 480.0) -> Replica:
        return Replica(
            "r1", str(self.path), self.ticker, connect_timeout_s=0.25, idle_s=idle_s, may_retry=may_retry,
            stream_within_s=stream_within_s,
        )  # fmt: skip

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
