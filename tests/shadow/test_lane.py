"""A lane against real replicas that are slow, dead, hostile or gone; what it counts adds up, and its bounds hold."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.http1.ticking import Ticker
from mooring.settings import ShadowSettings
from mooring.shadow.comparing import Form, difference
from mooring.shadow.frames import COPY, ORIGINAL, Copied, Original
from mooring.shadow.lane import BEHIND_S, Lane, Verdict
from mooring.upstream.call import Failure
from mooring.upstream.replica import Replica

SETTINGS = ShadowSettings(timeout_s=5.0)
JSON = b"application/json"
HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
ANSWER_LIMIT = 1_000_000


class Stage:
    """One lane, and replicas below a directory."""

    def __init__(self, directory: Path, settings: ShadowSettings) -> None:
        self.directory = directory
        self.ticker = Ticker(0.02)
        self.ticker.start()
        self.lane = Lane(settings, self.ticker, self._compare, ANSWER_LIMIT)
        self.ticker.add(self.lane)
        self.servers: list[asyncio.Server] = []
        self.waiting: set[asyncio.Task[Any]] = set()

    def _compare(self, form: Form, one: bytes, other: bytes, verdict: Verdict) -> None:
        verdict(True, difference(form, one, other, 1e-6))

    async def serve(self, name: str, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.waiting.add(task)
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                    said = await answer(await reader.readexactly(length))
                    if not said:
                        break
                    writer.write(said)
            except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                pass
            finally:
                self.waiting.discard(task)
                writer.close()

        self.servers.append(await asyncio.start_unix_server(handle, self.directory / name))

    def at(self, *names: str) -> None:
        limits: dict[str, Any] = {"connect_timeout_s": 0.5, "idle_s": 5.0, "may_retry": False, "stream_within_s": 480.0}
        self.lane.replicas = [Replica(each, str(self.directory / each), self.ticker, **limits) for each in names]

    def offer(self, number: int, body: bytes = b"x") -> None:
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.lane.offer(Copied(COPY, 1, number, 0.0, 0.0, b"request-%d" % number, b"", head, body, None, False))

    def original(
        self, number: int, body: bytes | None = b"1", status: int = 200, failure: Failure | None = None
    ) -> None:
        name = None if failure is None else failure.name
        self.lane.ended(Original(ORIGINAL, 1, number, status, name, 0.001, JSON, body))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    @property
    def shadow(self) -> dict[str, int]:
        return self.lane.tally.shadow.counts

    @property
    def dropped(self) -> dict[str, int]:
        return self.lane.tally.dropped

    @property
    def agreement(self) -> dict[str, int]:
        return self.lane.tally.agreement


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="ms-") as name:
        stage = Stage(Path(name), replace(SETTINGS, **settings))
        try:
            yield stage
        finally:
            stage.lane.clear(in_flight=True)
            for server in stage.servers:
                server.close()
            for task in stage.waiting:
                task.cancel()
            for each in stage.lane.replicas:
                each.close()
            await asyncio.sleep(0.01)
            stage.ticker.stop()


def answered(body: bytes, status: int = 200, content_type: bytes = JSON) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        status, content_type, len(body), body,
    )  # fmt: skip


def always(said: bytes) -> Callable[[bytes], Awaitable[bytes]]:
    async def answer(body: bytes) -> bytes:
        return said

    return answer


@pytest.mark.parametrize("first", ["original", "copy", "either"])
def test_pairs_are_compared_in_whichever_order_they_end(first: str) -> None:
    async def scene() -> None:
        async with staged() as stage:
            told = {b"same": answered(b"[1.0]"), b"equal": answered(b"[1.00000001]"), b"other": answered(b"[2]"),
                    b"form": answered(b"[1.0]", content_type=b"text/csv"), b"fail": answered(b"no", 500),
                    b"bad": answered(b"no", 400)}  # fmt: skip

            async def answer(body: bytes) -> bytes:
                return told[body]

            await stage.serve("a", answer)
            stage.at("a")
            for number, body in enumerate(told):
                if first == "original":
                    stage.offer(number, body)
                    stage.original(number, b"[1.0]")
            if first != "original":
                for number, body in enumerate(told):
                    stage.offer(number, body)
                if first == "copy":
                    await stage.until(lambda: stage.lane.is_idle)
                for number in range(len(told)):
                    stage.original(number, b"[1.0]")
            await stage.until(lambda: stage.lane.is_idle)
            assert stage.agreement == {"same": 1, "equal": 1, "different": 2, "uncompared": 0}
            assert stage.shadow == {"answers": 4, "errors_4xx": 1, "errors_5xx": 1, "timeouts": 0, "broken": 0}
            assert stage.lane.tally.production.counts["answers"] == 6
            what = {each["what"] for each in stage.lane.tally.to_document()["examples"]}
            assert what == {"$[0]: 1.0 and 2", "Content-Type b'application/json' and b'text/csv'"}
            assert stage.lane._held == 0
            assert not stage.lane._unpaired

    asyncio.run(scene())


def test_copies_come_as_their_calls_came() -> None:
    async def scene() -> None:
        came: list[float] = []

        async def answer(body: bytes) -> bytes:
            came.append(time.perf_counter())
            return answered(b"1")

        async with staged() as stage:
            await stage.serve("a", answer)
            stage.at("a")
            now = time.perf_counter()
            for number in range(3):  # in one batch, of calls that were made one after the other
                stage.lane.offer(Copied(COPY, 1, number, now, now + number * 0.2, b"r", b"", HEAD, b"", None, False))
            await stage.until(lambda: len(came) == 3)
            # However late they are, none is early.
            assert all(at >= now + number * 0.2 + BEHIND_S - 0.002 for number, at in enumerate(came))

    asyncio.run(scene())


def test_what_fails_is_compared_with_nothing() -> None:
    async def scene() -> None:
        async with staged() as stage:
            await stage.serve("a", always(answered(b"1")))
            stage.at("a")
            for number, end in enumerate(
                ({"status": 500}, {"status": 0, "failure": Failure.TIMED_OUT}, {"body": None})
            ):
                stage.offer(number)
                stage.original(number, **end)  # type: ignore[arg-type]
            stage.offer(9)
            stage.lane.ended(Original(ORIGINAL, 1, 9, 0, None, None, b"", None))
            await stage.until(lambda: stage.shadow["answers"] == 4)
            counts = stage.lane.tally.production.counts
            assert (counts["errors_5xx"], counts["timeouts"], counts["answers"]) == (1, 1, 1)
            assert stage.agreement == {"same": 0, "equal": 0, "different": 0, "uncompared": 1}
            assert stage.lane._held == 0

    asyncio.run(scene())


def test_the_queue_is_bounded_in_number_and_bytes() -> None:
    async def scene() -> None:
        gate = asyncio.Event()

        async def answer(body: bytes) -> bytes:
            await gate.wait()
            return answered(b"1")

        async with staged(queue=5, in_flight=2, queue_bytes=1000) as stage:
            await stage.serve("a", answer)
            stage.at("a")
            stage.offer(0, b"x" * 5000)  # alone, and so it is taken, whatever its length
            stage.offer(1, b"x")
            assert stage.dropped == {"full": 1, "late": 0, "gone": 0}
            gate.set()
            await stage.until(lambda: stage.lane.is_idle)
            gate.clear()
            for number in range(2, 12):
                stage.offer(number)
                await asyncio.sleep(0.01)
            assert stage.dropped["full"] == 1 + 10 - 7
            gate.set()
            await stage.until(lambda: stage.shadow["answers"] == 8)
            assert stage.lane.tally.copied == 12

    asyncio.run(scene())


def test_copies_wait_for_a_replica_that_is_not_there_yet_and_are_dropped_when_it_never_is() -> None:
    async def scene() -> None:
        async with staged(wait_s=30.0) as stage:
            stage.at("a")  # nobody listens
            for number in range(20):
                stage.offer(number)
            await asyncio.sleep(0.1)
            assert stage.lane.replicas[0].ejected
            assert stage.lane.replicas[0].outstanding == 0
            await stage.serve("a", always(answered(b"1")))
            await stage.until(lambda: stage.shadow["answers"] == 20)
            assert stage.dropped == {"full": 0, "late": 0, "gone": 0}
        async with staged(wait_s=0.1) as stage:
            for number in range(20):
                stage.offer(number)
            await stage.until(lambda: stage.dropped["late"] == 20)
            assert stage.lane._held == 0
            stage.original(3)
            assert stage.agreement["uncompared"] == 0

    asyncio.run(scene())


def test_one_that_dies_on_each_call_is_met_with_few_connections() -> None:
    async def scene() -> None:
        calls = 0

        async def answer(body: bytes) -> bytes:
            nonlocal calls
            calls += 1
            return b""

        async with staged() as stage:
            await stage.serve("a", answer)
            stage.at("a")
            for number in range(200):
                stage.offer(number)
                assert stage.lane.replicas[0].opening <= 4
                if number % 20 == 0:
                    await asyncio.sleep(0.005)
            await stage.until(lambda: stage.lane.is_idle)
            assert (calls, stage.shadow["broken"]) == (200, 200)

    asyncio.run(scene())


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"nonsense\r\n\r\n"])
def test_nonsense_is_counted(said: bytes) -> None:
    async def scene() -> None:
        async with staged() as stage:
            await stage.serve("a", always(said))
            stage.at("a")
            stage.offer(1)
            stage.original(1)
            await stage.until(lambda: stage.shadow["broken"] == 1)

    asyncio.run(scene())


def test_one_that_hangs_is_timed_out_and_one_that_leaves_is_let_go() -> None:
    async def scene() -> None:
        async def answer(body: bytes) -> bytes:
            await asyncio.sleep(3600)
            return b""

        async with staged(timeout_s=0.1) as stage:
            await stage.serve("a", answer)
            stage.at("a")
            stage.offer(1)
            stage.original(1)
            await stage.until(lambda: stage.shadow["timeouts"] == 1)
        async with staged(in_flight=1) as stage:
            await stage.serve("a", answer)
            stage.at("a")
            for number in range(3):
                stage.offer(number)
            await asyncio.sleep(0.05)
            stage.lane.clear(in_flight=False)
            assert (stage.dropped["gone"], stage.lane.is_idle) == (2, False)
            stage.lane.clear(in_flight=True)
            assert (stage.dropped["gone"], stage.lane.is_idle) == (3, True)
            assert stage.lane.replicas[0].outstanding == 0
            assert stage.lane._held == 0

    asyncio.run(scene())


def test_large_answers_are_not_compared() -> None:
    async def scene() -> None:
        async with staged(compare_limit_bytes=100_000) as stage:
            await stage.serve("a", always(answered(b"1" * 300_000)))
            stage.at("a")
            stage.offer(1)
            stage.original(1)
            await stage.until(lambda: stage.agreement["uncompared"] == 1)
            assert stage.lane._held == 0

    asyncio.run(scene())


@pytest.mark.parametrize(("status", "counted"), [(200, "broken"), (500, "errors_5xx")])
@pytest.mark.parametrize("beyond", [10, 2**40])
def test_an_answer_without_end_is_given_up(status: int, counted: str, beyond: int) -> None:
    async def scene() -> None:
        begun = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, ANSWER_LIMIT + beyond)
        async with staged() as stage:
            await stage.serve("a", always(begun + b"x" * (ANSWER_LIMIT + 10)))
            stage.at("a")
            stage.offer(1)
            stage.original(1)
            await stage.until(lambda: stage.lane.is_idle)
            await asyncio.sleep(0.05)
            assert sum(stage.shadow.values()) == stage.shadow[counted] == 1
            assert stage.lane.replicas[0].outstanding == 0
            assert stage.lane._held == 0

    asyncio.run(scene())
