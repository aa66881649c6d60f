"""The queue, step by step: what is durable, what cannot be done twice, and what is found by its index."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from mooring.errors import DataDirectoryError, NotFound, Refused
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Answered, Claim, JobState, Notification, Outcome, OutcomeKind
from mooring.processes import identity
from mooring.store.queue import MOST_FOUND, Queue

COMPLETED = Outcome(OutcomeKind.COMPLETED, written="s3://b/o")
FAILED = Outcome(OutcomeKind.FAILED, "it broke")
EXPIRED = Outcome(OutcomeKind.EXPIRED, "it was late")
ANSWER = Answered(200, "text/csv", None, "spooled", 3)


class Clocks:
    """Each is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.up = 5_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.up

    def uptime(self) -> float:
        return self.up


def a_job(uid: str = "u1", **changes: Any) -> Job:
    identifier = str(uuid.uuid4())
    members: dict[str, Any] = {
        "id": identifier,
        "uid": uid,
        "inference_id": identifier,
        "input_location": "s3://in/put",
        "body": None,
        "output_location": "s3://out/put",
        "failure_location": None,
        "content_type": "text/csv",
        "accept": None,
        "custom_attributes": None,
        "ttl_s": 600,
        "timeout_s": 60,
        "accepted_at": 1_000_000.0,
        "accepted_uptime": 5_000.0,
        "boot_id": identity.boot_id(),
    }
    return Job(**{**members, **changes})


def with_queue(place: Path, body: Callable[[Queue, Clocks], Awaitable[None]]) -> None:
    async def run() -> None:
        clocks = Clocks()
        queue = await Queue.open(place / "queue.db", clocks)
        try:
            await body(queue, clocks)
        finally:
            await queue.close()

    asyncio.run(run())


async def claimed(queue: Queue, *jobs: Job) -> set[str]:
    return await queue.claim([Claim(job.id, "replica", {"pid": 1}) for job in jobs])


async def ids(queue: Queue, uid: str = "u1", after: int = 0, limit: int = 100) -> list[str]:
    return [each.job.id for each in await queue.waiting(uid, after, limit)]


def test_jobs_wait_in_the_order_in_which_they_came_and_each_endpoint_has_its_own(tmp_path: Path) -> None:
    first, second, other = a_job(), a_job(inference_id="mine", inference_id_given=True), a_job("u2")

    async def body(queue: Queue, _clocks: Clocks) -> None:
        assert await queue.take_in([first, second, other]) == 3
        found = await queue.waiting("u1", 0, 10)
        assert [each.job for each in found] == [first, second]
        assert [(each.state, each.attempts) for each in found] == [(JobState.WAITING, 0)] * 2
        assert await ids(queue, limit=1) == [first.id]
        assert await ids(queue, after=found[0].position) == [second.id]
        assert await ids(queue, "u2") == [other.id]
        assert await ids(queue, "u3") == []

    with_queue(tmp_path, body)


def test_a_job_is_taken_in_once_whatever_has_become_of_it(tmp_path: Path) -> None:
    job, again = a_job(body=b"in\x00line", input_location=None), a_job()

    async def body(queue: Queue, _clocks: Clocks) -> None:
        assert await queue.take_in([job, job]) == 1
        assert await queue.body(job.id) == b"in\x00line"
        assert await queue.take_in([job, again]) == 1
        await claimed(queue, job)
        await queue.answered(job.id, ANSWER)
        assert await queue.done(job.id, COMPLETED)
        assert await queue.body(job.id) is None
        assert await queue.take_in([job]) == 0
        assert await queue.body(job.id) is None
        assert await ids(queue) == [again.id]

    with_queue(tmp_path, body)


def test_steps_go_one_way(tmp_path: Path) -> None:
    job = a_job()

    async def body(queue: Queue, _clocks: Clocks) -> None:
        await queue.take_in([job])
        assert not await queue.answered(job.id, ANSWER)
        assert not await queue.done(job.id, COMPLETED)
        assert not await queue.release(job.id)
        assert await claimed(queue, job) == {job.id}
        assert await claimed(queue, job) == set()
        assert not await queue.done(job.id, EXPIRED)
        with pytest.raises(Refused, match="is Calling: only what is Waiting can be cancelled"):
            await queue.cancel(job.id)
        [calling] = await queue.unfinished()
        assert (calling.state, calling.attempts, calling.claim) == (
            JobState.CALLING,
            1,
            Claim(job.id, "replica", {"pid": 1}),
        )
        assert await queue.answered(job.id, ANSWER)
        assert not await queue.release(job.id)
        [answered] = await queue.unfinished()
        assert (answered.state, answered.answered) == (JobState.ANSWERED, ANSWER)
        assert await queue.done(job.id, COMPLETED)
        assert not await queue.done(job.id, FAILED)
        assert await queue.unfinished() == []
        [done] = await queue.find("u1", job.id)
        assert (done.status, done.outcome, done.finished_at) == ("Completed", COMPLETED, 1_000_000.0)

    with_queue(tmp_path, body)


