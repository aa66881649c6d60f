"""What of an endpoint should run and be routed, from its record alone: the fleets, their replicas, weights and shares.

Control starts what is missing of it, publishes what is healthy of it, and stops the rest, whatever went before; so a
control that is killed at any moment is followed by one that does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase, Rollout, Turn, VariantState
from mooring.hosting.rollout import plans
from mooring.hosting.rollout.deployments import Policy, policy_of
from mooring.hosting.rollout.plans import Standing, Step
from mooring.hosting.rules import Members
from mooring.hosting.serverless import provisioned

NOTHING_RUNS = frozenset({EndpointStatus.FAILED, EndpointStatus.OUT_OF_SERVICE, EndpointStatus.DELETING})


@dataclass(frozen=True, slots=True)
class VariantTarget:
    """One variant of one fleet."""

    variant: VariantState
    count: int
    """Replicas that should run; of an elastic variant the least, which are those of its first slots."""
    routed: int
    """Of them, those that may take traffic; of an elastic variant all may, or with 0 none."""
    weight: float
    """Against all other variants of all fleets; of a shadow, the part of its fleet's calls that it gets copies of."""
    share: float
    """Of the traffic that is for this variant by name."""
    awaited: bool = True
    """Whether the fleet is complete only with these replicas. A shadow is waited for until it has come up once."""
    elastic: bool = False
    """Whether more run while they are called for: a serverless variant that takes calls or may."""


@dataclass(frozen=True, slots=True)
class FleetTarget:
    """The replicas of one generation."""

    generation: int
    variants: tuple[VariantTarget, ...]
    grows: bool = True
    """Whether a missing replica is started; not in a fleet that is on its way out."""


def in_production(variants: tuple[VariantState, ...]) -> tuple[VariantState, ...]:
    """The variants whose traffic an update moves. A shadow follows its fleet."""
    return tuple(variant for variant in variants if not variant.shadow)


def shadows(variants: tuple[VariantState, ...]) -> tuple[VariantState, ...]:
    """The variants that get copies."""
    return tuple(variant for variant in variants if variant.shadow)


def copied_part(variants: tuple[VariantState, ...], shadow: VariantState) -> float:
    """The part of the calls that a shadow gets copies of: its weight beside that of production, and all at the most."""
    weight = sum(each.desired_weight for each in in_production(variants))
    return min(1.0, shadow.desired_weight / weight) if weight else float(shadow.desired_weight > 0)


def mirrors(record: EndpointRecord, rollout: Rollout) -> tuple[bool, bool]:
    """Whether the shadows of the old fleet and of the new one run at this moment: as long as any of the fleet does."""
    now = standing(record, rollout)
    return any(now.old.values()), any(now.new.values())


def awaits_shadows(rollout: Rollout) -> bool:
    """Whether the new fleet's shadows still have to come up. What becomes of them later turns no update."""
    return rollout.phase in (Phase.CHECKING, Phase.LAUNCHING) and rollout.step == 0 and rollout.turned is None


def targets(record: EndpointRecord) -> tuple[FleetTarget, ...]:
    """What should run of this endpoint, the fleet of its present config first."""
    if record.status in NOTHING_RUNS:
        return ()
    if record.rollout is not None:
        return tuple(_of_rollout(record, record.rollout))
    if record.remnant is not None:
        return tuple(_standing(record))
    proven = record.status is not EndpointStatus.CREATING and not record.starting
    variants = tuple(
        _elastic(VariantTarget(each, each.desired_count, each.desired_count, each.desired_weight, 1.0), proven)
        for each in in_production(record.variants)
    )
    return (FleetTarget(record.generation, (*variants, *_shadowing(record.variants, _wished))),)


def _elastic(target: VariantTarget, proven: bool) -> VariantTarget:
    """`target`; of a serverless variant that has come up once, only what is provisioned must run.

    An instance variant is what it was. One of which nothing is to run any more stays so.
    """
    if "ServerlessConfig" not in target.variant.config or not target.count:
        return target
    count = min(provisioned(target.variant.config), target.count) if proven else target.count
    return replace(target, count=count, elastic=True)


