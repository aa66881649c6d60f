"""Lanes on replicas of their own: no replica has more than it may, everybody has a turn, nothing is lost or leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.explainer.edge import lanes as module
from mooring.explainer.edge.lanes import ATTEMPTS, Lane, Lanes, Requests
from mooring.explainer.frames import Predict, Predicted
from mooring.hosting.explaining import ExplainerRoute
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, RouteVariant, Version
from mooring.http1.ticking import Ticker
from mooring.upstream.replica import Replica
from tests.upstream.scene import Recorded

HEAD = b"POST /invocations HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: 3\r\ntraceparent: 00-1\r\n\r\n"
VARIANT = RouteVariant("v", 1.0, (), explainer=ExplainerRoute("u/1/v", {}))
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 2\r\n\r\nok"


def route(*variants: RouteVariant) -> Route:
    return Route(Scope("1", "us-east-1"), "ep", Version(1, 1), variants, "InService", 1, 60.0)


class Model:
    """A replica's server: how many it has, and an answer once it may."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.has = self.most = self.lost = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.answer = OK
        self.may = asyncio.Event()
        self.may.set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                self.heads.append(head)
                self.has += 1
                self.most = max(self.most, self.has)
                waiting, gone = asyncio.ensure_future(self.may.wait()), asyncio.ensure_future(reader.read(1))
                done, _ = await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                self.has -= 1
                if gone in done:
                    self.lost += 1
                    return
                gone.cancel()
                await asyncio.wait({gone})
                await asyncio.sleep(0)
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)


