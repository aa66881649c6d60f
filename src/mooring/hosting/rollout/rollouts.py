"""The life of an update: a state machine in the endpoint's record, one move at a time.

`begun` puts a rollout into a record; `moved` is the next move, or none yet, from what is observed. Pure: control stores
each move before it acts on it. Guarantees: traffic goes to replicas that are healthy; the old fleet shrinks only when
the new replicas that stand in for it are healthy and every gateway follows; every forward move but the last can be
turned back; an alarm that cannot be heard lets nothing go on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase, Remnant, Rollout, Turn, VariantState
from mooring.hosting.failures import failure_reason
from mooring.hosting.rollout.plans import Counts
from mooring.hosting.rollout.targets import (
    effective_policy,
    farthest,
    in_production,
    old_counts,
    standing,
    steps_of,
)
from mooring.hosting.transitions import in_effect

CLOCK_SLACK_S = 1.0
"""So far a clock may be set back without being noticed: what NTP does all day, and rounding."""
BACK_WITHOUT = "The endpoint still serves with a part of each fleet: update it again, or delete it."


@dataclass(frozen=True, slots=True)
class Heard:
    """What CloudWatch said of the alarms when it was last asked."""

    at: float
    """Wall clock, when the question began."""
    ringing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    silence: str | None = None
    """Why it did not say anything."""

    @property
    def quiet(self) -> bool:
        return not self.ringing and not self.unknown and self.silence is None


@dataclass(frozen=True, slots=True)
class Seen:
    """What control observes after it has acted on a record."""

    old_complete: bool = False
    """Whether every replica that the old fleet should have is healthy."""
    new_complete: bool = False
    in_effect: bool = False
    """Whether every gateway follows the route of this moment."""
    settled: bool = False
    """Whether nothing runs that should not."""
    old_failure: str | None = None
    """Why the old fleet cannot have its replicas."""
    new_failure: str | None = None
    heard: Heard | None = None


def begun(record: EndpointRecord, rollout: Rollout, now: float) -> EndpointRecord:
    """The record with an update under way."""
    return replace(
        record,
        status=EndpointStatus.UPDATING,
        rollout=rollout,
        last_generation=rollout.generation,
        failure_reason=None,
        modified_at=now,
    )


def first_phase(rollout: Rollout) -> Phase:
    """Alarms are asked first where there are any."""
    return Phase.CHECKING if effective_policy(rollout).alarms else Phase.LAUNCHING


def watches(record: EndpointRecord, rollout: Rollout) -> bool:
    """Whether alarms matter at this moment."""
    return bool(effective_policy(rollout).alarms) and not _past_return(record, rollout)


def moved(record: EndpointRecord, seen: Seen, now: float, patience_s: float) -> EndpointRecord | None:
    """The record after the next move; None when it is not time for one. `patience_s`: with a silent CloudWatch."""
    rollout = record.rollout
    assert rollout is not None
    if (back_s := rollout.phase_since - now) > CLOCK_SLACK_S:
        return replace(record, rollout=_set_back(rollout, back_s))
    if rollout.turned is None and not _past_return(record, rollout):
        reason = _reason_to_turn(rollout, seen, now, patience_s)
        if reason is not None:
            return _turned(record, rollout, reason, now)
        if watches(record, rollout) and seen.heard is not None:
            silent = seen.heard.silence is not None
            if silent is (rollout.unheard_since is None):
                return replace(record, rollout=replace(rollout, unheard_since=now if silent else None))
            if silent:
                return None
    if rollout.turned is not None and rollout.phase is Phase.LAUNCHING and seen.old_failure is not None:
        return _stranded(record, rollout, seen.old_failure, now)
    return _onward(record, rollout, seen, now)


def _set_back(rollout: Rollout, back_s: float) -> Rollout:
    """With the times of a clock that was set back: waits and limits would else be longer by so much."""
    return replace(
        rollout,
        started_at=rollout.started_at - back_s,
        phase_since=rollout.phase_since - back_s,
        wait_until=None if rollout.wait_until is None else rollout.wait_until - back_s,
        unheard_since=None if rollout.unheard_since is None else rollout.unheard_since - back_s,
    )


def next_look(rollout: Rollout, now: float) -> float | None:
    """Seconds until time alone may bring a move; None when it will not."""
    moments = [rollout.started_at + rollout.timeout_s] if rollout.turned is None else []
    if rollout.phase is Phase.BAKING and rollout.wait_until is not None:
        moments.append(rollout.wait_until)
    return min((moment - now for moment in moments if moment > now), default=None)


def _past_return(record: EndpointRecord, rollout: Rollout) -> bool:
    """All traffic is the new fleet's and the old one is leaving: from here it only goes on."""
    last = rollout.step == len(steps_of(record, rollout)) - 1
    return rollout.turned is None and rollout.phase is Phase.RETIRING and last


def _reason_to_turn(rollout: Rollout, seen: Seen, now: float, patience_s: float) -> str | None:
    heard = seen.heard
    if heard is not None and heard.ringing:
        return (
            "One or more configured alarm(s) in your auto-rollback configuration were triggered: "
            f"[{', '.join(heard.ringing)}]. The deployment was rolled back."
        )
    if heard is not None and heard.unknown:
        return (
            "One or more alarm(s) in your auto-rollback configuration do not exist in CloudWatch: "
            f"[{', '.join(heard.unknown)}]. The deployment was rolled back."
        )
    if seen.new_failure is not None:
        return seen.new_failure
    if now >= rollout.started_at + rollout.timeout_s:
        return f"The deployment exceeded MaximumExecutionTimeoutInSeconds ({rollout.timeout_s:g}) and was rolled back."
    silent_s = now - rollout.unheard_since if rollout.unheard_since is not None else 0.0
    if heard is not None and heard.silence is not None and silent_s >= patience_s and rollout.unheard_since is not None:
        return (
            f"CloudWatch did not tell for {silent_s:.0f} s how the alarms of your auto-rollback configuration are. The "
            f"deployment was rolled back. ({heard.silence})"
        )
    return None