def config_of(record: EndpointRecord, generation: int) -> Members:
    """The endpoint config that a fleet serves under; what is left of a failed update serves under the endpoint's."""
    rollout = record.rollout
    return rollout.config if rollout is not None and rollout.generation == generation else record.config


def most_instances(record: EndpointRecord) -> list[tuple[VariantState, int]]:
    """Each variant with the replicas that it takes at the most, in whichever state the endpoint gets to from here."""
    if record.status is EndpointStatus.OUT_OF_SERVICE:
        return []
    left = record.remnant.variants if record.remnant is not None else ()
    remnant = [(each, each.desired_count) for each in left]
    if (rollout := record.rollout) is None:
        return [(each, each.desired_count) for each in record.variants] + remnant
    peak = plans.peak(forward_steps(record, rollout))
    old = [(each, peak.old.get(each.name, each.desired_count)) for each in record.variants]
    return old + remnant + [(each, peak.new.get(each.name, each.desired_count)) for each in rollout.variants]


def old_counts(record: EndpointRecord) -> dict[str, int]:
    """The replicas of the fleet that a rollout of this record replaces."""
    before = record.rollout.before if record.rollout is not None else record.status
    if before is EndpointStatus.OUT_OF_SERVICE:
        return {each.name: 0 for each in in_production(record.variants)}
    if before is EndpointStatus.UPDATE_ROLLBACK_FAILED:
        return {each.name: each.current_count for each in in_production(record.variants)}
    return {each.name: each.desired_count for each in in_production(record.variants)}


def new_counts(rollout: Rollout) -> dict[str, int]:
    """The replicas of the fleet that a rollout brings."""
    return {each.name: each.desired_count for each in in_production(rollout.variants)}


def effective_policy(rollout: Rollout) -> Policy:
    """How the rollout's traffic really moves: at once where AWS does not guard it, or where nothing serves before."""
    policy = policy_of(rollout.deployment_config)
    if rollout.guarded and rollout.before is not EndpointStatus.OUT_OF_SERVICE:
        return policy
    return Policy(alarms=policy.alarms, timeout_s=policy.timeout_s)


def forward_steps(record: EndpointRecord, rollout: Rollout) -> tuple[Step, ...]:
    """The plan from the old fleet to the new one."""
    shrinks = record.remnant is None
    return plans.forward(effective_policy(rollout), old_counts(record), new_counts(rollout), shrinks=shrinks)


def steps_of(record: EndpointRecord, rollout: Rollout) -> tuple[Step, ...]:
    """The plan that is being followed, forward or back."""
    if rollout.turned is None:
        return forward_steps(record, rollout)
    return plans.back(effective_policy(rollout), old_counts(record), farthest(record, rollout))


def standing(record: EndpointRecord, rollout: Rollout) -> Standing:
    """What runs and is routed at this moment of the rollout."""
    if rollout.turned is None:
        return farthest(record, rollout)
    return _at(steps_of(record, rollout), farthest(record, rollout), rollout.step, rollout.phase)


def farthest(record: EndpointRecord, rollout: Rollout) -> Standing:
    """How far the rollout has come forward: this moment, or that in which it turned back."""
    at = rollout.turned or Turn(rollout.step, rollout.phase)
    beginning = plans.beginning(old_counts(record), new_counts(rollout))
    if at.phase is Phase.CHECKING:
        return beginning
    return _at(forward_steps(record, rollout), beginning, at.step, at.phase)


def _at(steps: tuple[Step, ...], beginning: Standing, number: int, phase: Phase) -> Standing:
    step = steps[number]
    if phase is Phase.RETIRING:
        return step.after
    if phase is Phase.LAUNCHING:
        before = steps[number - 1].during if number else beginning
        return replace(step.during, routed=before.routed, shares=before.shares)
    return step.during