class Scene:
    """A lane of two replicas."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ticker = Ticker(0.02)
        self.may_send = True
        self.paused = False
        self.lanes = Lanes(lambda: self.may_send, self._pause, self._resume)
        self.models = [Model(directory / f"r{number}") for number in range(2)]
        self.replicas = [self.replica(model.path) for model in self.models]
        self.told: list[Predicted] = []
        self.ticker.start()
        self.ticker.add(self.lanes)

    def replica(self, path: Path) -> Replica:
        return Replica(path.name, str(path), self.ticker, connect_timeout_s=1.0, idle_s=5.0, may_retry=True)

    def lane(self, calls_per_replica: int = 1, replicas: list[Replica] | None = None) -> Lane:
        assert VARIANT.explainer is not None
        explainer = replace(VARIANT.explainer, calls_per_replica=calls_per_replica)
        variant = replace(VARIANT, explainer=explainer)
        lane = self.lanes.lane(route(variant), variant, self.replicas if replicas is None else replicas)
        assert lane is not None
        return lane

    def requests(self, lane: Lane, head: bytes = HEAD, *, only: bool = False) -> Requests:
        return Requests(lane, head, 5.0, self.replicas[0], self.told.append, only=only)

    def _pause(self) -> None:
        self.paused = True

    def _resume(self) -> None:
        self.paused = False

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    def at_rest(self) -> None:
        """Nothing is counted anywhere any more."""
        assert [replica.outstanding for replica in self.replicas] == [0, 0]
        assert not self.lanes.waiting
        assert self.lanes._bytes == 0
        for lanes in self.lanes._of_route.values():
            for lane in lanes.values():
                assert not lane._on
                assert not lane._turns


def play(body: Callable[[Scene], Awaitable[None]]) -> None:
    async def run(directory: Path) -> None:
        scene = Scene(directory)
        try:
            for model in scene.models:
                await model.open()
            async with asyncio.timeout(20):
                await body(scene)
        finally:
            for replica in scene.replicas:
                replica.close()
            scene.ticker.stop()
            for model in scene.models:
                model.close()
            await asyncio.sleep(0.01)

    with TemporaryDirectory(prefix="ml-") as name:
        asyncio.run(run(Path(name)))


def predict(number: int, body: bytes = b"1,2\n", records: int = 1) -> Predict:
    return Predict(7, number, records, body)


def test_each_replica_has_so_many_at_a_time_and_the_rest_waits() -> None:
    async def body(scene: Scene) -> None:
        for model in scene.models:
            model.may.clear()
        lane = scene.lane(2)
        requests = scene.requests(lane)
        assert requests.width == 4
        for number in range(10):
            requests.ask(predict(number))
        await scene.until(lambda: sum(model.has for model in scene.models) == 4)
        assert (len(requests.under_way), len(requests.waiting)) == (4, 6)
        assert [replica.outstanding for replica in scene.replicas] == [2, 2]
        for model in scene.models:
            model.may.set()
        await scene.until(lambda: len(scene.told) == 10)
        assert {(each.call, each.status, each.content_type, each.body) for each in scene.told} == {
            (7, 200, "text/csv", b"ok")
        }
        assert sorted(each.number for each in scene.told) == list(range(10))
        assert [model.most for model in scene.models] == [2, 2]
        assert (requests.records, requests.requests, requests.is_idle) == (10, 10, True)
        scene.at_rest()

    play(body)


def test_calls_that_are_explained_take_turns() -> None:
    async def body(scene: Scene) -> None:
        lane = scene.lane(replicas=scene.replicas[:1])
        model = scene.models[0]
        model.may.clear()
        first, second = scene.requests(lane), scene.requests(lane)
        for number in range(5):
            first.ask(predict(number, b"first"))
        for number in range(3):
            second.ask(predict(number, b"second"))
        model.may.set()
        await scene.until(lambda: len(scene.told) == 8)
        assert model.bodies == [b"first", b"first", b"second"] * 1 + [b"first", b"second"] * 2 + [b"first"]
        scene.at_rest()

    play(body)


def test_ordinary_calls_push_them_elsewhere() -> None:
    async def body(scene: Scene) -> None:
        scene.models[0].may.clear()
        ordinary = Recorded()
        scene.replicas[0].begin(ordinary)
        requests = scene.requests(scene.lane())
        for number in range(6):
            requests.ask(predict(number))
            await scene.until(lambda number=number: len(scene.told) == number + 1)  # type: ignore[misc]
        assert len(scene.models[1].bodies) == 6
        ordinary.cancel()
        requests.close()
        scene.at_rest()

    play(body)


def test_the_head_is_the_callers_with_another_length_and_no_session() -> None:
    async def body(scene: Scene) -> None:
        head = HEAD.replace(b"Content-Length", b"X-Amzn-SageMaker-Session-Id: NEW_SESSION\r\nContent-Length")
        requests = scene.requests(scene.lane(), head)
        requests.ask(predict(1, b"1" * 20))
        await scene.until(lambda: len(scene.told) == 1)
        (said,) = scene.models[0].heads + scene.models[1].heads
        assert said == HEAD.replace(b"Length: 3", b"Length: 20")

    play(body)


def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    async def body(scene: Scene) -> None:
        for model in scene.models:
            model.may.clear()
        lane = scene.lane()
        ended, other = scene.requests(lane), scene.requests(lane)
        for number in range(4):
            ended.ask(predict(number))
        other.ask(predict(0, b"other"))
        await scene.until(lambda: sum(model.has for model in scene.models) == 2)
        ended.close()
        await scene.until(lambda: sum(model.lost for model in scene.models) == 2)
        assert not scene.told
        for model in scene.models:
            model.may.set()
        await scene.until(lambda: len(scene.told) == 1)
        assert (b"other" in scene.models[0].bodies) != (b"other" in scene.models[1].bodies)
        scene.at_rest()

    play(body)


def test_nothing_is_sent_while_it_could_not_be_passed_on() -> None:
    async def body(scene: Scene) -> None:
        scene.may_send = False
        requests = scene.requests(scene.lane())
        requests.ask(predict(1))
        await asyncio.sleep(0.1)
        assert not scene.models[0].bodies + scene.models[1].bodies
        scene.may_send = True
        await scene.until(lambda: len(scene.told) == 1)
        scene.at_rest()

    play(body)


def test_the_solver_is_not_listened_to_while_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 1000)

    async def body(scene: Scene) -> None:
        scene.may_send = False
        requests = scene.requests(scene.lane())
        for number in range(10):
            requests.ask(predict(number, b"x" * 100))
        assert not scene.paused
        requests.ask(predict(10, b"x"))
        assert scene.paused
        scene.may_send = True
        await scene.until(lambda: not scene.paused)
        assert len(requests.waiting) + len(requests.under_way) <= 5
        await scene.until(lambda: len(scene.told) == 11)
        scene.at_rest()

    play(body)


class TestReplicasThatComeAndGo:
    def test_one_that_refuses_has_seen_nothing_and_another_is_called(self) -> None:
        async def body(scene: Scene) -> None:
            scene.models[0].close()
            requests = scene.requests(scene.lane())
            for number in range(10):
                requests.ask(predict(number))
            await scene.until(lambda: len(scene.told) == 10)
            assert {each.status for each in scene.told} == {200}
            assert len(scene.models[1].bodies) == 10
            scene.at_rest()

        play(body)

    def test_after_some_refusals_there_is_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refused, refusing = [0], Requests.refused

        def counted(requests: Requests, call: module.SyntheticCall) -> None:
            refused[0] += 1
            refusing(requests, call)

        monkeypatch.setattr(Requests, "refused", counted)

        async def body(scene: Scene) -> None:
            for model in scene.models:
                model.close()
            requests = scene.requests(scene.lane())
            requests.ask(predict(1))
            while not scene.told:
                for replica in scene.replicas:
                    replica.ejected = False
                await asyncio.sleep(0.01)
            assert (scene.told[0].status, b"no healthy instance" in scene.told[0].body) == (0, True)
            assert refused == [ATTEMPTS]
            scene.at_rest()

        play(body)

    def test_what_waits_goes_to_who_comes(self) -> None:
        async def body(scene: Scene) -> None:
            scene.models[0].may.clear()
            lane = scene.lane(replicas=scene.replicas[:1])
            requests = scene.requests(lane)
            for number in range(3):
                requests.ask(predict(number))
            await scene.until(lambda: scene.models[0].has == 1)
            assert scene.lane(replicas=scene.replicas[1:]) is lane
            await scene.until(lambda: len(scene.told) == 2)
            assert len(scene.models[1].bodies) == 2
            scene.models[0].may.set()
            await scene.until(lambda: len(scene.told) == 3)
            scene.at_rest()

        play(body)

    @pytest.mark.parametrize("how", ["another model", "no explainer", "the endpoint is gone"])
    def test_a_model_that_left_is_asked_where_it_is_held(self, how: str) -> None:
        async def body(scene: Scene) -> None:
            requests = scene.requests(scene.lane())
            if how == "another model":
                other = replace(VARIANT, explainer=ExplainerRoute("u/2/v", {}))
                assert scene.lanes.lane(route(other), other, scene.replicas[1:]) is not None
            elif how == "no explainer":
                other = replace(VARIANT, explainer=None)
                assert scene.lanes.lane(route(other), other, scene.replicas[1:]) is None
            else:
                scene.lanes.forget("1/us-east-1/ep")
            for number in range(3):
                requests.ask(predict(number))
            await scene.until(lambda: len(scene.told) == 3)
            assert (len(scene.models[0].bodies), len(scene.models[1].bodies)) == (3, 0)
            scene.at_rest()

        play(body)

    def test_only_the_callers_own(self) -> None:
        async def body(scene: Scene) -> None:
            requests = scene.requests(scene.lane(3), only=True)
            assert requests.width == 3
            for number in range(9):
                requests.ask(predict(number))
            await scene.until(lambda: len(scene.told) == 9)
            assert (len(scene.models[0].bodies), scene.models[0].most <= 3) == (9, True)
            scene.at_rest()

        play(body)


class TestAnswers:
    @pytest.mark.parametrize("status", [400, 413, 500])
    def test_an_error_is_told_as_it_is(self, status: int) -> None:
        async def body(scene: Scene) -> None:
            scene.models[0].answer = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status
            requests = scene.requests(scene.lane(replicas=scene.replicas[:1]))
            requests.ask(predict(1))
            await scene.until(lambda: len(scene.told) == 1)
            assert scene.told[0][2:5] == (status, "", b"no")
            assert requests.requests == 0
            scene.at_rest()

        play(body)

    @pytest.mark.parametrize(("status", "told"), [(200, 0), (500, 500)])
    def test_one_that_is_too_long_is_broken_off(self, status: int, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MOST_ANSWER_BYTES", 100_000)

        async def body(scene: Scene) -> None:
            size = 200_000
            scene.models[0].answer = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, size, b"x" * size)
            requests = scene.requests(scene.lane(replicas=scene.replicas[:1]))
            requests.ask(predict(1))
            await scene.until(lambda: len(scene.told) == 1)
            assert scene.told[0].status == told
            scene.at_rest()

        play(body)

    def test_a_large_one_is_whole(self) -> None:
        async def body(scene: Scene) -> None:
            answer = bytes(range(256)) * 4000
            scene.models[0].answer = b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer)
            requests = scene.requests(scene.lane(replicas=scene.replicas[:1]))
            requests.ask(predict(1, records=5))
            await scene.until(lambda: len(scene.told) == 1)
            assert (scene.told[0].body, requests.records) == (answer, 5)
            scene.at_rest()

        play(body)

    def test_one_that_breaks_off_is_none(self) -> None:
        async def body(scene: Scene) -> None:
            scene.models[0].answer = b"HTTP/1.1 banana\r\n\r\n"
            requests = scene.requests(scene.lane(replicas=scene.replicas[:1]))
            requests.ask(predict(1))
            await scene.until(lambda: len(scene.told) == 1)
            assert (scene.told[0].status, b"did not answer" in scene.told[0].body) == (0, True)
            scene.at_rest()

        play(body)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3), st.integers(1, 4)),
        st.tuples(st.just("close"), st.integers(0, 3)),
        st.tuples(st.just("replicas"), st.integers(1, 3)),
        st.tuples(st.just("hold"), st.integers(0, 1)),
        st.tuples(st.just("go"), st.integers(0, 1)),
        st.tuples(st.just("pass"), st.integers(0, 3)),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(STEPS, st.integers(1, 2))
def test_whatever_happens_every_call_is_told_of_once_and_nothing_leaks(
    steps: list[tuple[str, int] | tuple[str, int, int]], most: int
) -> None:
    async def body(scene: Scene) -> None:
        lane = scene.lane(most)
        told: list[list[Predicted]] = [[] for _ in range(4)]
        calls = [Requests(lane, HEAD, 5.0, scene.replicas[0], told[each].append) for each in range(4)]
        asked, closed = [0] * 4, [False] * 4
        for kind, which, *more in steps:
            if kind == "ask" and not closed[which]:
                for _ in range(more[0]):
                    calls[which].ask(predict(asked[which]))
                    asked[which] += 1
            elif kind == "close" and not closed[which]:
                closed[which] = True
                calls[which].close()
            elif kind == "replicas":
                scene.lane(most, [each for bit, each in enumerate(scene.replicas) if which >> bit & 1])
            elif kind in ("hold", "go"):
                may = scene.models[which].may
                may.clear() if kind == "hold" else may.set()
            else:
                for _ in range(3 * which):
                    await asyncio.sleep(0)
        for model in scene.models:
            model.may.set()
        await scene.until(lambda: all(shut or len(said) == of for shut, said, of in zip(closed, told, asked)))  # noqa: B905
        for shut, said, of in zip(closed, told, asked, strict=True):
            numbers = [each.number for each in said]
            assert len(set(numbers)) == len(numbers)
            assert shut or sorted(numbers) == list(range(of))
        assert all(model.most <= most for model in scene.models)
        scene.at_rest()

    play(body)