def _turned(record: EndpointRecord, rollout: Rollout, reason: str, now: float) -> EndpointRecord:
    """Rolling back. Where all of the old fleet still runs, traffic goes back to it at once."""
    turned = replace(rollout, turned=Turn(rollout.step, rollout.phase), step=0, wait_until=None, unheard_since=None)
    whole = standing(record, rollout).old == old_counts(record)
    turned = replace(turned, phase=Phase.SHIFTING if whole else Phase.LAUNCHING, phase_since=now)
    return replace(
        record,
        status=EndpointStatus.ROLLING_BACK,
        rollout=turned,
        failure_reason=failure_reason(reason),
        modified_at=now,
    )


def _onward(record: EndpointRecord, rollout: Rollout, seen: Seen, now: float) -> EndpointRecord | None:
    if not _ready(record, rollout, seen, now):
        return None
    steps = steps_of(record, rollout)
    match rollout.phase:
        case Phase.CHECKING:
            return _in_phase(record, rollout, Phase.LAUNCHING, now)
        case Phase.LAUNCHING:
            return _in_phase(record, rollout, Phase.SHIFTING, now)
        case Phase.SHIFTING if rollout.turned is None:
            baking = replace(rollout, wait_until=now + steps[rollout.step].bake_s)
            return _in_phase(record, baking, Phase.BAKING, now)
        case Phase.SHIFTING | Phase.BAKING:
            return _in_phase(record, replace(rollout, wait_until=None), Phase.RETIRING, now)
        case Phase.RETIRING if rollout.step + 1 < len(steps):
            return _in_phase(record, replace(rollout, step=rollout.step + 1), Phase.LAUNCHING, now)
    return _done(record, rollout, now) if rollout.turned is None else _rolled_back(record, rollout, now)


def _ready(record: EndpointRecord, rollout: Rollout, seen: Seen, now: float) -> bool:
    """Whether this phase has reached what it is for."""
    match rollout.phase:
        case Phase.CHECKING:
            return seen.heard is not None and seen.heard.quiet and seen.heard.at >= rollout.started_at
        case Phase.LAUNCHING:
            return seen.new_complete if rollout.turned is None else seen.old_complete
        case Phase.SHIFTING:
            return seen.in_effect
        case Phase.BAKING:
            return _has_baked(rollout, seen, now, watched=watches(record, rollout))
    return seen.in_effect and seen.settled


def _has_baked(rollout: Rollout, seen: Seen, now: float, *, watched: bool) -> bool:
    """The time is over, the new replicas live, and no alarm rang up to then."""
    until = rollout.wait_until if rollout.wait_until is not None else now
    if now < until or not (seen.new_complete and seen.in_effect):
        return False
    return not watched or (seen.heard is not None and seen.heard.quiet and seen.heard.at >= until)


def _in_phase(record: EndpointRecord, rollout: Rollout, phase: Phase, now: float) -> EndpointRecord:
    return replace(record, rollout=replace(rollout, phase=phase, phase_since=now))


def _done(record: EndpointRecord, rollout: Rollout, now: float) -> EndpointRecord:
    return replace(
        record,
        status=EndpointStatus.IN_SERVICE,
        config_name=rollout.config_name,
        config=rollout.config,
        variants=tuple(in_effect(each) for each in rollout.variants),
        generation=rollout.generation,
        deployment_config=rollout.deployment_config,
        failure_reason=None,
        rollout=None,
        remnant=None,
        modified_at=now,
    )


def _rolled_back(record: EndpointRecord, rollout: Rollout, now: float) -> EndpointRecord:
    return replace(
        record,
        status=rollout.before,
        deployment_config=rollout.deployment_config,
        rollout=None,
        modified_at=now,
    )


def _stranded(record: EndpointRecord, rollout: Rollout, failure: str, now: float) -> EndpointRecord:
    """The old fleet cannot be brought back: what there is of both serves on."""
    at = standing(record, rollout)
    steps = steps_of(record, rollout)
    held = steps[rollout.step - 1].old_after if rollout.step else farthest(record, rollout).old
    told = failure_reason(f"{record.failure_reason} The rollback failed: {failure} {BACK_WITHOUT}")
    return replace(
        record,
        status=EndpointStatus.UPDATE_ROLLBACK_FAILED,
        variants=tuple(replace(each, current_count=_held(each, held)) for each in record.variants),
        deployment_config=rollout.deployment_config,
        failure_reason=told,
        rollout=None,
        remnant=Remnant(
            rollout.generation,
            tuple(
                replace(each, desired_count=count, current_count=count, current_weight=each.desired_weight)
                for each in in_production(rollout.variants)
                for count in (at.routed.get(each.name, 0),)
            ),
            dict(at.shares),
        ),
        modified_at=now,
    )


def _held(variant: VariantState, held: Counts) -> int:
    """What is left of a variant of the old fleet; its shadow stays as long as any of it does."""
    if variant.shadow:
        return variant.desired_count if any(held.values()) else 0
    return held.get(variant.name, 0)