def _of_rollout(record: EndpointRecord, rollout: Rollout) -> Iterator[FleetTarget]:
    now = standing(record, rollout)
    leftover = min(now.shares.values(), default=1.0)

    def old_share(name: str) -> float:
        return 1.0 - now.shares.get(name, leftover)

    gone = not any(now.old.values()) and rollout.phase is Phase.RETIRING
    old_mirrors, new_mirrors = mirrors(record, rollout)
    for fleet in _standing(record):
        if fleet.generation == record.generation:
            left = tuple(
                _elastic(_scaled(each, old_share, now.old), proven=True)
                for each in fleet.variants
                if not each.variant.shadow
            )
            kept = tuple(each for each in fleet.variants if each.variant.shadow and old_mirrors)
            yield replace(fleet, variants=(*left, *kept))
        elif not gone:
            scaled = tuple(_elastic(_scaled(each, old_share, None), proven=True) for each in fleet.variants)
            yield replace(fleet, variants=scaled)
    variants = in_production(rollout.variants)
    weights = _normalized(variants)
    yield FleetTarget(
        rollout.generation,
        tuple(
            _elastic(
                VariantTarget(
                    each,
                    now.new[each.name],
                    now.routed[each.name] if now.shares[each.name] else 0,
                    weights[each.name] * now.shares[each.name],
                    now.shares[each.name],
                ),
                # Until it is over an update is judged by its new replicas, so some stay.
                proven=False,
            )
            for each in variants
        )
        + (_shadowing(rollout.variants, _wished, awaited=awaits_shadows(rollout)) if new_mirrors else ()),
        grows=rollout.turned is None,
    )


def _standing(record: EndpointRecord) -> Iterator[FleetTarget]:
    """What serves outside of a rollout, with weights that sum to 1: the fleet, and what is left of a failed one."""
    shares = record.remnant.shares if record.remnant is not None else {}
    counts = old_counts(record)
    variants = in_production(record.variants)
    weights = _normalized(variants)
    yield FleetTarget(
        record.generation,
        tuple(
            VariantTarget(each, counts[each.name], counts[each.name], weights[each.name] * part, part)
            for each in variants
            for part in (1.0 - shares.get(each.name, 0.0),)
        )
        + (_shadowing(record.variants, _count_of(record), awaited=False) if any(counts.values()) else ()),
    )
    if record.remnant is not None:
        weights = _normalized(in_production(record.remnant.variants))
        yield FleetTarget(
            record.remnant.generation,
            tuple(
                VariantTarget(
                    each,
                    each.desired_count,
                    each.desired_count,
                    weights[each.name] * shares[each.name],
                    shares[each.name],
                )
                for each in in_production(record.remnant.variants)
            ),
        )


def _shadowing(
    variants: tuple[VariantState, ...], count: Callable[[VariantState], int], awaited: bool | None = None
) -> tuple[VariantTarget, ...]:
    """The shadows of a fleet; without `awaited`, those that have grown are waited for."""
    return tuple(
        VariantTarget(
            each,
            count(each),
            count(each),
            copied_part(variants, each),
            1.0,
            each.desired_count > each.current_count if awaited is None else awaited,
        )
        for each in shadows(variants)
    )


def _wished(variant: VariantState) -> int:
    return variant.desired_count


def _count_of(record: EndpointRecord) -> Callable[[VariantState], int]:
    """How many of a shadow a fleet has that is being replaced."""
    before = record.rollout.before if record.rollout is not None else record.status
    if before is EndpointStatus.UPDATE_ROLLBACK_FAILED:
        return lambda variant: variant.current_count
    return _wished


def _scaled(each: VariantTarget, share: Callable[[str], float], counts: plans.Counts | None) -> VariantTarget:
    """A variant of an old fleet, with what the new one leaves to it."""
    part = share(each.variant.name)
    count = each.count if counts is None else counts[each.variant.name]
    return replace(each, count=count, routed=count if part else 0, weight=each.weight * part, share=each.share * part)


def _normalized(variants: tuple[VariantState, ...]) -> dict[str, float]:
    total = sum(each.desired_weight for each in variants) or 1.0
    return {each.name: each.desired_weight / total for each in variants}