def test_what_is_released_waits_until_its_time_and_keeps_its_place(tmp_path: Path) -> None:
    first, second = a_job(), a_job()

    async def body(queue: Queue, clocks: Clocks) -> None:
        await queue.take_in([first, second])
        await claimed(queue, first)
        assert await queue.release(first.id, clocks.up + 5)
        assert await ids(queue) == [second.id]
        assert (await queue.backlog())["u1"].waiting == 2
        clocks.up += 5
        assert await ids(queue) == [first.id, second.id]
        assert (await queue.find("u1", first.id))[0].attempts == 1

    with_queue(tmp_path, body)


def test_the_next_control_does_not_wait_for_what_the_last_one_postponed(tmp_path: Path) -> None:
    job = a_job()

    async def before(queue: Queue, clocks: Clocks) -> None:
        await queue.take_in([job])
        await claimed(queue, job)
        await queue.release(job.id, clocks.up + 1e6)
        done = a_job("u2")
        await queue.take_in([done])
        await queue.done(done.id, FAILED, [Notification("t", "m")])
        await queue.postponed((await queue.owed(1))[0].id, clocks.up + 1e6, "away")

    async def after(queue: Queue, _clocks: Clocks) -> None:
        assert await ids(queue) == [job.id]
        assert [each.attempts for each in await queue.owed(9)] == [1]

    with_queue(tmp_path, before)
    with_queue(tmp_path, after)


def test_time_is_up_by_uptime_in_this_boot_and_by_the_wall_clock_in_another(tmp_path: Path) -> None:
    here = a_job(ttl_s=100)
    elsewhere = a_job(ttl_s=100, boot_id="an earlier boot", accepted_uptime=9e9)

    async def body(queue: Queue, clocks: Clocks) -> None:
        await queue.take_in([here, elsewhere])
        boot = identity.boot_id()

        async def expired(up: float, wall: float) -> set[str]:
            return {each.job.id for each in await queue.expired(boot, clocks.up + up, clocks.now + wall, 10)}

        assert await expired(99, 99) == set()
        assert await expired(0, 1e9) == {elsewhere.id}  # the wall clock jumped ahead
        assert await expired(100, -1e9) == {here.id}  # and back
        assert await expired(100, 100) == {here.id, elsewhere.id}
        await claimed(queue, here)
        assert await expired(100, 100) == {elsewhere.id}
        assert await queue.done(elsewhere.id, EXPIRED)
        assert await expired(1e9, 1e9) == set()

    with_queue(tmp_path, body)


def test_a_job_that_failed_is_tried_again_with_its_input_and_a_new_time(tmp_path: Path) -> None:
    job = a_job(body=b"kept", input_location=None, ttl_s=100)

    async def body(queue: Queue, clocks: Clocks) -> None:
        await queue.take_in([job])
        with pytest.raises(Refused, match="is Waiting: only what is Failed or Expired"):
            await queue.retry(job.id)
        await queue.done(job.id, EXPIRED)
        clocks.up += 1000
        clocks.now += 1000
        again = await queue.retry(job.id)
        assert (again.status, again.attempts, again.outcome, again.finished_at) == ("Waiting", 0, None, None)
        assert await queue.body(job.id) == b"kept"
        assert await queue.expired(identity.boot_id(), clocks.up + 99, clocks.now, 10) == []
        assert len(await queue.expired(identity.boot_id(), clocks.up + 100, clocks.now, 10)) == 1
        await queue.cancel(job.id)
        assert await queue.body(job.id) is None
        with pytest.raises(Refused, match="is Cancelled"):
            await queue.retry(job.id)
        with pytest.raises(NotFound):
            await queue.retry("nobody's")

    with_queue(tmp_path, body)


