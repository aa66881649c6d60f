"""The replicas of serverless variants: started when a gateway holds a call for one, taken away when they are idle.

One for each endpoint's worker, which calls it in its passes; what gateways say is noted in between. Guarantees: never
more replicas than MaxConcurrency, those included that are ending; none is taken away while it loads, and one with a
call only by way of its route, which lets the call finish; a model that cannot be started is tried ever more seldom,
and whoever waits for it meanwhile is told why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mooring.clock import Clock
from mooring.control.fleet import Fleet
from mooring.control.publishing import RoutePublisher
from mooring.control.replica_life import Place, ReplicaLife, ReplicaState
from mooring.hosting.endpoints import EndpointRecord, VariantState
from mooring.hosting.rollout.targets import VariantTarget
from mooring.hosting.serverless import Slots, max_concurrency, provisioned
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series, dimensions
from mooring.serverless.wanting import Wanting
from mooring.settings import Settings

NAMESPACE = "AWS/SageMaker"
SOONEST_LOOK_S = 0.1
"""For replicas that are idle and may not go yet."""
SHORTEST_IDLE_S = 2.0
"""Gateways tell of use each second."""
_LIVING = (ReplicaState.STARTING, ReplicaState.HEALTHY)


@dataclass(slots=True)
class _Elastic:
    """One variant of one fleet."""

    wanting: Wanting
    began: dict[str, float] = field(default_factory=dict)
    """Since when each replica starts, by its id."""
    came_up: set[str] = field(default_factory=set)
    executing: set[int] = field(default_factory=set)
    """Slots with calls since `executions` was asked."""
    least: int = 0
    max_concurrency: int = 0
    provisioned: int = 0


class Elasticity:
    """Of one endpoint."""

    def __init__(self, uid: str, fleet: Fleet, settings: Settings, clock: Clock, publisher: RoutePublisher) -> None:
        self._uid = uid
        self._fleet = fleet
        self._settings = settings
        self._clock = clock
        self._publisher = publisher
        self._elastic: dict[Place, _Elastic] = {}
        self._series: tuple[str, str, str] = ("", "", "")
        self._setups: list[tuple[str, float]] = []

    # What gateways say

    def demand(self, asked: Slots) -> bool:
        """Calls are held for these slots; whether that is news."""
        place = Place(asked.generation, asked.variant)
        elastic = self._elastic.get(place)
        if elastic is None:
            return False
        filled = self._fleet.in_slots(place)
        # One that is idle is out of the route already, and not told to leave before every gateway knows that.
        there = {slot for slot, life in filled.items() if life.state is ReplicaState.STARTING}
        there |= self._staying(elastic, filled)
        now = self._clock.monotonic()
        elastic.wanting.demand(asked.slots, now)
        elastic.wanting.use(asked.slots, now)
        return not there.issuperset(asked.slots)

    def use(self, used: Slots) -> None:
        """These slots have or had calls."""
        if (elastic := self._elastic.get(Place(used.generation, used.variant))) is not None:
            elastic.wanting.use(used.slots, self._clock.monotonic())
            elastic.executing.update(used.slots)

    # What a pass does

    def look(self, record: EndpointRecord, generation: int, target: VariantTarget) -> None:
        """See what is wished of a variant, and which of its replicas have come up."""
        place = Place(generation, target.variant.name)
        elastic = self._elastic.get(place)
        if elastic is None:
            idle_s = max(self._settings.serverless.idle_s, SHORTEST_IDLE_S)
            elastic = self._elastic[place] = _Elastic(Wanting(idle_s))
        config = target.variant.config
        elastic.least, elastic.max_concurrency = target.count, max_concurrency(config)
        elastic.provisioned = provisioned(config)
        self._series = (record.scope.account, record.scope.region, record.name)
        self._notice(place, elastic, self._clock.monotonic())

    def start(self, generation: int, variant: VariantState, region: str) -> float | None:
        """Start what lacks; returns the seconds until a start that must wait may be tried."""
        place = Place(generation, variant.name)
        elastic = self._elastic[place]
        now = self._clock.monotonic()
        wanted = elastic.wanting.started(elastic.least, elastic.max_concurrency, now)
        wait = self._fleet.start_in_slots(generation, variant, wanted, region, elastic.wanting.demanded(now))
        for life in self._fleet.in_slots(place).values():
            if life.state is ReplicaState.STARTING and life.replica is None:
                elastic.began.setdefault(life.id, now)
        failure = self._fleet.start_failure(place, self._settings.replicas.start_attempts)
        if failure is not None:
            self._refuse(place, elastic, failure, now)
        return wait

    def kept(self, place: Place) -> list[ReplicaLife]:
        """The replicas that stay, by their slots: those that load, and those that are not idle."""
        elastic = self._elastic[place]
        living = {slot: life for slot, life in self._fleet.in_slots(place).items() if life.state in _LIVING}
        stay = self._staying(elastic, living)
        return [
            living[slot]
            for slot in sorted(living)
            if slot < elastic.max_concurrency and (slot in stay or living[slot].state is ReplicaState.STARTING)
        ]

    def next_look_s(self, place: Place) -> float | None:
        """When a replica will be idle for too long; soon for one that has become so since the pass chose."""
        elastic = self._elastic[place]
        healthy = [slot for slot, life in self._fleet.in_slots(place).items() if life.state is ReplicaState.HEALTHY]
        end = elastic.wanting.next_end(healthy, elastic.least, self._clock.monotonic())
        return max(end, SOONEST_LOOK_S) if end is not None else None

    def forget(self, wanted: Callable[[int], bool]) -> None:
        """Forget the fleets of generations that are not `wanted`."""
        for place in [place for place in self._elastic if not wanted(place.generation)]:
            del self._elastic[place]

    # What is measured

    def executions(self, at: int) -> Iterator[Point]:
        """What was seen since the last time, as points of the second `at`."""
        for variant, seconds in self._setups:
            yield self._point(variant, "ModelSetupTime", "Microseconds", seconds * 1e6, at)
        self._setups.clear()
        for place, elastic in self._elastic.items():
            executing, elastic.executing = elastic.executing, set()
            if not executing or not elastic.max_concurrency:
                continue
            told = [("ServerlessConcurrentExecutionsUtilization", "None", len(executing) / elastic.max_concurrency)]
            if elastic.provisioned:
                warm = sum(slot < elastic.provisioned for slot in executing)
                told += [
                    ("ServerlessProvisionedConcurrencyExecutions", "Count", float(warm)),
                    ("ServerlessProvisionedConcurrencyUtilization", "None", warm / elastic.provisioned),
                ]
            for name, unit, value in told:
                yield self._point(place.variant, name, unit, value, at)

    def _point(self, variant: str, name: str, unit: str, value: float, at: int) -> Point:
        account, region, endpoint = self._series
        pairs = dimensions({"EndpointName": endpoint, "VariantName": variant})
        return Point(Series(account, region, NAMESPACE, name, pairs, unit), at, Distribution.repeated(value, 1.0))

    # Inside

    def _staying(self, elastic: _Elastic, lives: dict[int, ReplicaLife]) -> set[int]:
        healthy = {slot for slot, life in lives.items() if life.state is ReplicaState.HEALTHY}
        return elastic.wanting.kept(healthy, elastic.least, elastic.max_concurrency, self._clock.monotonic())

    def _notice(self, place: Place, elastic: _Elastic, now: float) -> None:
        """Replicas that have come up since the last pass."""
        lives = self._fleet.in_slots(place)
        living = {life.id for life in lives.values()}
        elastic.came_up &= living
        for slot, life in lives.items():
            if life.state is ReplicaState.HEALTHY and life.id not in elastic.came_up:
                elastic.came_up.add(life.id)
                elastic.wanting.use([slot], now)
                self._fleet.came_up(place)
                if (began := elastic.began.get(life.id)) is not None:
                    self._setups.append((place.variant, now - began))
        elastic.began = {life: at for life, at in elastic.began.items() if life in living - elastic.came_up}

    def _refuse(self, place: Place, elastic: _Elastic, failure: str, now: float) -> None:
        """Tell the gateways that hold calls for replicas which cannot be started."""
        filled = self._fleet.in_slots(place)
        slots = [slot for slot in elastic.wanting.demanded(now) if slot not in filled]
        if not slots:
            return
        elastic.wanting.refuse(slots)
        message: dict[str, Any] = {"unstarted": Slots(self._uid, *place, slots), "reason": failure}
        self._publisher.tell_each(lambda _: message)
