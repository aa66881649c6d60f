"""An update under way: act on the stored record, look, and say which move is next.

One move a pass, and each is stored by the endpoint's worker before the next pass acts on it. Nothing that matters is
held here: a control that is killed is followed by one that goes on from the record.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mooring.control.alarms import AlarmWatch
from mooring.control.converging import Convergence, Reached
from mooring.control.fleet import Fleet
from mooring.control.replica_life import Place
from mooring.control.surroundings import Surroundings
from mooring.control.trials import Trials, update
from mooring.hosting.endpoints import EndpointRecord, Phase, Rollout
from mooring.hosting.rollout import rollouts
from mooring.hosting.rollout.rollouts import Heard, Seen
from mooring.hosting.rollout.targets import awaits_shadows, effective_policy, in_production

log = logging.getLogger("mooring.control")


@dataclass(frozen=True, slots=True)
class Advance:
    """What a pass over a rollout comes to."""

    moved: EndpointRecord | None
    """The record to store; None when it is not time for a move."""
    next_look_s: float | None


class RolloutDriver:
    """Drives the rollouts of one endpoint."""

    def __init__(
        self, fleet: Fleet, convergence: Convergence, alarms: AlarmWatch, trials: Trials, around: Surroundings
    ) -> None:
        self._fleet = fleet
        self._convergence = convergence
        self._alarms = alarms
        self._trials = trials
        self._around = around

    async def advance(self, record: EndpointRecord, rollout: Rollout) -> Advance:
        """One pass."""
        reached = await self._convergence.towards(record, ask=True)
        now = round(self._around.clock.wall(), 3)
        seen = self._seen(record, rollout, reached, now)
        moved = rollouts.moved(record, seen, now, self._around.settings.deployments.alarm_patience_s)
        if moved is not None and moved.rollout is not None and moved.rollout.turned is not None and not rollout.turned:
            log.warning("endpoint %s rolls back: %s", record.name, moved.failure_reason)
            self._fleet.forgive(self._old_places(record))
        return Advance(moved, self._next_look(record, rollout, reached, now))

    def _seen(self, record: EndpointRecord, rollout: Rollout, reached: Reached, now: float) -> Seen:
        complete = reached.grown.complete
        trial = self._trials.of(update(rollout))
        return Seen(
            old_complete=all(whole for generation, whole in complete.items() if generation != rollout.generation),
            new_complete=complete.get(rollout.generation, False) and trial.over,
            in_effect=reached.in_effect,
            settled=reached.settled,
            old_failure=self._failure(self._old_places(record)),
            new_failure=self._failure(_new_places(rollout)) or trial.failure,
            heard=self._heard(record, rollout, now),
        )

    def _heard(self, record: EndpointRecord, rollout: Rollout, now: float) -> Heard | None:
        """How the alarms are; at a moment of decision an answer from before it does not count."""
        if not rollouts.watches(record, rollout):
            self._alarms.forget()
            return None
        since = rollout.started_at
        if rollout.phase is Phase.BAKING and rollout.wait_until is not None and rollout.wait_until <= now:
            since = rollout.wait_until
        return self._alarms.heard(record.scope, effective_policy(rollout).alarms, since)

    def _next_look(self, record: EndpointRecord, rollout: Rollout, reached: Reached, now: float) -> float | None:
        waits = [reached.next_look_s, rollouts.next_look(rollout, now)]
        if rollouts.watches(record, rollout):
            waits.append(self._around.settings.deployments.alarm_interval_s)
        return min((wait for wait in waits if wait is not None), default=None)

    def _failure(self, places: list[Place]) -> str | None:
        attempts = self._around.settings.replicas.start_attempts
        return next((found for place in places if (found := self._fleet.failure(place, attempts))), None)

    def _old_places(self, record: EndpointRecord) -> list[Place]:
        return [Place(record.generation, each.name) for each in in_production(record.variants)]


def _new_places(rollout: Rollout) -> list[Place]:
    """Whose failures turn the rollout."""
    variants = rollout.variants if awaits_shadows(rollout) else in_production(rollout.variants)
    return [Place(rollout.generation, each.name) for each in variants]
