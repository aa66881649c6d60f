"""Which variant takes the next job, and which of its replicas: rules without clocks and without waiting.

The variants of an endpoint get jobs exactly as their weights say, whatever their speed: the next one is drawn by smooth
weighted turns, and while the one that is drawn has no room nothing is drawn. So a canary of 1 % gets 1 % of a burst
too. Each variant may have a few more jobs than its replicas take, whose inputs are read meanwhile. No replica ever has
more calls than `concurrency`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mooring.hosting.routes import RouteReplica, RouteVariant

LEAST_AHEAD, MOST_AHEAD = 8, 32
"""Jobs of a variant that wait for a replica with their input at hand."""


SLOW_S = 1.0
QUICK_S = 0.05
"""Where calls take less, a few jobs are claimed for a replica before it is free, as that takes as long as a call. They
wait there for moments, even if another replica is free sooner."""
MOST_CLAIMED_AHEAD = 8


@dataclass(slots=True, eq=False)
class Seat:
    """A replica, and how many calls it has."""

    replica: RouteReplica
    busy: int = 0
    """Jobs that have a place here."""
    calling: int = 0
    """Those of them that are called; the others are claimed, and wait for the next call to end."""
    took_s: float = SLOW_S
    """About the time that a call takes, lately."""
    gone: bool = False
    """No route names it any more; what it has goes on."""


@dataclass(slots=True, eq=False)
class Lane:
    """One variant of one fleet."""

    name: str
    config: str | None
    weight: float = 0.0
    seats: dict[str, Seat] = field(default_factory=dict)
    assigned: int = 0
    """Jobs that were drawn for it and whose model has not answered yet."""
    credit: float = 0.0
    gone: bool = False


class Dispatcher:
    """Of one endpoint."""

    def __init__(self) -> None:
        self.concurrency = 1
        self._assigned = 0
        self._lanes: dict[tuple[str, str | None], Lane] = {}
        self._seats: dict[str, Seat] = {}

    def follow(self, variants: Iterable[RouteVariant], concurrency: int) -> None:
        """Follow a route. A replica that returns has the calls that it had."""
        self.concurrency = concurrency
        lanes = {}
        named: set[str] = set()
        for variant in variants:
            key = (variant.name, variant.config)
            lane = self._lanes.get(key) or Lane(*key)
            lane.weight = variant.weight
            lane.seats = {replica.id: self._seat(replica) for replica in variant.replicas}
            named.update(lane.seats)
            lanes[key] = lane
        for key, lane in self._lanes.items():
            if key not in lanes:
                lane.gone, lane.seats = True, {}
        for replica_id in [each for each in self._seats if each not in named]:
            self._let_go(replica_id)
        self._lanes = lanes

    def draw(self) -> Lane | None:
        """The lane of the next job, which is assigned to it; None while it has no room, or no lane has a replica."""
        drawn = self._next()
        if drawn is None:
            return None
        able = self._able()
        for lane in able:
            lane.credit += lane.weight
        drawn.credit -= sum(lane.weight for lane in able)
        drawn.assigned += 1
        self._assigned += 1
        return drawn

    def may_draw(self) -> bool:
        """Whether `draw` would find a lane."""
        return self._next() is not None

    def _able(self) -> list[Lane]:
        return [lane for lane in self._lanes.values() if lane.seats and lane.weight > 0]

    def _next(self) -> Lane | None:
        able = self._able()
        if not able:
            return None
        drawn = max(able, key=lambda lane: lane.credit + lane.weight)
        return None if drawn.assigned >= self.room(drawn) else drawn

    def room(self, lane: Lane) -> int:
        """Jobs that a lane may have assigned."""
        seats = len(lane.seats) * self.concurrency
        return seats + min(max(seats, LEAST_AHEAD), MOST_AHEAD)

    def unassign(self, lane: Lane) -> None:
        """A job that was drawn is with its replica no more, or goes back."""
        lane.assigned -= 1
        self._assigned -= 1

    def take(self, lane: Lane) -> Seat | None:
        """A place at the least busy replica of a lane; None while all have as many calls as they may."""
        free = [seat for seat in lane.seats.values() if seat.busy < self.concurrency + self._ahead(seat)]
        if not free:
            return None
        seat = min(free, key=lambda each: each.busy)
        seat.busy += 1
        return seat

    def begin(self, seat: Seat) -> bool:
        """Whether a job that has a place may be called now."""
        if seat.calling >= self.concurrency:
            return False
        seat.calling += 1
        return True

    def end(self, seat: Seat, took_s: float | None) -> None:
        """A call is over. `took_s` is None where that says nothing."""
        seat.calling -= 1
        if took_s is not None:
            seat.took_s += (took_s - seat.took_s) / 4

    def _ahead(self, seat: Seat) -> int:
        return min(self.concurrency, MOST_CLAIMED_AHEAD) if seat.took_s < QUICK_S else 0

    def occupy(self, replica_id: str) -> Seat:
        """A call of an earlier control may still run there: it takes a place, be there one or not."""
        seat = self._seats.get(replica_id)
        if seat is None:
            seat = self._seats[replica_id] = Seat(RouteReplica(replica_id, ""), gone=True)
        seat.busy += 1
        seat.calling += 1
        return seat

    def vacate(self, seat: Seat) -> bool:
        """A call that had its place by `occupy` is over."""
        self.end(seat, None)
        return self.leave(seat)

    def leave(self, seat: Seat) -> bool:
        """A call is over. Whether the replica has left its route and has none any more."""
        seat.busy -= 1
        if seat.gone and not seat.busy:
            self._seats.pop(seat.replica.id, None)
            return True
        return False

    def busy(self, replica_id: str) -> int:
        """Calls that a replica has."""
        seat = self._seats.get(replica_id)
        return 0 if seat is None else seat.busy

    @property
    def assigned(self) -> int:
        """Jobs of all lanes, also of those that are gone, whose model has not answered yet."""
        return self._assigned

    @property
    def replicas(self) -> int:
        """Replicas that take jobs."""
        return sum(len(lane.seats) for lane in self._lanes.values() if lane.weight > 0)

    def lanes(self) -> Iterator[Lane]:
        """Those of the route."""
        yield from self._lanes.values()

    def _seat(self, replica: RouteReplica) -> Seat:
        seat = self._seats.get(replica.id)
        if seat is None:
            seat = self._seats[replica.id] = Seat(replica)
        seat.replica, seat.gone = replica, False
        return seat

    def _let_go(self, replica_id: str) -> None:
        seat = self._seats[replica_id]
        seat.gone = True
        if not seat.busy:
            del self._seats[replica_id]
