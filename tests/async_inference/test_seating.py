"""Places at replicas: in order, and never lost, whatever is given up while it waits."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from mooring.async_inference.calling import Unsent
from mooring.async_inference.hand import InHand
from mooring.async_inference.room import Room
from mooring.async_inference.seating import LaneGone, Seating, refuse
from mooring.hosting.async_jobs import QueuedJob
from mooring.hosting.routes import RouteReplica, RouteVariant


class FakeRoom:
    is_there = True


def seating(room: FakeRoom | None = None, *ids: str) -> Seating:
    made = Seating(cast(Room, room or FakeRoom()))
    made.follow([variant(*ids)], 1)
    return made


def variant(*ids: str) -> RouteVariant:
    return RouteVariant("v", 1.0, tuple(RouteReplica(each, f"/{each}") for each in ids))


def held(seats: Seating) -> InHand:
    return InHand(cast(QueuedJob, None), "v", seats.dispatcher.draw())


async def waiting(seats: Seating, each: InHand, order: list[InHand]) -> None:
    await seats.wait(each)
    order.append(each)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_places_are_given_in_order() -> None:
    async def run() -> None:
        seats, order = seating(None, "i-1"), list[InHand]()
        first, second = held(seats), held(seats)
        third = InHand(cast(QueuedJob, None), "v", second.lane)
        assert seats.take(first)
        tasks = [asyncio.create_task(waiting(seats, each, order)) for each in (second, third)]
        await settle()
        late = InHand(cast(QueuedJob, None), "v", second.lane)
        assert order == []
        assert not seats.take(late), "nobody overtakes who waits"
        seats.leave(first)
        await settle()
        assert order == [second]
        seats.leave(second)
        await settle()
        assert order == [second, third]
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_who_is_cancelled_or_ended_leaves_its_place_to_the_next() -> None:
    async def run() -> None:
        seats, order = seating(None, "i-1"), list[InHand]()
        first, second = held(seats), held(seats)
        third = InHand(cast(QueuedJob, None), "v", second.lane)
        assert seats.take(first)
        cancelled = asyncio.create_task(waiting(seats, second, order))
        ended = asyncio.create_task(waiting(seats, third, order))
        await settle()
        cancelled.cancel()
        refuse(third)
        seats.leave(first)
        await asyncio.wait({cancelled, ended})
        assert cancelled.cancelled()
        with pytest.raises(LaneGone):
            ended.result()
        assert order == []
        seats.leave(second)
        assert seats.dispatcher.busy("i-1") == 0

    asyncio.run(run())


def test_a_place_that_comes_with_the_cancellation_is_given_back() -> None:
    async def run() -> None:
        seats = seating(None, "i-1")
        first, second = held(seats), held(seats)
        assert seats.take(first)
        task = asyncio.create_task(seats.wait(second))
        await settle()
        seats.leave(first)  # the place is second's now
        task.cancel()
        await asyncio.wait({task})
        assert second.seat is not None
        assert seats.dispatcher.busy("i-1") == 1
        seats.leave(second)
        assert seats.dispatcher.busy("i-1") == 0

    asyncio.run(run())


def test_who_waits_for_a_variant_without_replicas_goes_back() -> None:
    async def run() -> None:
        seats = seating(None, "i-1")
        first, second = held(seats), held(seats)
        assert seats.take(first)
        task = asyncio.create_task(seats.wait(second))
        await settle()
        seats.follow([variant()], 1)
        with pytest.raises(LaneGone):
            await task
        assert seats.dispatcher.busy("i-1") == 1, "what it has goes on"
        assert seats.leave(first), "its replica is idle, and no route names it"

    asyncio.run(run())


def quick(seats: Seating) -> None:
    """Have the one replica of a lane be known for short calls."""
    [lane] = seats.dispatcher.lanes()
    [seat] = lane.seats.values()
    seat.took_s = 0.001


def test_a_job_that_is_claimed_ahead_is_called_in_its_turn() -> None:
    async def run() -> None:
        seats = seating(None, "i-1")
        quick(seats)
        first, second, third = held(seats), held(seats), held(seats)
        assert seats.take(first)
        assert seats.take(second)
        assert not seats.take(third), "one ahead of each call"
        await seats.begin(first)
        turn = asyncio.create_task(seats.begin(second))
        await settle()
        assert not turn.done()
        seats.end(first, 0.001)
        await turn
        assert second.seat is not None
        assert second.seat.calling == 1
        seats.leave(first)
        seats.leave(second)
        assert second.calling is False

    asyncio.run(run())


@pytest.mark.parametrize("why", ["cancelled", "cancelled in its turn", "gone"])
def test_a_turn_that_is_given_up_goes_to_the_next(why: str) -> None:
    async def run() -> None:
        seats = seating(None, "i-1")
        quick(seats)
        first, second = held(seats), held(seats)
        assert seats.take(first)
        assert seats.take(second)
        await seats.begin(first)
        seat = first.seat
        assert seat is not None
        turn = asyncio.create_task(seats.begin(second))
        await settle()
        if why == "gone":
            seats.follow([variant()], 1)
        else:
            if why == "cancelled in its turn":
                seats.end(first, None)
            turn.cancel()
        await asyncio.wait({turn})
        assert isinstance(turn.exception(), Unsent) if why == "gone" else turn.cancelled()
        seats.leave(second)
        seats.leave(first)
        assert (seat.busy, seat.calling) == (0, 0)

    asyncio.run(run())


def test_no_place_is_given_while_the_disk_is_full() -> None:
    async def run() -> None:
        room = FakeRoom()
        seats = seating(room, "i-1")
        room.is_there = False
        first = held(seats)
        assert not seats.take(first)
        task = asyncio.create_task(seats.wait(first))
        await settle()
        seats.fill()
        await settle()
        assert not task.done()
        room.is_there = True
        seats.fill()
        await task

    asyncio.run(run())
