"""Places at replicas, first come first served among the jobs of a variant that have their input at hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from mooring.async_inference.calling import Unsent
from mooring.async_inference.dispatching import Dispatcher, Lane, Seat
from mooring.async_inference.hand import InHand
from mooring.async_inference.room import Room
from mooring.hosting.routes import RouteVariant


class LaneGone(Exception):
    """The job is not to be called as it was drawn: no route names the variant any more, or somebody ends it."""


class Seating:
    """Of one endpoint."""

    def __init__(self, room: Room) -> None:
        self.dispatcher = Dispatcher()
        self._room = room
        self._lines: dict[int, deque[InHand]] = {}
        self._lanes: dict[int, Lane] = {}
        self._claimed: dict[int, deque[tuple[Seat, asyncio.Future[None]]]] = {}

    def follow(self, variants: Iterable[RouteVariant], concurrency: int) -> None:
        """Follow a route; who waits for a variant without replicas is sent back to the queue."""
        self.dispatcher.follow(variants, concurrency)
        for key, lane in list(self._lanes.items()):
            if lane.gone or not lane.seats:
                for each in self._lines[key]:
                    refuse(each)
        for key, claimed in list(self._claimed.items()):
            if claimed and claimed[0][0].gone:
                del self._claimed[key]
                for _, turn in claimed:
                    if not turn.done():
                        turn.set_exception(Unsent())
        self.fill()

    def take(self, held: InHand) -> bool:
        """Whether there was a place, and nobody before."""
        lane = held.lane
        if lane is None or self._lines.get(id(lane)) or not self._room.is_there:
            return False
        held.seat = self.dispatcher.take(lane)
        return held.seat is not None

    async def wait(self, held: InHand) -> None:
        """Until there is a place. Raises `LaneGone`."""
        lane = held.lane
        if lane is None or lane.gone or not lane.seats or held.ending:
            raise LaneGone
        self._lanes[id(lane)] = lane
        self._lines.setdefault(id(lane), deque()).append(held)
        held.waiting = asyncio.get_running_loop().create_future()
        try:
            held.seat = await held.waiting
        finally:
            waiting, held.waiting = held.waiting, None
            if held.seat is None and waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                held.seat = waiting.result()  # cancelled just as it got its place: who leaves for it gives it back

    async def begin(self, held: InHand) -> None:
        """Until a job that is claimed may be called, in turn. Raises `Unsent` where its replica leaves before."""
        seat = held.seat
        if seat is None or seat.gone:
            raise Unsent
        line = self._claimed.setdefault(id(seat), deque())
        if line or not self.dispatcher.begin(seat):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            line.append((seat, turn))
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.dispatcher.end(seat, None)  # given up just as it had its turn
                raise
        held.calling = True

    def end(self, held: InHand, took_s: float | None = None) -> None:
        """The call of a job is over; doing it twice does nothing."""
        seat = held.seat
        if seat is not None and held.calling:
            held.calling = False
            self.dispatcher.end(seat, took_s)
            self._next(seat)

    def vacate(self, seat: Seat) -> bool:
        """A call of a former control is over. Whether its replica has left its route, and is idle now."""
        idle = self.dispatcher.vacate(seat)
        self._next(seat)
        return idle

    def _next(self, seat: Seat) -> None:
        line = self._claimed.get(id(seat))
        while line:
            if line[0][1].done():
                line.popleft()
            elif self.dispatcher.begin(seat):
                line.popleft()[1].set_result(None)
            else:
                return
        self._claimed.pop(id(seat), None)

    def leave(self, held: InHand) -> bool:
        """The job has no place and no lane any more. Whether its replica has left its route, and is idle now."""
        self.end(held)
        lane, held.lane = held.lane, None
        if lane is not None:
            self.dispatcher.unassign(lane)
        seat, held.seat = held.seat, None
        idle = seat is not None and self.dispatcher.leave(seat)
        self.fill()
        return idle

    def fill(self) -> None:
        """Give the places that are free to those who wait."""
        for key, line in list(self._lines.items()):
            self._fill(self._lanes[key], line)
            if not line:
                del self._lines[key], self._lanes[key]

    def _fill(self, lane: Lane, line: deque[InHand]) -> None:
        while line:
            waiting = line[0].waiting
            if waiting is not None and not waiting.done():
                seat = self.dispatcher.take(lane) if self._room.is_there else None
                if seat is None:
                    return
                waiting.set_result(seat)
            line.popleft()


def refuse(held: InHand) -> None:
    """Have a job that waits for a place wait no more."""
    if held.waiting is not None and not held.waiting.done():
        held.waiting.set_exception(LaneGone())