def test_what_is_owed_is_made_with_the_end_of_its_job_and_once(tmp_path: Path) -> None:
    job = a_job()

    async def body(queue: Queue, clocks: Clocks) -> None:
        await queue.take_in([job])
        assert await queue.done(job.id, FAILED, [Notification("topic 1", "a"), Notification("topic 2", "b")])
        assert not await queue.done(job.id, FAILED, [Notification("topic 1", "a")])
        first, second = await queue.owed(10)
        assert (first.job_id, first.uid, first.notification) == (job.id, "u1", Notification("topic 1", "a"))
        await queue.postponed(first.id, clocks.up + 10, "the topic is away")
        assert [each.id for each in await queue.owed(10)] == [second.id]
        clocks.up += 10
        assert [(each.id, each.attempts) for each in await queue.owed(10)] == [(second.id, 0), (first.id, 1)]
        await queue.told([second.id])
        await queue.given_up(first.id, "the topic is gone")
        assert await queue.owed(10) == []

    with_queue(tmp_path, body)


def test_pages_and_finding(tmp_path: Path) -> None:
    jobs = [a_job(inference_id="same" if each % 2 else f"n{each}") for each in range(8)]

    async def body(queue: Queue, _clocks: Clocks) -> None:
        await queue.take_in(jobs)
        await queue.done(jobs[0].id, FAILED)
        await claimed(queue, jobs[1], jobs[2])
        await queue.cancel(jobs[7].id)
        everything = await queue.page("u1", None, 0, 100)
        assert [each.job.id for each in everything] == [job.id for job in jobs]
        assert [each.status for each in everything] == [
            "Failed", "Calling", "Calling", "Waiting", "Waiting", "Waiting", "Waiting", "Cancelled",
        ]  # fmt: skip
        some = await queue.page("u1", None, everything[2].position, 2)
        assert [each.job.id for each in some] == [jobs[3].id, jobs[4].id]
        assert [each.job.id for each in await queue.page("u1", "Done", 0, 9)] == [jobs[0].id, jobs[7].id]
        assert [each.job.id for each in await queue.page("u1", "Calling", 0, 1)] == [jobs[1].id]
        with pytest.raises(Refused, match="Sleeping is no status"):
            await queue.page("u1", "Sleeping", 0, 1)
        assert [each.job.id for each in await queue.find("u1", "same")] == [jobs[n].id for n in (7, 5, 3, 1)]
        assert [each.job.id for each in await queue.find("u1", jobs[3].id)] == [jobs[3].id]
        assert await queue.find("u1", "none") == []

    with_queue(tmp_path, body)


def test_another_endpoints_jobs_hide_none_under_an_id(tmp_path: Path) -> None:
    """Callers choose InferenceIds: also such as others have, and such as are the ids of others' jobs."""
    mine = a_job("u1", inference_id="1", inference_id_given=True)
    theirs = [a_job("u2", inference_id="1", inference_id_given=True) for _ in range(MOST_FOUND + 1)]
    named = a_job("u1", inference_id=theirs[0].id, inference_id_given=True)

    async def body(queue: Queue, _clocks: Clocks) -> None:
        await queue.take_in([mine, named, *theirs])
        assert [each.job.id for each in await queue.find("u1", "1")] == [mine.id]
        assert [each.job.id for each in await queue.find("u1", theirs[0].id)] == [named.id]
        assert await queue.find("u1", theirs[1].id) == []

    with_queue(tmp_path, body)


def test_an_endpoint_that_is_gone_has_nothing_called_and_tells_what_is_to_end(tmp_path: Path) -> None:
    jobs = [a_job() for _ in range(3)]

    async def body(queue: Queue, _clocks: Clocks) -> None:
        await queue.know("u1", {"endpoint": "e"})
        await queue.take_in(jobs[:2])
        await queue.done(jobs[0].id, FAILED)
        assert [each.job.id for each in await queue.end_endpoint("u1", "It was deleted.")] == [jobs[1].id]
        assert await ids(queue) == []
        await queue.take_in(jobs[2:])
        assert [each.job.id for each in await queue.end_endpoint("u1", "other words", 1)] == [jobs[1].id]
        known = (await queue.known())["u1"]
        assert (known.facts, known.ended) == ({"endpoint": "e"}, "It was deleted.")
        with pytest.raises(Refused, match="its endpoint is gone"):
            await queue.retry(jobs[0].id)
        for job in jobs[1:]:
            assert await queue.done(job.id, FAILED)
        assert await queue.end_endpoint("u1", "") == []

    with_queue(tmp_path, body)


