"""The queue beside a plain dictionary: whatever is done in whatever order, over restarts and jumps of clocks."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from mooring.errors import Refused
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Claim, Notification, Outcome, OutcomeKind
from mooring.processes import identity
from mooring.store.queue import Queue
from tests.store.test_queue import ANSWER, Clocks, a_job

T = TypeVar("T")
UIDS = ("u1", "u2")
ALLOWED = {
    OutcomeKind.COMPLETED: ("Calling", "Answered"),
    OutcomeKind.FAILED: ("Waiting", "Calling", "Answered"),
    OutcomeKind.EXPIRED: ("Waiting",),
    OutcomeKind.CANCELLED: ("Waiting",),
}


@dataclass
class Model:
    """What is expected of one job."""

    job: Job
    status: str = "Waiting"
    attempts: int = 0
    ready_at: float = 0.0
    until_up: float = 0.0
    until_wall: float = 0.0
    here: bool = True
    """Accepted, or tried again, in this boot."""
    body: bytes | None = None
    owed: int = 0
    told: int = 0


class QueueMachine(RuleBasedStateMachine):
    """Runs the queue on a loop of its own."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory(prefix="mq-")
        self.loop = asyncio.new_event_loop()
        self.clocks = Clocks()
        self.models: dict[str, Model] = {}
        self.order: list[str] = []
        self.queue = self.run(Queue.open(Path(self.place.name) / "queue.db", self.clocks))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.queue.close())
        self.loop.close()
        self.place.cleanup()

    @rule(target=jobs, uid=st.sampled_from(UIDS), body=st.none() | st.binary(max_size=9), here=st.booleans())
    def take_in(self, uid: str, body: bytes | None, here: bool) -> str:
        boot = identity.boot_id() if here else "another"
        job = a_job(uid, body=body, input_location=None if body is not None else "s3://a/b", ttl_s=60, boot_id=boot)
        job = replace(job, accepted_at=self.clocks.now, accepted_uptime=self.clocks.up)
        assert self.run(self.queue.take_in([job])) == 1
        model = Model(job, until_up=self.clocks.up + 60, until_wall=self.clocks.now + 60, here=here, body=body)
        self.models[job.id] = model
        self.order.append(job.id)
        return job.id

    @rule(id_=jobs)
    def take_in_again(self, id_: str) -> None:
        if id_ in self.models:
            assert self.run(self.queue.take_in([self.models[id_].job])) == 0

    @rule(ids=st.lists(jobs, min_size=1, max_size=4, unique=True))
    def claim(self, ids: list[str]) -> None:
        wanted = {id_ for id_ in ids if id_ in self.models and self.models[id_].status == "Waiting"}
        assert self.run(self.queue.claim([Claim(id_, "r") for id_ in ids])) == wanted
        for id_ in wanted:
            self.models[id_].status = "Calling"
            self.models[id_].attempts += 1

    @rule(id_=jobs, pause=st.integers(0, 20))
    def release(self, id_: str, pause: int) -> None:
        model = self.models.get(id_)
        was_calling = model is not None and model.status == "Calling"
        assert self.run(self.queue.release(id_, self.clocks.up + pause)) == was_calling
        if model is not None and was_calling:
            model.status, model.ready_at = "Waiting", self.clocks.up + pause

    @rule(id_=jobs)
    def answer(self, id_: str) -> None:
        model = self.models.get(id_)
        was_calling = model is not None and model.status == "Calling"
        assert self.run(self.queue.answered(id_, ANSWER)) == was_calling
        if model is not None and was_calling:
            model.status = "Answered"

    @rule(id_=jobs, kind=st.sampled_from(OutcomeKind), owed=st.integers(0, 2))
    def end(self, id_: str, kind: OutcomeKind, owed: int) -> None:
        model = self.models.get(id_)
        may_end = model is not None and model.status in ALLOWED[kind]
        told = [Notification("topic", id_)] * owed
        assert self.run(self.queue.done(id_, Outcome(kind, "why"), told)) == may_end
        if model is not None and may_end:
            model.status = kind.value
            model.owed += owed
            if kind in (OutcomeKind.COMPLETED, OutcomeKind.CANCELLED):
                model.body = None

    @rule(id_=jobs)
    def retry(self, id_: str) -> None:
        model = self.models.get(id_)
        if model is None:
            return
        try:
            self.run(self.queue.retry(id_))
        except Refused:
            assert model.status not in ("Failed", "Expired")
            return
        assert model.status in ("Failed", "Expired")
        model.status, model.attempts, model.ready_at, model.here = "Waiting", 0, 0.0, True
        model.until_up, model.until_wall = self.clocks.up + 60, self.clocks.now + 60

    @rule(ahead=st.integers(0, 40), jump=st.integers(-200, 200))
    def time_passes(self, ahead: int, jump: int) -> None:
        """Uptime only grows; the wall clock does as it likes."""
        self.clocks.up += ahead
        self.clocks.now += ahead + jump

    @rule(count=st.integers(1, 3))
    def tell(self, count: int) -> None:
        owed = self.run(self.queue.owed(count))
        self.run(self.queue.told([each.id for each in owed]))
        for each in owed:
            self.models[each.job_id].told += 1

    @rule()
    def restart(self) -> None:
        self.run(self.queue.close())
        self.queue = self.run(Queue.open(Path(self.place.name) / "queue.db", self.clocks))
        for model in self.models.values():
            model.ready_at = 0.0

    @rule()
    def expire(self) -> None:
        found = {
            each.job.id
            for each in self.run(self.queue.expired(identity.boot_id(), self.clocks.up, self.clocks.now, 1000))
        }
        assert found == {
            id_
            for id_, model in self.models.items()
            if model.status == "Waiting"
            and (model.until_up <= self.clocks.up if model.here else model.until_wall <= self.clocks.now)
        }

    @invariant()
    def all_is_as_expected(self) -> None:
        backlog = self.run(self.queue.backlog())
        for uid in UIDS:
            mine = [id_ for id_ in self.order if self.models[id_].job.uid == uid]
            status = {id_: self.models[id_].status for id_ in mine}
            page = self.run(self.queue.page(uid, None, 0, 1000))
            assert [(each.job.id, each.status, each.attempts) for each in page] == [
                (id_, status[id_], self.models[id_].attempts) for id_ in mine
            ]
            ready = [id_ for id_ in mine if status[id_] == "Waiting" and self.models[id_].ready_at <= self.clocks.up]
            assert [each.job.id for each in self.run(self.queue.waiting(uid, 0, 1000))] == ready
            waiting = [id_ for id_ in mine if status[id_] == "Waiting"]
            in_process = [id_ for id_ in mine if status[id_] in ("Calling", "Answered")]
            counted = backlog.get(uid)
            assert (
                (0, 0)
                if counted is None
                else (counted.waiting, counted.in_process)
                == (
                    len(waiting),
                    len(in_process),
                )
            )
            assert (counted is None) == (not waiting and not in_process)
            if counted is not None:
                oldest = None if counted.oldest is None else counted.oldest.id
                assert oldest == (waiting[0] if waiting else None)
        unfinished = [each.job.id for each in self.run(self.queue.unfinished())]
        assert unfinished == [id_ for id_ in self.order if self.models[id_].status in ("Calling", "Answered")]
        for id_, model in self.models.items():
            assert self.run(self.queue.body(id_)) == model.body
        owed = self.run(self.queue.owed(1000))
        assert len(owed) == sum(model.owed - model.told for model in self.models.values())


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
