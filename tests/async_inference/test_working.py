"""One endpoint's jobs in hand, when a step fails in a way that nobody thought of."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from mooring.async_inference import working
from mooring.async_inference.counting import Counters
from mooring.async_inference.fetching import Budget, Fetching
from mooring.async_inference.hand import Tools
from mooring.async_inference.room import Room
from mooring.async_inference.spooling import Spool
from mooring.async_inference.working import EndpointWork
from mooring.hosting.async_inference import AsyncRoute, Job
from mooring.hosting.async_jobs import Answered, Claim, QueuedJob
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, RouteReplica, RouteVariant, Version
from mooring.objects.async_client import AsyncS3
from mooring.objects.client import SourceError
from mooring.store.queue import Queue
from mooring.store.queue_schema import POSTPONED
from tests.store.test_queue import Clocks, a_job

ASYNCHRONOUS = AsyncRoute("u1", "s3://out", None)
ROUTE = Route(Scope("0" * 12, "us-east-1"), "e", Version(1, 1), (), "InService", 1, 1.0, async_inference=ASYNCHRONOUS)


class Failing:
    """An S3 that fails twice as it never should."""

    def __init__(self) -> None:
        self.left = 2
        self.put_at: list[tuple[str, bytes]] = []

    async def put(self, location: str, body: bytes | Path, content_type: str | None, key_id: str | None) -> None:
        if self.left:
            self.left -= 1
            raise RuntimeError("nobody thought of this")
        self.put_at.append((location, body if isinstance(body, bytes) else body.read_bytes()))


def identify(replica_id: str) -> Mapping[str, Any] | None:
    return None


async def delivered(directory: Path, s3: Failing, job: Job, answered: Answered, body: bytes | None) -> QueuedJob:
    """The job at its end, of one that a former control had answered."""
    queue = await Queue.open(directory / "queue.db", Clocks())
    spool = Spool(directory / "spool")
    parts: dict[str, Any] = {each.name: MagicMock() for each in fields(Tools)}  # who only looks on
    parts.update(queue=queue, delivering=s3, spool=spool, room=Room(spool, lambda _: None), counters=Counters())
    tools = Tools(**{**parts, "clock": Clocks(), "limit": 1, "identify": identify})
    await queue.take_in([job])
    await queue.claim([Claim(job.id, "r")])
    await queue.answered(job.id, answered, body)
    work = EndpointWork(ROUTE, ASYNCHRONOUS, tools)
    [found] = await queue.unfinished()
    work.deliver(found)
    try:
        async with asyncio.timeout(20):
            while (found := (await queue.find("u1", job.id))[0]).outcome is None:
                await asyncio.sleep(0.01)
    finally:
        await work.close()
        await queue.close()
        spool.close()
    return found


def test_an_answer_is_delivered_after_an_error_that_nobody_thought_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on disk, its model is not asked again, and no look at the queue would find it."""
    monkeypatch.setattr(working, "LONGEST_PAUSE_S", 0.01)
    s3, job = Failing(), a_job()
    found = asyncio.run(delivered(tmp_path, s3, job, Answered(200, "text/csv", None, "", 3), b"yes"))
    assert found.status == "Completed"
    assert s3.put_at == [(job.output_location, b"yes")]


def test_an_answer_that_is_not_on_the_disk_any_more_fails_and_tells_no_path(tmp_path: Path) -> None:
    s3, job = Failing(), a_job(failure_location="s3://out/failure")
    s3.left = 0
    found = asyncio.run(delivered(tmp_path, s3, job, Answered(200, "text/csv", None, "removed", 3), None))
    assert found.outcome is not None
    assert found.status == "Failed"
    assert "cannot be read from the disk any more" in (found.outcome.reason or "")
    assert str(tmp_path) not in (found.outcome.reason or "")
    [(location, failure)] = s3.put_at
    assert location == "s3://out/failure"
    assert str(tmp_path).encode() not in failure


class Breaking:
    """A large object whose bytes end in the middle, every time, and the S3 that has it."""

    length, content_type = 1_000_000, "text/csv"

    def __init__(self) -> None:
        self.pieces = [b"x"]

    async def get(self, bucket: str, key: str) -> Breaking:
        self.pieces = [b"x"]
        return self

    async def read(self) -> bytes:
        if not self.pieces:
            raise SourceError("Unreachable", "s3://in/put", "it broke")
        return self.pieces.pop()

    def close(self) -> None:
        pass


def test_an_input_that_breaks_off_is_read_again_without_haste(tmp_path: Path) -> None:
    """The model is called each time, and each time for nothing."""
    job = a_job()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> float:
        queue, spool, clocks = await Queue.open(tmp_path / "queue.db", Clocks()), Spool(tmp_path / "spool"), Clocks()
        socket = tmp_path / "r"
        server = await asyncio.start_unix_server(serve, socket)
        parts: dict[str, Any] = {each.name: MagicMock() for each in fields(Tools)}
        fetching = Fetching(cast(AsyncS3, Breaking()), 10_000_000, Budget())
        parts.update(queue=queue, fetching=fetching, spool=spool, room=Room(spool, lambda _: None))
        tools = Tools(**{**parts, "clock": clocks, "limit": 1, "identify": identify, "counters": Counters()})
        await queue.take_in([job])
        variant = RouteVariant("v", 1.0, (RouteReplica("r", str(socket)),))
        work = EndpointWork(replace(ROUTE, variants=(variant,)), ASYNCHRONOUS, tools)
        work.start()
        try:
            async with asyncio.timeout(20):
                while True:
                    with contextlib.closing(sqlite3.connect(tmp_path / "queue.db")) as database:
                        [(status, not_before)] = database.execute("SELECT status, not_before FROM jobs").fetchall()
                    if status == POSTPONED:
                        return float(not_before) - clocks.up
                    await asyncio.sleep(0.01)
        finally:
            await work.close()
            server.close()
            await queue.close()
            spool.close()

    assert asyncio.run(run()) >= working.AFTER_TROUBLE_S
