"""What is owed to topics, when publishing fails in ways that nobody thought of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from mooring.control import async_outbox
from mooring.control.async_outbox import AsyncOutbox
from mooring.control.topics import Topics
from mooring.hosting.async_jobs import Notification, Outcome, OutcomeKind
from mooring.store.queue import Queue
from tests.store.test_queue import Clocks, a_job


class Failing:
    """Topics that raise what is no error of Mooring's, at first."""

    def __init__(self) -> None:
        self.left = 2
        self.told: list[str] = []

    async def publish(self, topic: str, message: str, notice_id: str, subject: str | None = None) -> None:
        if self.left:
            self.left -= 1
            raise RuntimeError("nobody thought of this")
        self.told.append(message)


def test_an_unknown_error_ends_no_telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_outbox, "LOOK_S", 0.01)
    topics, job = Failing(), a_job()

    async def run() -> None:
        queue = await Queue.open(tmp_path / "queue.db", Clocks())
        await queue.take_in([job])
        await queue.done(job.id, Outcome(OutcomeKind.FAILED, "it broke"), [Notification("arn", "told")])
        outbox = AsyncOutbox(queue, cast(Topics, topics), Clocks(), lambda owed: None)
        running = asyncio.create_task(outbox.run())
        try:
            async with asyncio.timeout(20):
                while not topics.told:
                    await asyncio.sleep(0.01)
                    assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait({running})
            await queue.close()

    asyncio.run(run())
    assert topics.told == ["told"]


class Hanging:
    """One topic that takes for ever, and others that do not."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked = 0

    async def publish(self, topic: str, message: str, notice_id: str, subject: str | None = None) -> None:
        if topic == "hangs":
            self.asked += 1
            await asyncio.Event().wait()
        self.told.append(message)


def test_a_topic_that_hangs_holds_up_nothing_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_outbox, "LOOK_S", 0.01)
    topics = Hanging()
    jobs = [a_job() for _ in range(3 * async_outbox.AT_ONCE)]

    async def run() -> None:
        queue = await Queue.open(tmp_path / "queue.db", Clocks())
        await queue.take_in(jobs)
        for job in jobs[:-2]:
            await queue.done(job.id, Outcome(OutcomeKind.FAILED, "it broke"), [Notification("hangs", "never")])
        outbox = AsyncOutbox(queue, cast(Topics, topics), Clocks(), lambda owed: None)
        running = asyncio.create_task(outbox.run())
        try:
            async with asyncio.timeout(20):
                while not topics.asked:
                    await asyncio.sleep(0.01)
                for job in jobs[-2:]:
                    await queue.done(job.id, Outcome(OutcomeKind.FAILED, "it broke"), [Notification("fine", job.id)])
                outbox.owed()
                while len(topics.told) < 2:
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.wait({running})
            await queue.close()

    asyncio.run(run())
    assert sorted(topics.told) == sorted(job.id for job in jobs[-2:])
    assert topics.asked == async_outbox.AT_ONCE
