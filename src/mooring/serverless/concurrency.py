"""The slots of one serverless variant, as one gateway sees them: who may begin, who waits, and who goes next.

A call has a slot from `take` to `release`, locked for all gateways (`locking`), so the limit holds whoever admits, and
a replica, which fills one slot, has one call at a time. A slot with a replica is taken before one without, the lowest
first, so that what is too much falls idle. A call whose slot has no replica is *held*, with its slot; the call that
came first goes first, with whichever replica of this gateway's comes or falls free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from mooring.hosting.serverless import ServerlessRoute, Slots
from mooring.serverless.locking import SlotLocks, first_byte
from mooring.upstream.replica import Replica


class Held(Protocol):
    """A call that waits. Whatever it is told, it is held no longer and its slot is free, but for `go`."""

    slot: int
    until: float
    """When it has waited for too long."""

    def go(self, replica: Replica) -> None:
        """Its slot has this replica."""
        ...

    def throttle(self) -> None:
        """There are fewer slots now, and none is free."""
        ...

    def give_up(self) -> None:
        """It has waited for too long."""
        ...

    def fail(self, reason: str) -> None:
        """No replica can be started."""
        ...

    def begin_again(self, pipeline: Any) -> None:
        """Its fleet is gone; this is what serves its endpoint now, or None when there is no such endpoint."""
        ...


class Taken:
    """The slots of one endpoint that this gateway has locked: its fleets share them."""

    __slots__ = ("__weakref__", "_first", "_locks", "mask")

    def __init__(self, uid: str, locks: SlotLocks) -> None:
        self._first = first_byte(uid)
        self._locks = locks
        self.mask = 0

    def lock(self, slot: int) -> bool:
        """Whether a slot that this gateway has not is its own now."""
        if not self._locks.take(self._first, slot):
            return False
        self.mask |= 1 << slot
        return True

    def unlock(self, slot: int) -> None:
        self.mask &= ~(1 << slot)
        self._locks.free(self._first, slot)


class Concurrency:
    """Of one variant of one fleet. Sets of slots are the bits of a number."""

    __slots__ = (
        "_all",
        "_by_slot",
        "_elsewhere",
        "_held",
        "_live",
        "_live_mask",
        "_taken",
        "_used",
        "generation",
        "hold_s",
        "provisioned",
        "uid",
        "variant",
    )

    def __init__(self, variant: str, serverless: ServerlessRoute, taken: Taken) -> None:
        self.uid = serverless.uid
        self.generation = serverless.generation
        self.variant = variant
        self.provisioned = 0
        self.hold_s = 0.0
        self._taken = taken
        self._all = 0
        self._live: dict[int, Replica] = {}
        self._live_mask = 0
        self._elsewhere = 0
        """Slots that another gateway had when they were tried: they are tried last, until `report`."""
        self._held: dict[Held, None] = {}
        self._by_slot: dict[int, Held] = {}
        self._used = 0

    @property
    def waits(self) -> bool:
        """Whether a call is held."""
        return bool(self._held)

    def follow(self, serverless: ServerlessRoute, live: Mapping[int, Replica]) -> None:
        """The variant has these limits and these replicas now, and held calls go as far as they can."""
        self.provisioned, self.hold_s = serverless.provisioned, serverless.hold_s
        self._all = (1 << serverless.max_concurrency) - 1
        self._live = {slot: replica for slot, replica in live.items() if slot < serverless.max_concurrency}
        self._live_mask = sum(1 << slot for slot in self._live)
        self._elsewhere = 0
        for call in [call for call in self._held if call.slot >= serverless.max_concurrency]:
            self._move(call)
        self.pump()

    # A call

    def take(self) -> int:
        """A slot for a call, with a replica if there is one that is free; -1 when all slots are taken."""
        slot = self._take_of(self._live_mask & ~self._elsewhere)
        if slot < 0 and self._elsewhere:
            again, self._elsewhere = self._elsewhere & self._live_mask, 0
            slot = self._take_of(again)
        return slot if slot >= 0 else self._take_any(self._all & ~self._elsewhere)

    def replica(self, slot: int) -> Replica | None:
        """The replica that fills a slot, if it can be called."""
        replica = self._live.get(slot)
        return None if replica is None or replica.ejected else replica

    def hold(self, call: Held) -> None:
        """`call` waits with its slot for a replica."""
        self._held[call] = None
        self._by_slot[call.slot] = call

    def leave(self, call: Held) -> bool:
        """`call` is held no longer, and its slot is free. False when it was not held."""
        if call not in self._held:
            return False
        self._drop(call)
        self._unlock(call.slot)
        return True

    def release(self, slot: int) -> None:
        """The call with this slot is over: the next one that waits goes, or the slot is free."""
        if self._held and self._all >> slot & 1 and (replica := self.replica(slot)) is not None:
            call = next(iter(self._held))
            self._drop(call)
            self._unlock(call.slot)
            call.slot = slot
            call.go(replica)
        else:
            self._unlock(slot)

    # Those that wait

    def pump(self) -> None:
        """Let held calls go to replicas that have come, or that other gateways have left free."""
        for slot in [slot for slot in self._by_slot if self.replica(slot) is not None]:
            replica = self.replica(slot)
            if replica is not None and slot in self._by_slot:
                self._first_to(slot).go(replica)
        while self._held and (slot := self._take_of(self._live_mask)) >= 0:
            self.release(slot)

    def expire(self, now: float) -> int:
        """End those that have waited for too long; returns how many these were."""
        over = [call for call in self._held if call.until <= now]
        for call in over:
            if self.leave(call):
                call.give_up()
        return len(over)

    def unstarted(self, slots: list[int], reason: str) -> None:
        """No replica can be started in these slots."""
        for slot in slots:
            call = self._by_slot.get(slot)
            if call is not None and self.replica(slot) is None and self.leave(call):
                call.fail(reason)

    def end(self, pipeline: Any) -> None:
        """There is no such fleet any more."""
        self._live, self._live_mask = {}, 0
        for call in list(self._held):
            if self.leave(call):
                call.begin_again(pipeline)

    # What control is told

    def demanded(self) -> Slots | None:
        """The slots whose calls wait."""
        return self._slots(list(self._by_slot)) if self._by_slot else None

    def report(self) -> Slots | None:
        """The slots that calls have, or had since the last time."""
        used, self._used, self._elsewhere = self._used, 0, 0
        used |= self._taken.mask
        return self._slots(list(_bits(used))) if used else None

    # Inside

    def _slots(self, slots: list[int]) -> Slots:
        return Slots(self.uid, self.generation, self.variant, slots)

    def _take_of(self, among: int) -> int:
        """The lowest slot of these, with a replica that can be called."""
        free = among & ~self._taken.mask
        while free:
            bit = free & -free
            slot = bit.bit_length() - 1
            if not self._live[slot].ejected and self._lock(slot, bit):
                return slot
            free ^= bit
        return -1

    def _take_any(self, among: int) -> int:
        free = among & ~self._taken.mask
        while free:
            bit = free & -free
            slot = bit.bit_length() - 1
            if self._lock(slot, bit):
                return slot
            free ^= bit
        return -1

    def _lock(self, slot: int, bit: int) -> bool:
        if self._taken.lock(slot):
            self._used |= bit
            return True
        self._elsewhere |= bit
        return False

    def _unlock(self, slot: int) -> None:
        self._taken.unlock(slot)

    def _drop(self, call: Held) -> None:
        del self._held[call], self._by_slot[call.slot]

    def _first_to(self, slot: int) -> Held:
        """Give a slot that a held call has to the call that came first; who had it gets that one's."""
        first, other = next(iter(self._held)), self._by_slot[slot]
        self._drop(first)
        if other is not first:
            other.slot = first.slot
            self._by_slot[other.slot] = other
            self._by_slot.pop(slot, None)
            first.slot = slot
        return first

    def _move(self, call: Held) -> None:
        """The slot of a held call is no more."""
        self.leave(call)
        call.slot = self.take()
        if call.slot < 0:
            call.throttle()
        else:
            self.hold(call)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        bit = mask & -mask
        yield bit.bit_length() - 1
        mask ^= bit
