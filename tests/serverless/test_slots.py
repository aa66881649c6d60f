"""The slots of a serverless variant under several gateways: a state machine, whose gateways may die at any moment."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mooring.hosting.serverless import ServerlessRoute
from mooring.serverless.concurrency import Concurrency, Taken
from mooring.serverless.locking import SlotLocks, first_byte
from mooring.upstream.replica import Replica

UID = "0123456789ab4cdef0123456789abcde"
MOST = 6


@dataclass(eq=False)
class Place:
    """A replica, as far as slots are concerned."""

    slot: int
    ejected: bool = False


@dataclass(eq=False)
class Call:
    """One call, and what became of it."""

    number: int
    slot: int = -1
    until: float = 0.0
    state: str = "new"
    replica: Place | None = None
    told: list[str] = field(default_factory=list)

    def go(self, replica: Replica) -> None:
        assert self.state == "held", "only a call that waits goes"
        self.state, self.replica = "running", cast(Place, replica)

    def throttle(self) -> None:
        self.state = "throttled"

    def give_up(self) -> None:
        self.state = "gave up"

    def fail(self, reason: str) -> None:
        self.state = "failed"

    def begin_again(self, pipeline: Any) -> None:
        self.state = "elsewhere"


class Gateway:
    """The slots in one process: a descriptor of its own is what makes it one to the kernel."""

    def __init__(self, path: Path) -> None:
        self.locks = SlotLocks(path)
        self.taken = Taken(UID, self.locks)
        self.concurrency = Concurrency("v", route(MOST), self.taken)
        self.calls: list[Call] = []

    def running(self) -> list[Call]:
        return [call for call in self.calls if call.state == "running"]

    def held(self) -> list[Call]:
        return [call for call in self.calls if call.state == "held"]


def route(most: int) -> ServerlessRoute:
    return ServerlessRoute(UID, most, 0, 30.0)


class Slots(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.path = Path(self._directory.name) / "slots"
        self.replicas: dict[int, Place] = {}
        self.most = MOST
        self.numbers = 0

    @initialize()
    def begin(self) -> None:
        self.gateways = [Gateway(self.path) for _ in range(2)]
        self.publish()

    def teardown(self) -> None:
        for gateway in self.gateways:
            gateway.locks.close()
        self._directory.cleanup()

    def publish(self) -> None:
        for gateway in self.gateways:
            gateway.concurrency.follow(route(self.most), cast(dict[int, Replica], dict(self.replicas)))

    @rule(which=st.integers(0, 1))
    def call(self, which: int) -> None:
        gateway = self.gateways[which]
        busy = {call.slot for each in self.gateways for call in (*each.running(), *each.held())}
        free = set(range(self.most)) - busy
        live = {slot for slot in free if slot in self.replicas and not self.replicas[slot].ejected}
        call = Call(self.numbers)
        self.numbers += 1
        gateway.calls.append(call)
        call.slot = gateway.concurrency.take()
        if call.slot < 0:
            call.state = "throttled"
            assert not free, "a call is throttled only when all slots are taken"
            return
        assert call.slot in (live or free), "a replica that is free is preferred"
        replica = gateway.concurrency.replica(call.slot)
        call.state = "held"
        if replica is None:
            gateway.concurrency.hold(call)
        else:
            call.go(replica)

    @rule(which=st.integers(0, 1), data=st.data())
    def end(self, which: int, data: st.DataObject) -> None:
        gateway = self.gateways[which]
        if running := gateway.running():
            call = data.draw(st.sampled_from(running))
            call.state = "over"
            first = next(iter(gateway.held()), None)
            replica = gateway.concurrency.replica(call.slot)
            gateway.concurrency.release(call.slot)
            if first is not None and replica is not None:
                assert first.state == "running", "who came first goes first"

    @rule(which=st.integers(0, 1), data=st.data())
    def leave(self, which: int, data: st.DataObject) -> None:
        gateway = self.gateways[which]
        if held := gateway.held():
            call = data.draw(st.sampled_from(held))
            assert gateway.concurrency.leave(call)
            call.state = "left"
            assert not gateway.concurrency.leave(call)

    @rule(slot=st.integers(0, MOST - 1))
    def replica_comes(self, slot: int) -> None:
        if slot < self.most:
            self.replicas[slot] = Place(slot)
            self.publish()

    @rule(data=st.data())
    def replica_goes(self, data: st.DataObject) -> None:
        if self.replicas:
            del self.replicas[data.draw(st.sampled_from(sorted(self.replicas)))]
            self.publish()

    @rule(data=st.data())
    def replica_refuses(self, data: st.DataObject) -> None:
        if self.replicas:
            replica = self.replicas[data.draw(st.sampled_from(sorted(self.replicas)))]
            replica.ejected = not replica.ejected

    @rule(which=st.integers(0, 1))
    def pump(self, which: int) -> None:
        self.gateways[which].concurrency.pump()
        self.gateways[which].concurrency.report()

    @rule(which=st.integers(0, 1), slots=st.lists(st.integers(0, MOST - 1), unique=True))
    def cannot_be_started(self, which: int, slots: list[int]) -> None:
        self.gateways[which].concurrency.unstarted(slots, "why")

    @rule(most=st.integers(1, MOST))
    def limit(self, most: int) -> None:
        self.most = most
        self.replicas = {slot: replica for slot, replica in self.replicas.items() if slot < most}
        self.publish()

    @rule(which=st.integers(0, 1))
    def gateway_dies(self, which: int) -> None:
        """The kernel frees what it held; the next one begins with nothing."""
        self.gateways[which].locks.close()
        self.gateways[which] = Gateway(self.path)
        self.publish()

    @rule(which=st.integers(0, 1))
    def everyone_is_given_up(self, which: int) -> None:
        self.gateways[which].concurrency.expire(float("inf"))
        assert not self.gateways[which].held()

    @invariant()
    def a_slot_is_one_calls(self) -> None:
        taken = [call.slot for each in self.gateways for call in (*each.running(), *each.held())]
        assert len(taken) == len(set(taken))
        for gateway in self.gateways:
            assert gateway.taken.mask == sum(1 << call.slot for call in (*gateway.running(), *gateway.held()))

    @invariant()
    def who_waits_is_asked_for(self) -> None:
        for gateway in self.gateways:
            demanded = gateway.concurrency.demanded()
            assert sorted(demanded.slots if demanded else []) == sorted(call.slot for call in gateway.held())
            assert gateway.concurrency.waits == bool(gateway.held())

    @invariant()
    def nobody_waits_beside_a_replica_that_came(self) -> None:
        for gateway in self.gateways:
            for call in gateway.held():
                replica = self.replicas.get(call.slot)
                assert call.slot < self.most
                assert replica is None or replica.ejected or gateway.concurrency.replica(call.slot) is not None


Slots.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSlots = Slots.TestCase


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    path = tmp_path / "slots"
    program = (
        "import sys, time; from pathlib import Path; from mooring.serverless.locking import SlotLocks;"
        f"locks = SlotLocks(Path({str(path)!r})); print(all(locks.take(0, slot) for slot in range(3)), flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        locks = SlotLocks(path)
        assert [locks.take(0, slot) for slot in range(4)] == [False, False, False, True]
        assert locks.take(first_byte(UID), 0), "another endpoint's slots are others"
        holder.kill()
        holder.wait()
        assert all(locks.take(0, slot) for slot in range(3))
        locks.free(0, 1)
    other = SlotLocks(path)
    assert [other.take(0, slot) for slot in range(3)] == [False, True, False]
    locks.close()
    assert other.take(0, 0)
    other.close()
    assert path.stat().st_size == 0
