"""One endpoint's fleet and route, moved towards what its record wants.

The order is what keeps requests: what is missing is started; the route names healthy replicas only; and a replica
leaves when every gateway follows a route without it, drains, and ends.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from mooring.control.elasticity import Elasticity
from mooring.control.explainers import EndpointExplainers
from mooring.control.fleet import Fleet
from mooring.control.replica_life import Place, ReplicaLife, ReplicaState
from mooring.control.routing import Routed, route_of
from mooring.control.surroundings import Surroundings
from mooring.hosting.capturing import capture_of
from mooring.hosting.endpoints import EndpointRecord
from mooring.hosting.rollout.targets import FleetTarget, VariantTarget, config_of, targets
from mooring.hosting.routes import Version, route_key

log = logging.getLogger("mooring.control")

ACKNOWLEDGEMENT_TIMEOUT_S = 5.0
RETRY_S = 1.0
LONGEST_ASYNC_CALL_S = 3600.0
"""AWS's bound on InvocationTimeoutSeconds."""


@dataclass(frozen=True, slots=True)
class Grown:
    """How far a fleet has come."""

    complete: Mapping[int, bool]
    """By generation: whether every replica that should run is healthy."""
    next_look_s: float | None
    """When a start that must wait may be tried."""

    @property
    def whole(self) -> bool:
        return all(self.complete.values())


@dataclass(frozen=True, slots=True)
class Reached:
    """What holds after a pass."""

    grown: Grown
    in_effect: bool
    """Whether every gateway follows the route of this pass; not known where nobody asked."""
    settled: bool
    """Whether nothing runs that should not."""
    next_look_s: float | None


class Convergence:
    """The moves of one endpoint's worker."""

    def __init__(
        self, fleet: Fleet, elasticity: Elasticity, explainers: EndpointExplainers, around: Surroundings
    ) -> None:
        self._fleet = fleet
        self._elasticity = elasticity
        self._explainers = explainers
        self._around = around

    def grow(self, record: EndpointRecord) -> Grown:
        """Start what is missing."""
        self._fleet.bury()
        waits, complete = [], {}
        for fleet in targets(record):
            for each in fleet.variants:
                if each.elastic:
                    self._elasticity.look(record, fleet.generation, each)
                if fleet.grows:
                    waits.append(self._start(record, fleet.generation, each))
            complete[fleet.generation] = self._is_complete(fleet)
        return Grown(complete, min((wait for wait in waits if wait is not None), default=None))

    async def towards(self, record: EndpointRecord, *, ask: bool, shrink_if_whole: bool = False) -> Reached:
        """Start, route and stop as the record wants. `ask`: wait until the gateways follow, also if nothing leaves.

        `shrink_if_whole`: let nothing go before everything that is missing is there.
        """
        grown = self.grow(record)
        self._explainers.look(record)
        kept, routed = self._chosen(record)
        route = route_of(record, routed, self._around.settings.gateway, self._around.settings.serverless)
        keyless_s = await self._around.capture_keys.provide(route)
        version = self._around.publisher.publish(route)
        leaving = self._leaving(kept) if grown.whole or not shrink_if_whole else []
        followed = not (ask or leaving) or await self.in_effect(record, version)
        if followed:
            for life in leaving:
                life.leave(functools.partial(self.idle, life))
        settled = followed and all(life.id in kept or life.state is ReplicaState.GONE for life in self._fleet.lives)
        idle_s = [self._elasticity.next_look_s(place) for place in _elastic(record)]
        waits = [grown.next_look_s, keyless_s, *idle_s] if followed else [RETRY_S]
        return Reached(grown, followed, settled, min((wait for wait in waits if wait is not None), default=None))

    async def in_effect(self, record: EndpointRecord, version: Version) -> bool:
        """Whether every live gateway follows `version`, within bounds."""
        key = route_key(record.scope, record.name)
        followed = await self._around.publisher.wait_in_effect(key, version, ACKNOWLEDGEMENT_TIMEOUT_S)
        if not followed:
            log.warning("a gateway has not acknowledged the route of %s", record.name)
        return followed

    async def idle(self, life: ReplicaLife) -> None:
        """Until no gateway has a call outstanding on a replica that left, or the drain is over.

        Asynchronous calls are bounded by their own InvocationTimeoutSeconds, and are not cut short.
        """
        await self._around.publisher.wait_idle(life.id, self._around.settings.replicas.drain_s)
        await self._around.publisher.wait_unused(life.id, LONGEST_ASYNC_CALL_S)

    def _start(self, record: EndpointRecord, generation: int, target: VariantTarget) -> float | None:
        if target.elastic:
            return self._elasticity.start(generation, target.variant, record.scope.region)
        return self._fleet.start_missing(generation, target.variant, target.count, record.scope.region)

    def _is_complete(self, fleet: FleetTarget) -> bool:
        return all(
            len(self._fleet.healthy(Place(fleet.generation, each.variant.name))) >= each.count
            for each in fleet.variants
            if each.awaited
        )

    def _chosen(self, record: EndpointRecord) -> tuple[set[str], list[Routed]]:
        """The ids of the replicas that stay, and those of them that are routed."""
        kept: set[str] = set()
        routed = []
        for fleet in targets(record):
            capture = capture_of(config_of(record, fleet.generation))
            for each in fleet.variants:
                place = Place(fleet.generation, each.variant.name)
                lives = self._elasticity.kept(place) if each.elastic else self._fleet.kept(place, each.count)
                kept.update(life.id for life in lives)
                healthy = [life for life in lives if life.state is ReplicaState.HEALTHY]
                most = len(healthy) if each.elastic and each.routed else each.routed
                explainer = self._explainers.route(record, fleet.generation, each.variant)
                routed.append(Routed(each, healthy[:most], fleet.generation, capture, explainer))
        return kept, routed

    def _leaving(self, kept: set[str]) -> list[ReplicaLife]:
        states = (ReplicaState.STARTING, ReplicaState.HEALTHY)
        return [life for life in self._fleet.lives if life.id not in kept and life.state in states]


def _elastic(record: EndpointRecord) -> set[Place]:
    """The serverless variants that take calls, or may."""
    fleets = targets(record)
    return {Place(fleet.generation, each.variant.name) for fleet in fleets for each in fleet.variants if each.elastic}
