"""Records of captured calls: what is put aside for them, and what goes wrong without harm to a job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.async_inference.capturing import CapturedCall, Capturing, Shelf
from mooring.async_inference.fetching import Input
from mooring.async_inference.spooling import Spool, SpoolFile
from mooring.data_capture.observing import Capture
from mooring.hosting.async_inference import AsyncRoute, Job
from mooring.hosting.async_jobs import Answered
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, RouteReplica, RouteVariant, Version
from mooring.settings import CaptureSettings

LIMIT = 300_000
WANTED = CaptureRoute("b", "", 100, input=True, output=True, csv_types=("text/csv",))
ANSWER = Answered(200, "text/csv", None, "", 3)


def job(**members: Any) -> Job:
    given = ("j", "u", "mine", "s3://b/k", None, "s3://b/o", None, "text/csv", None, None, 60, 60, 0.0, 0.0, "boot")
    made = Job(*given)
    return Job(**{**made.to_document(), **members})


def route(capture: CaptureRoute | None, *, asynchronous: bool = True) -> Route:
    variant = RouteVariant("v", 1.0, (RouteReplica("r", "/socket"),), capture=capture)
    queue = AsyncRoute("u", "s3://b/out", None) if asynchronous else None
    return Route(Scope("1", "us-east-1"), "e", Version(1, 1), (variant,), "InService", 1, 1.0, async_inference=queue)


class Scene:
    def __init__(self, directory: Path) -> None:
        (directory / "capture").mkdir()
        settings = CaptureSettings(disk_limit_percent=100, payload_limit_bytes=LIMIT)
        self.reports: list[dict[str, Any]] = []
        self.directory = directory
        self.capture = Capture(directory / "capture", settings, self.reports.append)
        self.spool = Spool(directory / "spool")
        self.spool.open(())
        self.capturing = Capturing(Shelf(self.capture, self.spool, LIMIT))
        self.capturing.follow(route(WANTED))

    def begin(self, given: Input) -> CapturedCall:
        call = self.capturing.begin(job(), "r", given)
        assert call is not None
        return call

    def records(self) -> list[dict[str, Any]]:
        paths = (self.directory / "capture").glob("*/*.open")
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def counted(self) -> dict[str, Any]:
        return dict(self.capture._counted()["1/us-east-1/e"]["v"])


def played(path: Path, script: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene(path)
        await script(scene)
        scene.capture.close()
        scene.spool.close()
        assert list((path / "spool").iterdir()) == []

    asyncio.run(run())


def test_of_a_stream_only_what_a_record_may_have_is_put_aside(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        given = Input("text/csv", 10 * LIMIT, None)
        call = scene.begin(given)
        assert given.heard is not None
        for _ in range(10):
            await given.heard(b"x" * LIMIT)
        assert sum(each.stat().st_size for each in (tmp_path / "spool").iterdir()) <= LIMIT + 1
        await call.answered(ANSWER, b"yes")
        call.close()
        (record,) = scene.records()
        found = record["captureData"]
        assert (found["endpointInput"]["data"], found["endpointOutput"]["data"]) == ("x" * LIMIT, "yes")
        assert record["eventMetadata"]["inferenceId"] == "mine"

    played(tmp_path, script)


def test_a_disk_without_room_costs_the_record_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(scene: Scene) -> None:
        async def full(_file: SpoolFile, _piece: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(SpoolFile, "write", full)
        given = Input("text/csv", LIMIT, None)
        call = scene.begin(given)
        assert given.heard is not None
        for _ in range(2):
            await given.heard(b"x" * LIMIT)
        await call.answered(ANSWER, b"yes")
        call.close()
        assert scene.records() == []
        assert (scene.counted()["taken"], scene.counted()["not_taken"]) == (0, 1)

    played(tmp_path, script)


def test_an_answer_that_is_gone_costs_the_record_only(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        call = scene.begin(Input("text/csv", 1, b"1"))
        await call.answered(Answered(200, None, None, "nowhere", LIMIT), None)
        call.close()
        assert scene.records() == []
        assert scene.counted()["not_taken"] == 1

    played(tmp_path, script)


def test_a_call_that_is_made_again_and_one_that_failed_have_no_record(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        scene.begin(Input("text/csv", 1, b"1")).close()
        call = scene.begin(Input("text/csv", 1, b"1"))
        await call.answered(Answered(500, None, None, "", 1), b"x")
        await call.failed()
        assert scene.records() == []
        assert scene.counted()["not_taken"] == 0

    played(tmp_path, script)


def test_only_what_the_last_route_wants_is_captured(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        given = Input("text/csv", 1, b"1")
        assert scene.capturing.begin(job(), "another", given) is None
        before = scene.begin(given)
        scene.capturing.follow(route(None))
        assert scene.capturing.begin(job(), "r", given) is None
        await before.answered(ANSWER, b"yes")
        assert len(scene.records()) == 1
        scene.capturing.follow(route(CaptureRoute("b", "", 20, input=True, output=False)))
        begun = [scene.capturing.begin(job(id=f"job-{n}"), "r", given) is not None for n in range(500)]
        assert begun == [scene.capturing.begin(job(id=f"job-{n}"), "r", given) is not None for n in range(500)]
        assert 50 < sum(begun) < 150

    played(tmp_path, script)


def test_gateways_capture_nothing_of_queues(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        for asynchronous in (True, False):
            watched = route(WANTED, asynchronous=asynchronous)
            assert (scene.capture.observer(watched, watched.variants[0]) is None) is asynchronous

    played(tmp_path, script)
