"""One capacity of what all policies ask for: the largest, in bounds, cooled down, suspended, and with its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.scaling import tracking as rules
from mooring.scaling.deciding import Breach, Decision, bounded, decided, noted, scheduled
from mooring.scaling.documents import Policy, ScalableTarget, ScheduledAction
from tests.scaling.making import BACKLOG, NOW, TARGET, breach, registered, stepping, tracking

OUT = stepping((0.0, None, 2), name="out")
IN = stepping((None, 0.0, -2), name="in")


def decide(
    *breaches: Breach,
    current: int,
    now: float = NOW,
    of: ScalableTarget | None = None,
    policies: list[Policy] | None = None,
    zero_allowed: bool = False,
    scalable: bool = True,
) -> Decision:
    all_policies = [each.policy for each in breaches] if policies is None else policies
    return decided(
        of or registered(), all_policies, breaches, current, now, zero_allowed=zero_allowed, scalable=scalable
    )


def codes(decision: Decision) -> list[str]:
    return [reason["Code"] for reason in decision.not_scaled]


def test_an_alarm_sets_a_capacity_and_says_so_in_awss_words() -> None:
    found = decide(breach(tracking(100.0), 250.0), current=2)
    assert found.capacity == 5
    assert found.description == "Setting desired instance count to 5."
    assert found.cause == "monitor alarm alarm of t in state ALARM triggered policy t"


def test_the_largest_wins_and_has_the_cause() -> None:
    found = decide(breach(tracking(100.0), 250.0), breach(OUT, 9.0), current=2)
    assert (found.capacity, found.policy) == (5, tracking(100.0))
    found = decide(breach(tracking(100.0, name="other"), 150.0), breach(OUT, 9.0), current=2)
    assert (found.capacity, found.policy) == (4, OUT)


def test_what_wants_out_wins_over_what_wants_in() -> None:
    assert decide(breach(tracking(100.0), 10.0), breach(OUT, 9.0), current=5).capacity == 7


def test_tracking_scales_in_when_all_tracking_is_ready() -> None:
    low, other = tracking(100.0), tracking(100.0, name="other")
    assert decide(breach(low, 10.0), current=5).capacity == 1
    waiting = decide(breach(low, 10.0), current=5, policies=[low, other])
    assert waiting.capacity is None
    assert "other" in waiting.details
    one_way = replace(other, config={**other.config, "DisableScaleIn": True})
    assert decide(breach(low, 10.0), current=5, policies=[low, one_way]).capacity == 1
    assert decide(breach(low, 10.0), breach(other, 75.0), current=5).capacity == 4


def test_an_asynchronous_endpoint_that_tells_no_invocations_is_not_taken_to_have_none() -> None:
    calls, late = tracking(100.0), NOW + 10_000
    found = decide(breach(calls), current=3, now=late, of=registered(0), zero_allowed=True)
    assert found.capacity is None
    assert "asynchronous" in found.details
    assert decide(breach(calls), current=3, now=late).capacity == 1


def test_step_scaling_in_does_not_wait_for_tracking() -> None:
    assert decide(breach(IN, -1.0), current=5, policies=[IN, tracking(100.0)]).capacity == 3


def test_bounds_hold_and_are_the_reason() -> None:
    assert decide(breach(tracking(100.0), 9e9), current=4).capacity == 10
    assert codes(decide(breach(tracking(100.0), 9e9), current=10)) == ["AlreadyAtMaxCapacity"]
    assert codes(decide(breach(IN, -1.0), current=2, of=registered(2))) == ["AlreadyAtMinCapacity"]
    assert codes(decide(breach(tracking(100.0), 85.0), current=4)) == ["AlreadyAtDesiredCapacity"]


def test_only_asynchronous_variants_go_to_zero() -> None:
    low = breach(tracking(5.0, BACKLOG), 0.0)
    assert decide(low, current=1, of=registered(0), zero_allowed=True).capacity == 0
    kept = decide(low, current=1, of=registered(0))
    assert kept.capacity is None
    assert kept.not_scaled == ({"Code": "AlreadyAtMinCapacity", "MinCapacity": 1},)
    assert "asynchronous" in kept.details


def test_swings_are_told_as_flapping() -> None:
    found = decide(breach(tracking(100.0), 80.0, 88.0, 30.0), current=4)
    assert found.capacity is None
    assert codes(found) == ["AutoScalingAnticipatedFlapping"]


def test_an_endpoint_that_is_not_in_service_is_left_alone() -> None:
    found = decide(breach(OUT, 1.0), current=2, scalable=False)
    assert (found.capacity, codes(found)) == (None, ["TargetServicePutResourceAsUnscalable"])


@pytest.mark.parametrize(
    ("member", "policy", "value", "blocked"),
    [
        ("DynamicScalingOutSuspended", OUT, 1.0, True),
        ("DynamicScalingOutSuspended", IN, -1.0, False),
        ("DynamicScalingInSuspended", IN, -1.0, True),
        ("DynamicScalingInSuspended", OUT, 1.0, False),
        ("ScheduledScalingSuspended", OUT, 1.0, False),
    ],
)
def test_what_is_suspended_does_nothing(member: str, policy: Policy, value: float, blocked: bool) -> None:
    found = decide(breach(policy, value), current=5, of=registered(**{member: True}))
    assert (found.capacity is None) is blocked


def test_a_larger_step_in_the_cooldown_adds_the_difference() -> None:
    policy = stepping((0.0, 10.0, 2), (10.0, None, 3))
    cooling = noted(policy, 4, 6, NOW)
    assert decide(breach(cooling, 5.0), current=6, now=NOW + 60).capacity is None
    assert decide(breach(cooling, 15.0), current=6, now=NOW + 60).capacity == 7
    after = noted(cooling, 6, 7, NOW + 60)
    assert after.last_out_by == 3
    assert decide(breach(after, 15.0), current=7, now=NOW + 120).capacity is None
    assert decide(breach(after, 15.0), current=7, now=NOW + 360).capacity == 10


def test_a_metric_that_lags_behind_does_not_scale_out_twice() -> None:
    policy = tracking(100.0)
    first = decide(breach(policy, 200.0), current=4, of=registered(most=50))
    assert first.capacity == 8
    cooling = noted(policy, 4, 8, NOW)
    late = decide(breach(cooling, 200.0), current=8, now=NOW + 60, of=registered(most=50))
    assert late.capacity is None
    assert decide(breach(cooling, 400.0), current=8, now=NOW + 60, of=registered(most=50)).capacity == 16


def test_a_short_cooldown_does_not_count_a_metric_of_before() -> None:
    """The newest full minute is of the new capacity alone two minutes after the change, at the latest."""
    quick = tracking(100.0, ScaleOutCooldown=0, ScaleInCooldown=0)
    out = noted(quick, 1, 12, NOW)
    wide = registered(most=50)
    assert decide(breach(out, 900.0), current=12, now=NOW + 60, of=wide).capacity is None
    assert decide(breach(out, 110.0), current=12, now=NOW + 120, of=wide).capacity == 14
    into = noted(quick, 20, 12, NOW)
    assert decide(breach(into, 40.0), current=12, now=NOW + 60, of=wide).capacity is None
    assert decide(breach(into, 40.0), current=12, now=NOW + 120, of=wide).capacity == 5


def test_points_of_ten_seconds_settle_sooner() -> None:
    kind = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}}
    out = noted(tracking(2.0, metric, ScaleOutCooldown=0), 1, 4, NOW)
    assert decide(breach(out, 6.0), current=4, now=NOW + 10).capacity is None
    assert decide(breach(out, 3.0), current=4, now=NOW + 20).capacity == 6


def test_scaling_out_does_not_wait_for_the_cooldown_of_scaling_in() -> None:
    cooled_in = noted(IN, 6, 4, NOW)
    assert decide(breach(cooled_in, -1.0), current=4, now=NOW + 60).capacity is None
    assert decide(breach(OUT, 1.0), current=4, now=NOW + 60, policies=[cooled_in, OUT]).capacity == 6
    assert decide(breach(cooled_in, -1.0), current=4, now=NOW + 300).capacity == 2


def test_scaling_out_ends_the_cooldown_of_scaling_in_and_has_its_own() -> None:
    cooled_in = noted(IN, 6, 4, NOW)
    out = noted(stepping((0.0, None, 2), name="out", Cooldown=30), 4, 6, NOW + 10)
    both = [cooled_in, out]
    assert decide(breach(cooled_in, -1.0), current=6, now=NOW + 20, policies=both).capacity is None
    assert decide(breach(cooled_in, -1.0), current=6, now=NOW + 40, policies=both).capacity == 4


def test_a_clock_that_was_set_back_holds_nothing_for_longer() -> None:
    cooling = noted(OUT, 2, 4, NOW + 86_400)
    assert decide(breach(cooling, 1.0), current=4).capacity == 6


def test_silence_before_a_policy_says_nothing() -> None:
    young = replace(tracking(100.0), created_at=NOW - 60)
    assert decide(breach(young), current=3).capacity is None
    assert decide(breach(young, 5.0, 6.0), current=3).capacity is None
    assert decide(breach(young), current=3, now=NOW + 900).capacity == 1
    assert decide(breach(young, *[5.0] * 15), current=3).capacity == 1
    of_its_own = replace(tracking(100.0, BACKLOG), created_at=NOW - 60)
    assert decide(breach(of_its_own, 5.0), current=3).capacity == 1


def test_silence_is_zero_calls_and_says_nothing_of_other_metrics() -> None:
    assert decide(breach(tracking(100.0)), current=3).capacity == 1
    assert decide(breach(tracking(100.0, BACKLOG)), current=3).capacity is None


def test_no_step_for_a_value_is_told_as_by_aws() -> None:
    found = decide(breach(OUT, -3.0), current=3)
    assert found.details == "No step adjustment found for metric value [-3.0] and breach threshold 0.0"


def test_no_alarm_no_decision() -> None:
    assert decide(current=3) == Decision()


def test_registering_moves_capacity_into_the_bounds() -> None:
    found = bounded(registered(3, 5), 1, zero_allowed=False)
    assert (found.capacity, found.cause) == (3, "minimum capacity was set to 3")
    found = bounded(registered(3, 5), 9, zero_allowed=False)
    assert (found.capacity, found.cause) == (5, "maximum capacity was set to 5")
    assert bounded(registered(3, 5), 4, zero_allowed=False).capacity is None
    assert bounded(registered(0, 0), 1, zero_allowed=False).capacity is None
    assert bounded(registered(0, 0), 1, zero_allowed=True).capacity == 0


def action(**bounds: int) -> ScheduledAction:
    return ScheduledAction(TARGET, "a", "arn", "rate(1 day)", "UTC", bounds, NOW)


@pytest.mark.parametrize(
    ("bounds", "after"),
    [
        ({"MinCapacity": 4}, (4, 10)),
        ({"MaxCapacity": 8}, (2, 8)),
        ({"MinCapacity": 20}, (20, 20)),
        ({"MaxCapacity": 1}, (1, 1)),
        ({"MinCapacity": 5, "MaxCapacity": 6}, (5, 6)),
    ],
)
def test_a_scheduled_action_sets_bounds(bounds: dict[str, int], after: tuple[int, int]) -> None:
    found = scheduled(registered(2, 10), action(**bounds))
    assert (found.least, found.most) == after
    suspended = registered(2, 10, ScheduledScalingSuspended=True)
    assert scheduled(suspended, action(**bounds)) == suspended


policies = st.one_of(
    st.builds(lambda name, target: tracking(target, name=name), st.sampled_from("abc"), st.floats(1, 1000)),
    st.builds(lambda name, by: stepping((0.0, None, by), name=name), st.sampled_from("def"), st.integers(0, 20)),
    st.builds(lambda name, by: stepping((None, 0.0, -by), name=name), st.sampled_from("ghi"), st.integers(0, 20)),
)


@st.composite
def situations(draw: st.DrawFn) -> dict[str, Any]:
    found = []
    for policy in draw(st.lists(policies, max_size=5, unique_by=lambda policy: policy.name)):
        ago = draw(st.one_of(st.none(), st.integers(0, 600)))
        by = draw(st.integers(0, 10))
        if ago is not None:
            policy = replace(policy, last_out_at=NOW - ago, last_out_by=by)
        found.append(breach(policy, *draw(st.lists(st.floats(-1e4, 1e4), max_size=5))))
    least, more = draw(st.integers(0, 10)), draw(st.integers(0, 30))
    current = draw(st.integers(least, least + more))
    return {"breaches": found, "current": current, "of": registered(least, least + more)}


@given(situations(), st.booleans())
def test_a_decision_is_within_bounds_is_a_change_and_has_a_cause(found: dict[str, Any], zero: bool) -> None:
    made = decide(*found["breaches"], current=found["current"], of=found["of"], zero_allowed=zero)
    if made.capacity is None:
        assert made.policy is None
        return
    assert made.capacity != found["current"]
    assert made.capacity <= found["of"].most
    assert made.capacity >= min(found["current"], found["of"].least if zero else max(1, found["of"].least))
    assert made.policy is not None
    assert made.policy.name in made.cause


@given(situations())
def test_no_one_policy_alone_would_have_more(found: dict[str, Any]) -> None:
    """Largest wins: what is decided of all is what is decided of one of them, and of none more."""
    breaches, current, of = found["breaches"], found["current"], found["of"]
    every = [each.policy for each in breaches]
    together = decide(*breaches, current=current, of=of).capacity
    alone = [decide(each, current=current, of=of, policies=every) for each in breaches]
    wished = [current if each.capacity is None else each.capacity for each in alone]
    if together is not None and together > current:
        assert together == max(wished)
    elif together is None and wished:
        assert max(wished) <= current


@given(situations(), st.integers(0, 5))
def test_one_more_policy_never_leaves_less(found: dict[str, Any], added: int) -> None:
    breaches, current, of = found["breaches"], found["current"], found["of"]
    fewer = [each for at, each in enumerate(breaches) if at != added]
    more_of = decide(*breaches, current=current, of=of).capacity
    less_of = decide(*fewer, current=current, of=of).capacity
    if fewer:
        assert (current if more_of is None else more_of) >= (current if less_of is None else less_of)


@given(load=st.floats(0, 5000), first=st.integers(1, 40), target=st.floats(1, 500))
def test_constant_load_changes_capacity_twice_at_most(load: float, first: int, target: float) -> None:
    """An hour of minutes, with alarms that are looked at as control does: out, or in, and then no more."""
    policy, current, changes, values = tracking(target), first, 0, []
    for minute in range(60):
        values = [*values, load / current][-rules.LOW_POINTS :]
        now = NOW + 60 * minute
        found = [breach(policy, *values[-3:])] if min(values[-3:]) > target and len(values) >= 3 else []
        if len(values) == rules.LOW_POINTS and max(values) < target * 9 / 10:
            found = [breach(policy, *values)]
        made = decide(*found, current=current, now=now, of=registered(1, 5000), policies=[policy])
        if made.capacity is not None:
            policy, current, changes = noted(policy, current, made.capacity, now), made.capacity, changes + 1
    assert changes <= 2
    assert load / current <= target * (1 + 1e-6)