def test_history_is_forgotten_but_not_while_a_line_of_it_may_still_come(tmp_path: Path) -> None:
    old, new = a_job(), a_job("u2")

    async def body(queue: Queue, clocks: Clocks) -> None:
        await queue.take_in([old])
        await queue.done(old.id, FAILED)
        await queue.end_endpoint("u1", "gone")
        clocks.now += 1e6  # the wall clock jumps
        await queue.forget(clocks.now)
        assert await queue.take_in([old]) == 0
        clocks.up += 4000
        await queue.take_in([new])
        await queue.done(new.id, FAILED)
        await queue.forget(clocks.now - 1)
        assert await queue.find("u1", old.id) == []
        assert set(await queue.known()) == {"u2"}
        assert len(await queue.find("u2", new.id)) == 1

    with_queue(tmp_path, body)


WRITER = """
import asyncio, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.store.test_queue import Clocks, Queue, a_job, claimed

async def main():
    queue = await Queue.open(Path({place!r}), Clocks())
    while True:
        job = a_job()
        await queue.take_in([job])
        print("in", job.id, flush=True)
        await claimed(queue, job)
        print("claimed", job.id, flush=True)

asyncio.run(main())
"""


def test_what_returned_before_kill_9_is_there_and_counted(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    script = WRITER.format(root=root, place=str(tmp_path / "queue.db"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen = [child.stdout.readline().split() for _ in range(61)]
        os.kill(child.pid, signal.SIGKILL)
        seen += [line.split() for line in child.stdout.read().splitlines() if len(line.split()) == 2]

    async def body(queue: Queue, _clocks: Clocks) -> None:
        calling = {each.job.id for each in await queue.unfinished()}
        waiting = set(await ids(queue))
        assert {job for what, job in seen if what == "claimed"} <= calling
        assert {job for what, job in seen if what == "in"} <= calling | waiting
        backlog = (await queue.backlog())["u1"]
        assert (backlog.waiting, backlog.in_process) == (len(waiting), len(calling))

    with_queue(tmp_path, body)


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "queue.db") as file:
        file.execute("PRAGMA user_version=99")
    file.close()
    with pytest.raises(DataDirectoryError, match="newer Mooring"):
        with_queue(tmp_path, lambda _queue, _clocks: asyncio.sleep(0))


def test_no_question_looks_at_more_than_it_needs(tmp_path: Path) -> None:
    """SQLite's own plans: whatever runs with a million jobs is a search of an index, and sorts none of it."""
    seen: dict[str, Any] = {}

    async def body(queue: Queue, clocks: Clocks) -> None:
        @event.listens_for(queue._engine, "before_cursor_execute")
        def note(_conn: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
            if statement.split(None, 1)[0] in ("SELECT", "UPDATE", "DELETE"):
                seen[statement] = values[0] if many else values

        jobs = [a_job() for _ in range(5)]
        await queue.take_in(jobs)
        await claimed(queue, *jobs[:3])
        await queue.release(jobs[0].id, clocks.up)
        await queue.waiting("u1", 0, 10)
        await queue.answered(jobs[1].id, ANSWER)
        await queue.unfinished()
        await queue.expired("another boot", clocks.up, clocks.now, 10)
        await queue.expired(identity.boot_id(), clocks.up, clocks.now, 10)
        await queue.backlog()
        await queue.page("u1", None, 0, 10)
        await queue.find("u1", "n")
        await queue.body(jobs[0].id)
        await queue.done(jobs[1].id, COMPLETED, [Notification("t", "m")])
        await queue.done(jobs[2].id, FAILED)
        await queue.cancel(jobs[3].id)
        await queue.retry(jobs[2].id)
        await queue.owed(10)
        await queue.postponed(1, 1.0, "")
        await queue.given_up(1, "")
        await queue.forget(clocks.now)
        await queue.end_endpoint("u1", "gone")
        for statement, values in seen.items():
            with queue._engine.connect() as conn:
                plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
            walks = [step for step in plan if step.startswith(("SCAN jobs", "SCAN bodies", "SCAN outbox"))]
            assert not walks, (statement, plan)
            assert not any("TEMP B-TREE" in step for step in plan), (statement, plan)
        assert len(seen) > 20

    with_queue(tmp_path, body)
