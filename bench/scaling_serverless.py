"""A serverless variant in virtual time: the gateway's own slots and control's own idle rule over made-up calls.

What is simulated is calls, and starts: one takes `start_s`, and longer while others start on the same processors.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scaling_loads import Load

from mooring.hosting.serverless import ServerlessRoute
from mooring.serverless.concurrency import Concurrency, Taken
from mooring.serverless.wanting import Wanting

UID = "0" * 32
PROCESSORS = 4
"""Of the machine: so many replicas start at full speed."""
REPORT_S = 1.0


class NoLocks:
    """There is one gateway."""

    def take(self, first: int, slot: int) -> bool:
        return True

    def free(self, first: int, slot: int) -> None:
        pass


@dataclass(eq=False)
class Replica:
    ejected: bool = False


@dataclass
class Result:
    """What a run came to."""

    calls: int = 0
    waits: list[float] = field(default_factory=list)
    cold: int = 0
    """Calls that waited for a replica."""
    throttled: int = 0
    given_up: int = 0
    starts: int = 0
    replica_s: float = 0.0
    busy_s: float = 0.0

    def wait(self, percent: float) -> float:
        ranked = sorted(self.waits)
        return ranked[min(len(ranked) - 1, math.ceil(len(ranked) * percent / 100) - 1)] if ranked else 0.0


@dataclass(eq=False)
class Call:
    """One call, as `mooring.serverless.concurrency` holds it."""

    run: Run
    came_at: float
    service: float
    slot: int = -1
    until: float = 0.0

    def go(self, replica: Any) -> None:
        now = self.run.now
        self.run.result.waits.append(now - self.came_at)
        self.run.result.busy_s += self.service
        self.run.at(now + self.service, lambda: self.run.over(self))

    def give_up(self) -> None:
        self.run.result.given_up += 1

    def throttle(self) -> None:
        self.run.result.throttled += 1

    def fail(self, reason: str) -> None:
        raise AssertionError(reason)

    def begin_again(self, pipeline: Any) -> None:
        raise AssertionError(pipeline)


class Run:
    """One load on one variant."""

    def __init__(self, concurrency: int, idle_s: float, hold_s: float, start_s: float) -> None:
        self.now = 0.0
        self.result = Result()
        self._start_s, self._most = start_s, concurrency
        self._route = ServerlessRoute(UID, concurrency, 0, hold_s)
        self._slots = Concurrency("v", self._route, Taken(UID, NoLocks()))  # type: ignore[arg-type]
        self._slots.follow(self._route, {})
        self._wanting = Wanting(idle_s)
        self._live: dict[int, Replica] = {}
        self._since: dict[int, float] = {}
        self._starting: set[int] = set()
        self._events: list[tuple[float, int, Any]] = []
        self._count = 0
        self._reporting = False

    def at(self, time: float, action: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (time, self._count, action))

    def run(self, load: Load, services: Sequence[float]) -> Result:
        for at, service in zip(load.arrivals, services, strict=True):
            self.at(at, lambda at=at, service=service: self._arrive(Call(self, at, service)))
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            if self.now > load.seconds:
                break
            action()
        for slot in self._live:
            self.result.replica_s += load.seconds - self._since[slot]
        return self.result

    def _arrive(self, call: Call) -> None:
        self.result.calls += 1
        call.slot = self._slots.take()
        if call.slot < 0:
            self.result.throttled += 1
            return
        if (replica := self._slots.replica(call.slot)) is not None:
            call.go(replica)
            return
        self.result.cold += 1
        call.until = self.now + self._slots.hold_s
        self._slots.hold(call)
        self.at(call.until, lambda: self._slots.expire(self.now))
        self._demand()
        if not self._reporting:
            self._reporting = True
            self.at(self.now + REPORT_S, self._report)

    def over(self, call: Call) -> None:
        self._slots.release(call.slot)

    def _demand(self) -> None:
        if (told := self._slots.demanded()) is not None:
            self._wanting.demand(told.slots, self.now)
        for slot in self._wanting.started(0, self._most, self.now) - self._live.keys() - self._starting:
            self._starting.add(slot)
            self.result.starts += 1
            share = max(1.0, len(self._starting) / PROCESSORS)
            self.at(self.now + self._start_s * share, lambda slot=slot: self._up(slot))

    def _up(self, slot: int) -> None:
        self._starting.discard(slot)
        self._live[slot] = Replica()
        self._since[slot] = self.now
        self._wanting.use([slot], self.now)
        self._slots.follow(self._route, self._live)  # type: ignore[arg-type]

    def _report(self) -> None:
        """As each second: what is in use, what is asked for, and who has idled for too long."""
        if (told := self._slots.report()) is not None:
            self._wanting.use(told.slots, self.now)
        self._demand()
        gone = self._live.keys() - self._wanting.kept(self._live, 0, self._most, self.now)
        for slot in gone:
            del self._live[slot]
            self.result.replica_s += self.now - self._since[slot]
        if gone:
            self._slots.follow(self._route, self._live)  # type: ignore[arg-type]
        self._reporting = bool(self._live or self._starting or self._slots.waits)
        if self._reporting:
            self.at(self.now + REPORT_S, self._report)
