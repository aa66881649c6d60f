"""Accepted jobs into the queue, told by gateways or found on disk: taken in once, acknowledged when durable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from mooring.async_inference.lines import job_of, line_of
from mooring.control import async_intake
from mooring.control.async_history import AsyncHistory, facts_of, route_of
from mooring.control.async_intake import AsyncIntake
from mooring.control.publishing import RoutePublisher
from mooring.hosting.async_inference import AsyncRoute, Job
from mooring.hosting.async_jobs import Outcome, OutcomeKind
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, Version
from mooring.journal.segments import Segment
from mooring.paths import Paths
from mooring.store import Store, endpoints
from mooring.store.queue import Queue
from tests.control.test_publishing import FakeGateway
from tests.store.making import an_endpoint
from tests.store.test_queue import Clocks, a_job

HERE = Scope("000000000000", "us-east-1")


@dataclass
class Scene:
    paths: Paths
    publisher: RoutePublisher
    queue: Queue
    intake: AsyncIntake
    gateway: FakeGateway
    arrived: list[set[str]] = field(default_factory=list)

    async def heard(self) -> dict[str, Any]:
        """What the gateway is told about jobs, next."""
        while True:
            message = await self.gateway.receive()
            if "jobs_taken" in message:
                return message["jobs_taken"]

    async def tell(self, segment: str, upto: int, *jobs: Job) -> None:
        lines = [line_of(job).decode() for job in jobs]
        await self.gateway.send({"jobs": {"segment": segment, "upto": upto, "lines": lines}})

    async def ids(self, uid: str = "u1") -> list[str]:
        return [each.job.id for each in await self.queue.waiting(uid, 0, 10_000)]

    def segment(self, name: str, *jobs: Job, torn: bytes = b"") -> Segment:
        segment = Segment.create(self.paths.async_jobs, name)
        segment.append_pieces([*map(line_of, jobs), torn])
        return segment

    async def eventually(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(20):
            while not await condition():
                await asyncio.sleep(0.01)


def in_scene(tmp_path: Path, script: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        paths = Paths(tmp_path)
        paths.make_private_directories()
        publisher = RoutePublisher(paths, epoch=7, gateways=1)
        queue = await Queue.open(paths.queue_db, Clocks())
        arrived: list[set[str]] = []
        intake = AsyncIntake(paths.async_jobs, queue, publisher, arrived.append)
        await publisher.start()
        publisher.settle()
        gateway = FakeGateway(paths)
        await gateway.connect()
        try:
            async with asyncio.timeout(30):
                await script(Scene(paths, publisher, queue, intake, gateway, arrived))
        finally:
            gateway.close()
            await intake.close()
            await publisher.close()
            await queue.close()

    asyncio.run(run())


def test_what_is_told_is_taken_in_and_then_acknowledged(tmp_path: Path) -> None:
    jobs = [a_job(body=b"\x00\xff", input_location=None), a_job("u2"), a_job()]

    async def script(scene: Scene) -> None:
        await scene.tell("s", 2, *jobs[:2])  # before it begins
        scene.intake.start()
        assert await scene.heard() == {"segment": "s", "upto": 2}
        await scene.tell("s", 3, jobs[2])
        assert await scene.heard() == {"segment": "s", "upto": 3}
        assert await scene.ids() == [jobs[0].id, jobs[2].id]
        assert await scene.queue.body(jobs[0].id) == b"\x00\xff"
        assert scene.arrived == [{"u1", "u2"}, {"u1"}]

    in_scene(tmp_path, script)


def test_a_segment_that_nobody_holds_is_taken_in_and_removed(tmp_path: Path) -> None:
    held, left, torn = a_job(), a_job(), a_job()

    async def script(scene: Scene) -> None:
        writing = scene.segment("2", held)
        scene.segment("1", left, left).close()
        scene.segment("3", torn, torn=line_of(a_job())[:-9]).close()
        scene.intake.start()
        await scene.eventually(lambda: _has(scene, 2))
        assert await scene.ids() == [left.id, torn.id]

        async def are_removed() -> bool:
            return [path.name for path in scene.paths.async_jobs.iterdir()] == ["2.open"]

        await scene.eventually(are_removed)
        writing.close()
        scene.gateway.close()  # a gateway that leaves has it looked at once
        await scene.eventually(lambda: _has(scene, 3))
        assert list(scene.paths.async_jobs.iterdir()) == []

    in_scene(tmp_path, script)


async def _has(scene: Scene, count: int) -> bool:
    return len(await scene.ids()) == count


def test_a_job_that_comes_both_ways_is_one(tmp_path: Path) -> None:
    jobs = [a_job() for _ in range(20)]

    async def script(scene: Scene) -> None:
        scene.intake.start()
        await scene.tell("s", 10, *jobs[:10])
        await scene.heard()
        await scene.queue.done(jobs[0].id, Outcome(OutcomeKind.FAILED, "x"))
        scene.segment("s", *jobs).close()
        await scene.eventually(lambda: _has(scene, 19))
        await scene.tell("s", 20, *jobs[10:])
        await scene.heard()
        assert await scene.ids() == [job.id for job in jobs[1:]]

    in_scene(tmp_path, script)


def test_a_long_segment_is_taken_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [a_job() for _ in range(300)]
    sizes: list[int] = []

    async def script(scene: Scene) -> None:
        take_in = scene.queue.take_in

        async def noting(some: list[Job]) -> int:
            sizes.append(len(some))
            return await take_in(some)

        monkeypatch.setattr(async_intake, "PIECE_BYTES", 20_000)
        monkeypatch.setattr(async_intake, "LINES_AT_ONCE", 30)
        monkeypatch.setattr(scene.queue, "take_in", noting)
        scene.segment("s", *jobs).close()
        await scene.intake.read_segments()
        assert await scene.ids() == [job.id for job in jobs]
        assert max(sizes) <= 30

    in_scene(tmp_path, script)


def test_what_cannot_be_taken_in_stays_on_disk_until_it_can(tmp_path: Path) -> None:
    """The database may not grow: what it refuses is not acknowledged, and is there when it may again."""
    jobs = [a_job(body=b"x" * 50_000, input_location=None) for _ in range(4)]

    def limit(pages: int) -> Callable[[Connection], None]:
        return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}") and None

    async def script(scene: Scene) -> None:
        scene.intake.start()
        await scene.queue._write(limit(40))
        segment = scene.segment("s", *jobs)
        await scene.tell("s", 4, *jobs)
        assert await scene.heard() == {"segment": "s", "upto": 4, "left": True}
        segment.close()
        scene.gateway.close()
        await asyncio.sleep(0.2)
        assert await scene.ids() == []
        assert [path.suffix for path in scene.paths.async_jobs.iterdir()] in ([".sealed"], [".open"])
        await scene.queue._write(limit(1_000_000))
        await scene.eventually(lambda: _has(scene, 4))

    in_scene(tmp_path, script)


@pytest.mark.parametrize(
    "members",
    [
        {"ttl_s": "x"},
        {"ttl_s": None},
        {"ttl_s": 10**30},
        {"timeout_s": True},
        {"id": None},
        {"id": "\ud800"},
        {"uid": ["u1"]},
        {"boot_id": None},
        {"inference_id": {}},
        {"accepted_at": "x"},
        {"accepted_at": float("nan")},
        {"accepted_at": 1e300},
        {"more": 1},
    ],
    ids=str,
)
def test_a_job_with_a_member_of_another_kind_is_none_and_stops_no_segment_behind_it(
    tmp_path: Path, members: dict[str, Any]
) -> None:
    line = json.dumps({**json.loads(line_of(a_job())), **members}).encode() + b"\n"
    before, behind, later = a_job(), a_job(), a_job()

    async def script(scene: Scene) -> None:
        scene.segment("1", before, torn=line + line_of(behind)).close()
        scene.segment("2", later).close()
        await scene.intake.read_segments()
        assert await scene.ids() == [before.id, behind.id, later.id]
        assert [path.name for path in scene.paths.async_jobs.iterdir()] == ["1.unreadable"]

    in_scene(tmp_path, script)


def test_a_line_of_nothing_but_brackets_is_no_job() -> None:
    with pytest.raises(ValueError, match="deep"):
        job_of(b"[" * 100_000)


def test_what_is_no_job_is_put_aside_and_takes_no_other_with_it(tmp_path: Path) -> None:
    job = a_job()

    async def script(scene: Scene) -> None:
        scene.segment("s", job, torn=b'{"id": 1}\nnonsense\n[1]\n').close()
        (scene.paths.async_jobs / "link.sealed").symlink_to("/dev/zero")
        await scene.gateway.send({"jobs": {"segment": "t", "upto": 1, "lines": ["nonsense"]}})
        scene.intake.start()
        assert (await scene.heard())["left"]
        await scene.eventually(lambda: _has(scene, 1))

        async def are_aside() -> bool:
            return {path.name for path in scene.paths.async_jobs.iterdir()} == {"s.unreadable", "link.unreadable"}

        await scene.eventually(are_aside)

    in_scene(tmp_path, script)


def test_lines_are_jobs_again() -> None:
    for job in (a_job(), a_job(body=bytes(range(256)), input_location=None, inference_id='é\n"\\', trace="t")):
        assert job_of(line_of(job)) == job
        assert line_of(job).count(b"\n") == 1


# What outlives an endpoint.


def a_route(uid: str, name: str = "e") -> Route:
    asynchronous = AsyncRoute(uid, "s3://out", None, error_topic="arn:topic")
    return Route(HERE, name, Version(0, 0), (), "InService", 1, 1.0, async_inference=asynchronous)


def test_jobs_of_an_endpoint_that_is_gone_are_ended_as_it_wanted(tmp_path: Path) -> None:
    record = replace(an_endpoint("e"), uid="u1")
    early, late, other = a_job(), a_job(), a_job("u2")
    ended: list[tuple[Route, AsyncRoute]] = []

    async def script(scene: Scene) -> None:
        store = await Store.open(scene.paths.state_db)
        history = AsyncHistory(scene.queue, store, scene.publisher, Clocks(), 60.0)

        async def end_gone(route: Route, asynchronous: AsyncRoute) -> None:
            ended.append((route, asynchronous))
            for each in await scene.queue.end_endpoint(asynchronous.uid, "gone"):
                await scene.queue.done(each.job.id, Outcome(OutcomeKind.FAILED, "gone"))

        try:
            await store.write(lambda connection: endpoints.insert(connection, record))
            history.routed(a_route("u1"))
            await scene.queue.take_in([early])
            await history.look(end_gone)
            assert ended == []
            await store.write(lambda connection: endpoints.delete(connection, "u1"))
            await history.look(end_gone)
            await history.look(end_gone)
            assert [route.endpoint for route, _ in ended] == ["e"]
            assert ended[0][1] == a_route("u1").async_inference
            await scene.queue.take_in([late, other])  # from a gateway that was killed
            await history.look(end_gone)
            assert [(route.endpoint, asynchronous.uid) for route, asynchronous in ended[1:]] == [
                ("e", "u1"),
                ("u2", "u2"),
            ]
            for job in (early, late, other):
                assert (await scene.queue.find(job.uid, job.id))[0].status == "Failed"
        finally:
            await store.close()

    in_scene(tmp_path, script)


def test_what_comes_late_for_a_queue_that_an_update_ended_ends_too(tmp_path: Path) -> None:
    """The endpoint is there, and is not asynchronous any more; until it is again."""
    late, later = a_job(), a_job()

    async def script(scene: Scene) -> None:
        ended: list[str] = []
        store = await Store.open(scene.paths.state_db)
        history = AsyncHistory(scene.queue, store, scene.publisher, Clocks(), 60.0)

        async def end_gone(route: Route, asynchronous: AsyncRoute) -> None:
            ended.append(route.endpoint)
            for each in await scene.queue.end_endpoint(asynchronous.uid, "gone"):
                await scene.queue.done(each.job.id, Outcome(OutcomeKind.FAILED, "gone"))

        try:
            record = replace(an_endpoint("e"), uid="u1")
            await store.write(lambda connection: endpoints.insert(connection, record))
            history.routed(a_route("u1"))
            await history.look(end_gone)
            assert await scene.queue.end_endpoint("u1", "updated") == []
            await scene.queue.take_in([late])
            await history.look(end_gone)
            assert ended == ["e"]
            assert await scene.queue.begin_endpoint("u1")
            assert not await scene.queue.begin_endpoint("u1")
            await scene.queue.take_in([later])
            await history.look(end_gone)
            assert ended == ["e"]
            assert await scene.ids() == [later.id]
        finally:
            await store.close()

    in_scene(tmp_path, script)


def test_facts_are_a_route_again(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        route = a_route("u1")
        assert route.async_inference is not None
        await scene.queue.know("u1", facts_of(route, route.async_inference))
        found = route_of((await scene.queue.known())["u1"])
        assert (found.scope, found.endpoint, found.async_inference) == (HERE, "e", route.async_inference)

    in_scene(tmp_path, script)
