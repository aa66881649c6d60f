"""From what the policies of a target ask for to one capacity, or the reason why there is none.

Each policy whose alarm is in ALARM asks for a capacity, and the largest is taken, so a policy that holds capacity where
it is keeps all others from scaling in. These hold it: one that cools down, one that is suspended, and a target tracking
policy that is not ready to scale in (AWS scales in when all of them are). Scaling out does not wait for the cooldown of
scaling in, and in its own it counts from the capacity of before, so that only a larger step goes through.

Whoever calls does so for as long as an alarm is in ALARM, each time it is evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mooring.scaling import stepping, tracking, wording
from mooring.scaling.documents import INSTANCES, Policy, ScalableTarget, ScheduledAction

STEP, TRACKING = "StepScaling", "TargetTrackingScaling"
COOLDOWN_S = 300
"""AWS's default for SageMaker."""


@dataclass(frozen=True, slots=True)
class Breach:
    """An alarm that asks a policy: one in ALARM, or in another state whose actions name the policy."""

    policy: Policy
    alarm: str
    """Its name."""
    values: tuple[float, ...]
    """The datapoints that decided, the oldest first; none where missing ones did."""
    threshold: float
    state: str = "ALARM"

    @property
    def cause(self) -> str:
        """As an activity says it."""
        return wording.by_alarm(self.alarm, self.policy.name, self.state)


@dataclass(frozen=True, slots=True)
class Decision:
    """`capacity` is None where nothing is to be done."""

    capacity: int | None = None
    cause: str = ""
    description: str = ""
    policy: Policy | None = None
    """Whose cooldown begins."""
    not_scaled: tuple[dict[str, Any], ...] = ()
    """NotScaledReasons of an activity that is told where they are asked for."""
    details: str = ""
    """Why nothing is done, where AWS has no code for it."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one policy asks for, within the bounds; `held` where something keeps it from what it would ask for."""

    breach: Breach
    capacity: int
    held: str = ""
    reason: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Asking:
    """What a decision is made of."""

    registered: ScalableTarget
    policies: Sequence[Policy]
    current: int
    now: float
    zero_allowed: bool

    @property
    def least(self) -> int:
        return least_of(self.registered, zero_allowed=self.zero_allowed)

    @property
    def is_asynchronous(self) -> bool:
        """Whether calls wait while there is no instance."""
        return self.zero_allowed and self.registered.target.dimension == INSTANCES

    def suspended(self, what: str) -> bool:
        return self.registered.suspended.get(what, False)


def decided(
    registered: ScalableTarget,
    policies: Sequence[Policy],
    breaches: Sequence[Breach],
    current: int,
    now: float,
    *,
    zero_allowed: bool,
    scalable: bool = True,
) -> Decision:
    """What to do about alarms, given all policies of the target, with `current` units desired.

    `zero_allowed` is for variants that can have no instance; `scalable` is whether the endpoint takes a change now.
    """
    asking = _Asking(registered, policies, current, now, zero_allowed)
    wishes = [_wish(asking, breach) for breach in breaches]
    if not wishes:
        return Decision()
    best = max(wishes, key=lambda wish: wish.capacity)
    cause = best.breach.cause
    if best.capacity == current:
        return _unchanged(wishes, current)
    if not scalable:
        return Decision(cause=cause, description=wording.ATTEMPTING, not_scaled=(wording.UNSCALABLE,))
    if best.capacity < current and (waited := _not_ready(policies, breaches)) is not None:
        details = f"Target tracking policy {waited} is not ready to scale in."
        return Decision(cause=cause, description=wording.ATTEMPTING, details=details)
    dimension = registered.target.dimension
    return Decision(best.capacity, cause, wording.setting(dimension, best.capacity), best.breach.policy)


def _unchanged(wishes: Sequence[_Wish], current: int) -> Decision:
    holding = [wish for wish in wishes if wish.capacity == current]
    told = next((wish for wish in holding if wish.reason), holding[0])
    cause = told.breach.cause
    reasons = (told.reason,) if told.reason else ()
    return Decision(cause=cause, description=wording.ATTEMPTING, not_scaled=reasons, details=told.held)


def _not_ready(policies: Sequence[Policy], breaches: Sequence[Breach]) -> str | None:
    """A target tracking policy that scales in, and does not ask for it."""
    asking = {breach.policy.name for breach in breaches}
    waiting = (
        policy.name
        for policy in policies
        if policy.kind == TRACKING and not policy.config.get("DisableScaleIn") and policy.name not in asking
    )
    in_by_tracking = any(breach.policy.kind == TRACKING for breach in breaches)
    return next(waiting, None) if in_by_tracking else None


def _wish(asking: _Asking, breach: Breach) -> _Wish:
    wanted = _wanted(breach, asking.current)
    if wanted is None:
        seen = ", ".join(map(repr, breach.values))
        details = f"No step adjustment found for metric value [{seen}] and breach threshold {breach.threshold!r}"
        return _Wish(breach, asking.current, details)
    if wanted > asking.current:
        return _out(asking, breach, wanted)
    if wanted < asking.current:
        return _in(asking, breach, wanted)
    if breach.policy.kind == TRACKING and _flaps(breach, asking.current):
        return _Wish(breach, wanted, reason=wording.flapping(asking.current))
    at_zero = asking.current == 0 and asking.least == 0
    return _Wish(breach, wanted, reason=wording.at_least(0) if at_zero else wording.as_wished(asking.current))


def _out(asking: _Asking, breach: Breach, wanted: int) -> _Wish:
    policy, current, most = breach.policy, asking.current, asking.registered.most
    if asking.suspended("DynamicScalingOutSuspended"):
        return _Wish(breach, current, "Scaling out is suspended.")
    if _within(policy.last_out_at, _settled_out(policy), asking.now):
        before = max(0, current - policy.last_out_by)
        wanted = _wanted(breach, before) or current
        if wanted <= current:
            return _Wish(breach, current, f"Policy {policy.name} cools down from scaling out.")
    if current >= most:
        return _Wish(breach, current, reason=wording.at_most(most))
    return _Wish(breach, min(wanted, most))


def _in(asking: _Asking, breach: Breach, wanted: int) -> _Wish:
    policy, current = breach.policy, asking.current
    if asking.suspended("DynamicScalingInSuspended"):
        return _Wish(breach, current, "Scaling in is suspended.")
    if policy.kind == TRACKING and policy.config.get("DisableScaleIn"):
        return _Wish(breach, current, f"Policy {policy.name} does not scale in.")
    if _silent(breach) and not breach.values and asking.is_asynchronous:
        return _Wish(
            breach, current, "An asynchronous endpoint tells of no invocations, which is not that it has none."
        )
    if _silent(breach) and asking.now < policy.created_at + tracking.LOW_WINDOW_S:
        return _Wish(breach, current, f"Policy {policy.name} has not seen {tracking.LOW_WINDOW_S} s yet.")
    if (details := _cooling(asking, policy)) is not None:
        return _Wish(breach, current, details)
    if current <= asking.least:
        details = ""
        if asking.least > asking.registered.least:
            details = "Only a variant of an asynchronous endpoint can have no instances: 1 is kept."
        return _Wish(breach, current, details, wording.at_least(asking.least))
    return _Wish(breach, max(wanted, asking.least))


def _cooling(asking: _Asking, policy: Policy) -> str | None:
    """Why nothing is scaled in: what scaled out is given its time, and what scaled in unless some scaled out since."""
    for each in asking.policies:
        if _within(each.last_out_at, _settled_out(each), asking.now):
            return f"Policy {each.name} cools down from scaling out."
    out_at = max((each.last_out_at or 0.0 for each in asking.policies), default=0.0)
    interrupted = policy.last_in_at is not None and out_at > policy.last_in_at
    settling = tracking.settling_s(policy.config, out=False) if policy.kind == TRACKING else 0
    if not interrupted and _within(policy.last_in_at, max(settling, in_cooldown(policy)), asking.now):
        return f"Policy {policy.name} cools down from scaling in."
    return None


def _wanted(breach: Breach, current: int) -> int | None:
    """What a policy asks for, whatever may keep it from that."""
    config = breach.policy.config
    if breach.policy.kind == STEP:
        return stepping.proposed(config, current, breach.values, breach.threshold)
    if breach.values:
        return tracking.proposed(config, current, breach.values[-1], breach.values)
    return tracking.proposed(config, current, 0.0) if tracking.silence_is_low(config) else current


def _silent(breach: Breach) -> bool:
    """Whether missing points count as low: of a time before the policy they say nothing."""
    config, few = breach.policy.config, len(breach.values) < tracking.LOW_POINTS
    return breach.policy.kind == TRACKING and few and tracking.silence_is_low(config)


def _flaps(breach: Breach, current: int) -> bool:
    return bool(breach.values) and tracking.flaps(breach.policy.config, current, breach.values[-1], breach.values)


def _within(at: float | None, cooldown: float, now: float) -> bool:
    """A time that is to come, by a clock that was set back, does not count."""
    return at is not None and at <= now < at + cooldown


def out_cooldown(policy: Policy) -> int:
    """Seconds."""
    return int(policy.config.get("Cooldown" if policy.kind == STEP else "ScaleOutCooldown", COOLDOWN_S))


def _settled_out(policy: Policy) -> int:
    """Seconds until a policy counts from what there is: its cooldown, and for tracking until its metric is of that."""
    settling = tracking.settling_s(policy.config, out=True) if policy.kind == TRACKING else 0
    return max(settling, out_cooldown(policy))


def in_cooldown(policy: Policy) -> int:
    """Seconds."""
    return int(policy.config.get("Cooldown" if policy.kind == STEP else "ScaleInCooldown", COOLDOWN_S))


def noted(policy: Policy, before: int, capacity: int, now: float) -> Policy:
    """The policy after its decision is in effect: its cooldown begins `now`."""
    if capacity < before:
        return replace(policy, last_in_at=now)
    cooling = _within(policy.last_out_at, _settled_out(policy), now)
    return replace(policy, last_out_at=now, last_out_by=capacity - before + (policy.last_out_by if cooling else 0))


def least_of(registered: ScalableTarget, *, zero_allowed: bool) -> int:
    """MinCapacity may be 0 for any variant, and only those that can have no instance go there."""
    return registered.least if zero_allowed else max(1, registered.least)


def bounded(registered: ScalableTarget, current: int, *, zero_allowed: bool) -> Decision:
    """What RegisterScalableTarget does about a capacity that is outside the bounds."""
    least = least_of(registered, zero_allowed=zero_allowed)
    capacity = min(max(current, least), max(least, registered.most))
    if capacity == current:
        return Decision()
    bound, value = ("minimum", registered.least) if capacity > current else ("maximum", registered.most)
    return Decision(capacity, wording.by_bound(bound, value), wording.setting(registered.target.dimension, capacity))


def scheduled(registered: ScalableTarget, action: ScheduledAction) -> ScalableTarget:
    """The target after a scheduled action is due; `bounded` says what follows. What is suspended changes nothing.

    An action that names one bound beyond the other moves the other along.
    """
    if registered.suspended.get("ScheduledScalingSuspended", False):
        return registered
    least = action.action.get("MinCapacity", registered.least)
    most = action.action.get("MaxCapacity", registered.most)
    if least > most:
        least, most = (most, most) if "MaxCapacity" in action.action else (least, least)
    return replace(registered, least=least, most=most)
