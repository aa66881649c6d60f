"""How a rollout is told: AWS's VariantStatus of each variant, and the lines of an endpoint's history."""

from __future__ import annotations

from mooring.hosting.endpoints import EndpointRecord, Phase, Rollout, VariantState
from mooring.hosting.rollout.plans import Counts, Standing, Step
from mooring.hosting.rollout.targets import farthest, standing, steps_of
from mooring.hosting.rules import Members


def new_statuses(record: EndpointRecord, rollout: Rollout, variant: VariantState) -> list[Members]:
    """VariantStatus of a variant of the new fleet."""
    found = _new_status(record, rollout, variant)
    return [] if found is None else [_status(rollout, *found)]


def old_statuses(record: EndpointRecord, rollout: Rollout, variant: VariantState) -> list[Members]:
    """VariantStatus of a variant of the old fleet; it has one while its replicas go or come back."""
    step = steps_of(record, rollout)[rollout.step]
    name = variant.name
    now = standing(record, rollout)
    if rollout.phase is Phase.RETIRING and rollout.turned is None:
        leaving = step.during.old.get(name, 0) - step.old_after.get(name, 0)
        return [_status(rollout, "Deleting", f"Terminating {leaving} instance(s).")] if leaving else []
    if rollout.phase is Phase.LAUNCHING and rollout.turned is not None:
        return [_status(rollout, "Updating", f"Scaling out desired instance count to {now.old.get(name, 0)}.")]
    return []


def told(before: EndpointRecord, after: EndpointRecord) -> str | None:
    """The move from one record to the next, for people; None where the status tells."""
    if after.rollout is None:
        return None
    rollout = after.rollout
    last = before.rollout
    unmoved = last is not None and (last.phase, last.turned) == (rollout.phase, rollout.turned)
    if last is not None and unmoved and last.unheard_since != rollout.unheard_since:
        if rollout.unheard_since is not None:
            return "CloudWatch does not say how the alarms are: nothing goes on until it does"
        return "CloudWatch says again how the alarms are"
    steps = steps_of(after, rollout)
    where = f"step {rollout.step + 1} of {len(steps)}" if len(steps) > 1 else "the only step"
    if rollout.turned is not None:
        where = f"rollback, {where}"
    return f"{_config_of(after, rollout)}, {where}: {_doing(after, rollout, steps[rollout.step])}"


def _config_of(record: EndpointRecord, rollout: Rollout) -> str:
    return f"from {record.config_name} to {rollout.config_name}"


def _doing(record: EndpointRecord, rollout: Rollout, step: Step) -> str:
    now = standing(record, rollout)
    match rollout.phase:
        case Phase.CHECKING:
            return "asking CloudWatch for the alarms"
        case Phase.LAUNCHING if rollout.turned is None:
            return f"new replicas that are to run: {_sum(now.new)}"
        case Phase.LAUNCHING:
            return f"replicas of {record.config_name} that are to run: {_sum(now.old)}"
        case Phase.SHIFTING:
            return f"{_traffic(now)} of the traffic goes to the new replicas"
        case Phase.BAKING:
            return f"baking for {step.bake_s} s ({step.bake})" if step.bake_s else "no bake"
    return f"replicas that stay: {_sum(now.old)} old, {_sum(now.new)} new"


def _traffic(now: Standing) -> str:
    shares = sorted({round(100 * share, 1) for share in now.shares.values()})
    return " to ".join(f"{share:g} %" for share in (shares[:1] + shares[-1:] if len(shares) > 1 else shares))


def _new_status(record: EndpointRecord, rollout: Rollout, variant: VariantState) -> tuple[str, str] | None:
    now = standing(record, rollout)
    name = variant.name
    routed, running = now.routed.get(name, 0), now.new.get(name, 0)
    if rollout.turned is not None:
        return "Deleting", f"Terminating {farthest(record, rollout).new.get(name, 0)} instance(s)."
    part = "full" if routed >= variant.desired_count else "canary"
    match rollout.phase:
        case Phase.CHECKING:
            return "Creating", f"Launching {variant.desired_count} instance(s)."
        case Phase.LAUNCHING:
            before = steps_of(record, rollout)[rollout.step - 1].new_after if rollout.step else {}
            launching = running - before.get(name, 0)
            return ("Creating", f"Launching {launching} instance(s).") if launching else None
        case Phase.SHIFTING:
            return "ActivatingTraffic", f"Activating traffic on {part} capacity of {routed} instance(s)."
        case Phase.BAKING:
            step = steps_of(record, rollout)[rollout.step]
            return "Baking", (
                f"Baking for {step.bake_s} seconds ({step.bake}) with traffic enabled on {part} capacity of "
                f"{routed} instance(s)."
            )
    return None


def _status(rollout: Rollout, status: str, message: str) -> Members:
    return {"Status": status, "StatusMessage": message, "StartTime": rollout.phase_since}


def _sum(counts: Counts) -> int:
    return sum(counts.values())
