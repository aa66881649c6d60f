"""The group commit: a caller hears of success only for what is on disk, and what it hears is refused is not there."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.async_inference import committing
from mooring.async_inference.committing import Committer, Kept
from mooring.async_inference.handing import AcceptedJobs
from mooring.journal import segments
from mooring.journal.sealing import seal, sealed
from mooring.journal.segments import Segment
from tests.store.test_queue import a_job


class Disk:
    """Stands in for fdatasync: counts, waits, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.errors: list[int] = []
        monkeypatch.setattr(segments, "_sync", self._sync)

    def _sync(self, descriptor: int) -> None:
        assert self.gate.wait(20)
        self.syncs += 1
        if self.errors and (error := self.errors.pop(0)):
            raise OSError(error, os.strerror(error))
        os.fdatasync(descriptor)


def lines_on_disk(place: Path) -> list[bytes]:
    seal(place)
    return [line for path in sealed(place) for line in path.read_bytes().splitlines()]


async def settled(committer: Committer, *lines: bytes) -> list[str | None]:
    """What each of the callers hears who come at once."""
    loop = asyncio.get_running_loop()
    heard = [loop.create_future() for _ in lines]
    for line, future in zip(lines, heard, strict=True):
        committer.submit(line, future.set_result)
    async with asyncio.timeout(20):
        return await asyncio.gather(*heard)


def committed(place: Path, body: Callable[[Committer], Any]) -> tuple[list[Kept], list[Segment]]:
    """Run `body`; returns what was kept, and put aside."""
    kept: list[Kept] = []
    aside: list[Segment] = []

    async def run() -> None:
        committer = Committer(place, kept.append, aside.append)
        try:
            await body(committer)
            await asyncio.sleep(0)
        finally:
            committer.close({})

    asyncio.run(run())
    for segment in aside:
        segment.close()
    return kept, aside


def test_who_comes_during_a_sync_shares_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    async def body(committer: Committer) -> None:
        disk.gate.clear()
        first = asyncio.create_task(settled(committer, b"0\n"))
        await asyncio.sleep(0.1)
        rest = asyncio.create_task(settled(committer, *(b"%d\n" % number for number in range(1, 100))))
        await asyncio.sleep(0.1)
        assert not first.done()
        disk.gate.set()
        assert {*await first, *await rest} == {None}

    kept, _ = committed(tmp_path, body)
    assert disk.syncs == 2
    assert [(len(each.lines), each.upto) for each in kept] == [(1, 1), (99, 100)]
    assert lines_on_disk(tmp_path) == [b"%d" % number for number in range(100)]


def test_too_much_that_waits_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(committing, "MOST_PENDING_BYTES", 100)
    line = b"x" * 39 + b"\n"

    async def body(committer: Committer) -> None:
        disk.gate.clear()
        held = asyncio.create_task(settled(committer, line, line))
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError, match="wait for the disk"):
            committer.submit(line, lambda _problem: None)
        disk.gate.set()
        assert await held == [None, None]
        assert await settled(committer, line) == [None]

    committed(tmp_path, body)
    assert len(lines_on_disk(tmp_path)) == 3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 0, errno.EIO, errno.ENOSPC])), max_size=8))
def test_what_callers_hear_is_what_is_on_disk(batches: list[tuple[int, int]]) -> None:
    heard: list[tuple[bytes, str | None]] = []
    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryDirectory() as name:
        disk = Disk(monkeypatch)

        async def body(committer: Committer) -> None:
            number = 0
            for count, error in batches:
                lines = [b"%d\n" % each for each in range(number, number + count)]
                number += count
                disk.gate.clear()
                answers = asyncio.create_task(settled(committer, *lines))
                await asyncio.sleep(0.002)
                disk.errors = [error] * count  # as many syncs as the lines may need
                disk.gate.set()
                heard.extend(zip(lines, await answers, strict=True))
                disk.errors = []

        committed(Path(name), body)
        kept = [line.strip() for line, problem in heard if problem is None]
        assert sorted(lines_on_disk(Path(name)), key=int) == kept
        refused = {problem for _, problem in heard if problem is not None}
        assert refused <= {os.strerror(errno.EIO), os.strerror(errno.ENOSPC)}


# What control is told of, and what it finds.


class Control:
    """What a gateway says, and the answers to it."""

    def __init__(self) -> None:
        self.is_here = True
        self.said: list[dict[str, Any]] = []

    def tell(self, message: dict[str, Any]) -> bool:
        if self.is_here:
            self.said.append(message["jobs"])
        return self.is_here


async def keep(jobs: AcceptedJobs, count: int) -> None:
    for _ in range(count):
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        jobs.keep(a_job(), future.set_result)
        assert await future is None
    await asyncio.sleep(0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["job", "job", "away", "back", "acknowledge", "leave", "minute", "patience"]), max_size=14)
)
def test_whatever_control_does_not_have_lies_on_disk(steps: list[str]) -> None:
    """The union of what control acknowledged and what it finds in segments is everything, at the end of any history."""
    now = [0.0]
    acknowledged: set[str] = set()

    async def run(place: Path) -> int:
        control = Control()
        jobs = AcceptedJobs(place, control.tell, lambda: now[0])
        jobs.greet()
        count = 0
        for step in steps:
            if step == "job":
                await keep(jobs, 1)
                count += 1
            elif step == "away":
                control.is_here, control.said = False, []
            elif step == "back" and not control.is_here:
                control.is_here = True
                jobs.greet()
            elif step in ("acknowledge", "leave") and control.said:
                word = control.said.pop(0)
                left = step == "leave"
                if not left:
                    acknowledged.update(word["lines"])
                jobs.taken({"jobs_taken": {"segment": word["segment"], "upto": word["upto"], "left": left}})
            elif step in ("minute", "patience"):
                now[0] += 61.0 if step == "minute" else 6.0
                jobs._look()
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        jobs.close()
        return count

    with tempfile.TemporaryDirectory() as name:
        count = asyncio.run(run(Path(name)))
        there = {line.decode() + "\n" for line in lines_on_disk(Path(name))}
        assert len(acknowledged | there) == count


def test_what_control_has_whole_is_removed(tmp_path: Path) -> None:
    async def run() -> None:
        control = Control()
        jobs = AcceptedJobs(tmp_path, control.tell)
        jobs.greet()
        await keep(jobs, 3)
        for word in control.said:
            jobs.taken({"jobs_taken": {"segment": word["segment"], "upto": word["upto"]}})
        jobs.close()

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []
