"""Updates as a state machine, against a world that is random: replicas start late or die, gateways lag, alarms ring."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.hosting.config_rules import completed_config
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase
from mooring.hosting.naming import Scope
from mooring.hosting.rollout.rollouts import Heard, Seen, moved
from mooring.hosting.rollout.targets import FleetTarget, most_instances, targets
from mooring.hosting.rollout.updates import updated
from mooring.hosting.transitions import created, settled, stopped

HERE = Scope("000000000000", "us-east-1")
MODELS: dict[str, dict[str, Any]] = {"m": {"ModelName": "m", "PrimaryContainer": {"Image": "i"}}}
PATIENCE_S = 60.0
Key = tuple[int, str]


def a_config(name: str, counts: dict[str, int]) -> dict[str, Any]:
    variants = [
        {"VariantName": each, "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": count}
        for each, count in counts.items()
    ]
    return completed_config({"EndpointConfigName": name, "ProductionVariants": variants})


def in_service(counts: dict[str, int]) -> EndpointRecord:
    record = created("uid", HERE, {"EndpointName": "e"}, a_config("old", counts), MODELS, 1.0)
    return settled(record, 2.0)


def update(record: EndpointRecord, counts: dict[str, int], deployment: dict[str, Any] | None) -> EndpointRecord:
    request = {"DeploymentConfig": deployment} if deployment is not None else {}
    return updated(record, request, a_config("new", counts), MODELS, 100.0, 1000.0)


def size(kind: str, value: int) -> dict[str, Any]:
    return {"Type": {"%": "CAPACITY_PERCENT", "#": "INSTANCE_COUNT"}[kind], "Value": value}


def blue_green(kind: str, wait: int = 10, termination: int = 5, **sizes: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": termination,
        }
    }


def rolling(batch: dict[str, Any], wait: int = 10, **more: Any) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"MaximumBatchSize": batch, "WaitIntervalInSeconds": wait, **more}}


ALARMS = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "alarm"}]}}


@dataclass
class World:
    """What control and the gateways do of a record, with faults that a test draws."""

    record: EndpointRecord
    now: float = 100.0
    healthy: dict[Key, int] = field(default_factory=dict)
    starting: dict[Key, int] = field(default_factory=dict)
    routed: dict[Key, tuple[int, float]] = field(default_factory=dict)
    """What the gateways follow: replicas and share."""
    broken: set[int] = field(default_factory=set)
    """Generations whose replicas never become healthy."""
    heard: Heard | None = None
    moves: list[tuple[EndpointStatus, Phase | None, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for fleet in targets(replace(self.record, rollout=None, status=EndpointStatus.IN_SERVICE)):
            for each in fleet.variants:
                self.healthy[fleet.generation, each.variant.name] = each.count
                self.routed[fleet.generation, each.variant.name] = (each.count, each.share)

    def tick(self, *, acknowledged: bool = True, starts: int = 99, seconds: float = 1.0) -> None:
        """One pass of control: act on the record, look, and move."""
        wanted = targets(self.record)
        by_key = {(f.generation, each.variant.name): (f, each) for f in wanted for each in f.variants}
        for key, (fleet, each) in by_key.items():
            missing = each.count - self.healthy.get(key, 0) - self.starting.get(key, 0)
            if fleet.grows and missing > 0:
                self.starting[key] = self.starting.get(key, 0) + missing
        if acknowledged:
            self.routed = {
                key: (min(each.routed, self.healthy.get(key, 0)), each.share) for key, (_, each) in by_key.items()
            }
            for key in list(self.healthy):
                most = by_key[key][1].count if key in by_key else 0
                self.healthy[key] = min(self.healthy[key], most)
                self.starting[key] = max(0, min(self.starting.get(key, 0), most - self.healthy[key]))
        seen = self._seen(wanted, by_key, acknowledged)
        for key in list(self.starting):
            if key[0] not in self.broken:
                ready = min(starts, self.starting[key])
                self.starting[key] -= ready
                self.healthy[key] = self.healthy.get(key, 0) + ready
        found = moved(self.record, seen, self.now, PATIENCE_S) if self.record.rollout is not None else None
        if found is not None:
            self.record = found
            phase = (found.rollout.phase, found.rollout.step) if found.rollout is not None else (None, 0)
            self.moves.append((found.status, *phase))
        self.now += seconds

    def _seen(self, wanted: tuple[FleetTarget, ...], by_key: dict[Key, Any], acknowledged: bool) -> Seen:
        rollout = self.record.rollout
        new = rollout.generation if rollout is not None else 0

        def complete(*, of_new: bool) -> bool:
            return all(
                self.healthy.get((fleet.generation, each.variant.name), 0) >= each.count
                for fleet in wanted
                for each in fleet.variants
                if (fleet.generation == new) is of_new
            )

        def failure(*, of_new: bool) -> str | None:
            gone = any(
                (generation == new) is of_new and self.starting.get((generation, name), 0)
                for generation, name in by_key
                if generation in self.broken
            )
            return "it does not start" if gone else None

        return Seen(
            old_complete=complete(of_new=False),
            new_complete=complete(of_new=True),
            in_effect=acknowledged,
            settled=acknowledged and all(key in by_key for key, count in self.healthy.items() if count),
            old_failure=failure(of_new=False),
            new_failure=failure(of_new=True),
            heard=self.heard,
        )

    def run(self, most: int = 400) -> EndpointRecord:
        while self.record.rollout is not None:
            assert len(self.moves) < most, self.moves
            assert self.now < 100_000, self.moves
            if self.heard is not None and self.heard.quiet:
                self.heard = Heard(self.now)
            self.tick()
        return self.record

    def shares(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for fleet in targets(self.record):
            found[fleet.generation] = round(sum(each.weight for each in fleet.variants), 3)
        return found


def trace(world: World) -> list[tuple[float, int, int]]:
    """(share of the new fleet, its replicas that take traffic, replicas of the old one) of each bake."""
    found = []
    while world.record.rollout is not None:
        rollout = world.record.rollout
        if rollout.phase is Phase.BAKING and (not world.moves or world.moves[-1][1] is Phase.BAKING):
            old, new = (
                next(f for f in targets(world.record) if f.generation == generation)
                for generation in (world.record.generation, rollout.generation)
            )
            entry = (
                round(new.variants[0].share, 3),
                sum(each.routed for each in new.variants),
                sum(each.count for each in old.variants),
            )
            if not found or found[-1] != entry:
                found.append(entry)
        world.tick()
    return found


@pytest.mark.parametrize(
    ("counts", "deployment", "bakes"),
    [
        ({"v": 2}, None, [(1.0, 2, 2)]),
        ({"v": 2}, blue_green("ALL_AT_ONCE"), [(1.0, 2, 2)]),
        ({"v": 4}, blue_green("CANARY", CanarySize=size("#", 1)), [(0.25, 1, 4), (1.0, 4, 4)]),
        ({"v": 1}, blue_green("CANARY", CanarySize=size("%", 10)), [(0.1, 1, 1), (1.0, 1, 1)]),
        ({"v": 3}, blue_green("LINEAR", LinearStepSize=size("%", 33)), [(0.33, 1, 3), (0.66, 2, 3), (1.0, 3, 3)]),
        ({"v": 4}, blue_green("LINEAR", LinearStepSize=size("#", 2)), [(0.5, 2, 4), (1.0, 4, 4)]),
        ({"v": 4}, rolling(size("#", 1)), [(0.25, 1, 4), (0.5, 2, 3), (0.75, 3, 2), (1.0, 4, 1)]),
        ({"v": 1}, rolling(size("%", 50)), [(1.0, 1, 1)]),
    ],
)
def test_the_steps_of_each_mode(
    counts: dict[str, int], deployment: dict[str, Any] | None, bakes: list[tuple[float, int, int]]
) -> None:
    world = World(update(in_service(counts), counts, deployment))
    assert trace(world) == bakes
    record = world.record
    assert (record.status, record.config_name, record.generation) == (EndpointStatus.IN_SERVICE, "new", 2)
    assert record.deployment_config == deployment
    assert [(v.current_count, v.desired_count) for v in record.variants] == [(n, n) for n in counts.values()]


def test_a_bake_lasts_as_long_as_the_policy_says() -> None:
    world = World(update(in_service({"v": 2}), {"v": 2}, blue_green("CANARY", CanarySize=size("#", 1))))
    began: dict[int, float] = {}
    ended: dict[int, float] = {}
    while (rollout := world.record.rollout) is not None:
        if rollout.phase is Phase.BAKING:
            began.setdefault(rollout.step, world.now)
        elif rollout.step in began:
            ended.setdefault(rollout.step, world.now)
        elif rollout.step - 1 in began:
            ended.setdefault(rollout.step - 1, world.now)
        world.tick()
    assert ended[0] - began[0] >= 10
    assert ended[1] - began[1] >= 5


@pytest.mark.parametrize("after", range(1, 30, 2))
@pytest.mark.parametrize("back_s", [2.0, 3600.0, 90_000.0])
def test_a_clock_that_is_set_back_makes_nothing_longer(after: int, back_s: float) -> None:
    deployment = blue_green("CANARY", CanarySize=size("#", 1)) | ALARMS
    world = World(update(in_service({"v": 2}), {"v": 2}, deployment))
    ticks = 0
    while world.record.rollout is not None:
        if ticks == after:
            world.now -= back_s
        world.heard = Heard(world.now)
        world.tick()
        ticks += 1
        assert ticks < 60, world.moves
    assert ticks >= 10 + 5
    assert world.record.config_name == "new"
    assert world.record.failure_reason is None


def test_variants_that_come_and_go_move_at_once() -> None:
    deployment = blue_green("CANARY", CanarySize=size("%", 50))
    world = World(update(in_service({"a": 2, "b": 2}), {"b": 2, "c": 2}, deployment))
    assert trace(world) == [(1.0, 4, 4)]
    assert [variant.name for variant in world.record.variants] == ["b", "c"]


def test_a_stopped_endpoint_is_updated_into_service_at_once() -> None:
    record = stopped(in_service({"v": 2}), 3.0)
    assert targets(record) == ()
    world = World(update(record, {"v": 2}, blue_green("CANARY", CanarySize=size("#", 1))), healthy={})
    world.healthy.clear()
    assert world.run().status is EndpointStatus.IN_SERVICE
    broken = World(update(record, {"v": 2}, None), broken={2})
    broken.healthy.clear()
    assert broken.run().status is EndpointStatus.OUT_OF_SERVICE
    assert broken.record.failure_reason == "it does not start"


@pytest.mark.parametrize(
    "deployment",
    [None, blue_green("CANARY", CanarySize=size("%", 20)), rolling(size("%", 50))],
)
def test_a_new_fleet_that_does_not_start_leads_back(deployment: dict[str, Any] | None) -> None:
    record = in_service({"v": 2})
    world = World(update(record, {"v": 2}, deployment), broken={2})
    back = world.run()
    assert (back.status, back.config_name, back.generation) == (EndpointStatus.IN_SERVICE, "old", 1)
    assert back.failure_reason == "it does not start"
    assert back.variants == record.variants
    assert EndpointStatus.ROLLING_BACK in {status for status, _, _ in world.moves}
    again = update(back, {"v": 2}, None)
    assert again.rollout is not None
    assert again.rollout.generation == 3


def test_an_alarm_in_a_bake_moves_all_traffic_back_at_once() -> None:
    deployment = {**blue_green("LINEAR", LinearStepSize=size("%", 50)), **ALARMS}
    world = World(update(in_service({"v": 2}), {"v": 2}, deployment), heard=Heard(100.0))
    while world.record.rollout is None or world.record.rollout.phase is not Phase.BAKING:
        world.heard = Heard(world.now)
        world.tick()
    assert world.shares() == {1: 0.5, 2: 0.5}
    world.heard = Heard(world.now, ringing=("alarm",))
    world.tick()
    assert world.record.status is EndpointStatus.ROLLING_BACK
    assert world.shares() == {1: 1.0, 2: 0.0}
    back = world.run()
    assert back.failure_reason == (
        "One or more configured alarm(s) in your auto-rollback configuration were triggered: [alarm]. The deployment "
        "was rolled back."
    )
    assert world.healthy[2, "v"] == 0


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (Heard(101.0, ringing=("alarm",)), "were triggered"),
        (Heard(101.0, unknown=("alarm",)), "do not exist in CloudWatch: [alarm]"),
        (Heard(101.0, silence="no route to host"), "did not tell for 60 s"),
    ],
)
def test_nothing_is_started_unless_the_alarms_are_known_to_be_quiet(heard: Heard, words: str) -> None:
    world = World(update(in_service({"v": 2}), {"v": 2}, {**blue_green("ALL_AT_ONCE"), **ALARMS}))
    world.tick()
    assert world.record.rollout is not None
    assert world.record.rollout.phase is Phase.CHECKING
    world.heard = heard
    back = world.run()
    assert words in str(back.failure_reason)
    assert (back.status, back.config_name) == (EndpointStatus.IN_SERVICE, "old")
    assert not world.starting.get((2, "v"))


def test_a_silent_cloudwatch_holds_a_bake_and_a_short_silence_is_forgiven() -> None:
    world = World(update(in_service({"v": 1}), {"v": 1}, {**blue_green("ALL_AT_ONCE"), **ALARMS}), heard=Heard(100.0))
    while world.record.rollout is not None and world.record.rollout.phase is not Phase.BAKING:
        world.heard = Heard(world.now)
        world.tick()
    for _ in range(30):
        world.heard = Heard(world.now, silence="it is being started")
        world.tick()
    assert world.record.rollout is not None
    assert (world.record.status, world.record.rollout.phase) == (EndpointStatus.UPDATING, Phase.BAKING)
    world.heard = Heard(world.now)
    assert world.run().config_name == "new"


def test_a_time_limit_rolls_back_and_names_itself() -> None:
    world = World(update(in_service({"v": 1}), {"v": 1}, None), now=100.0)
    for _ in range(1001):
        world.tick(starts=0)
    assert world.run().failure_reason == (
        "The deployment exceeded MaximumExecutionTimeoutInSeconds (1000) and was rolled back."
    )


def test_a_rolling_update_rolls_back_in_batches_and_a_failing_rollback_is_told() -> None:
    policy = rolling(size("#", 1), RollbackMaximumBatchSize=size("#", 1))
    record = update(in_service({"v": 4}), {"v": 4}, policy)

    def half_way() -> World:
        world = World(record)
        while (world.record.rollout or record.rollout).step < 2:
            world.tick()
        world.broken = {2}
        return world

    back = half_way()
    sizes = set()
    while back.record.rollout is not None:
        back.tick()
        sizes.add(back.healthy[1, "v"])
    assert (back.record.status, back.record.config_name) == (EndpointStatus.IN_SERVICE, "old")
    assert sizes == {2, 3, 4}

    stranded = half_way()
    stranded.broken = {1, 2}
    failed = stranded.run()
    assert failed.status is EndpointStatus.UPDATE_ROLLBACK_FAILED
    assert failed.config_name == "old"
    assert "The rollback failed: it does not start" in str(failed.failure_reason)
    assert stranded.shares() == {1: 0.5, 2: 0.5}
    assert [each.count for fleet in targets(failed) for each in fleet.variants] == [2, 2]

    recovery = World(update(failed, {"v": 4}, policy))
    recovered = recovery.run()
    assert (recovered.status, recovered.config_name, recovered.generation) == (EndpointStatus.IN_SERVICE, "new", 3)
    assert recovered.remnant is None
    assert {key: count for key, count in recovery.healthy.items() if count} == {(3, "v"): 4}

    unrecovered = World(update(failed, {"v": 4}, None), broken={3}).run()
    assert unrecovered.status is EndpointStatus.UPDATE_ROLLBACK_FAILED
    assert unrecovered.remnant == failed.remnant


MODES = st.one_of(
    st.none(),
    st.builds(blue_green, st.just("ALL_AT_ONCE"), st.integers(0, 9), st.integers(0, 9)),
    st.builds(lambda p: blue_green("CANARY", CanarySize=size("%", p)), st.integers(1, 50)),
    st.builds(lambda p: blue_green("LINEAR", LinearStepSize=size("%", p)), st.integers(10, 50)),
    st.builds(lambda p, r: rolling(size("%", p), RollbackMaximumBatchSize=size("%", r)), st.integers(5, 50),
              st.integers(1, 100)),
)  # fmt: skip


@settings(max_examples=80)
@given(
    before=st.integers(1, 6),
    after=st.integers(1, 6),
    deployment=MODES,
    alarmed=st.booleans(),
    data=st.data(),
)
def test_whatever_happens_no_request_is_without_a_replica_and_it_ends(
    before: int, after: int, deployment: dict[str, Any] | None, alarmed: bool, data: st.DataObject
) -> None:
    """Gateways lag, replicas are slow, alarms ring and fleets break; no replica dies, so nothing may be lost."""
    if alarmed:
        deployment = {**(deployment or {}), **ALARMS}
    record = update(in_service({"v": before}), {"v": after}, deployment)
    most = sum(count for _, count in most_instances(record))
    world = World(record)
    lags = data.draw(st.lists(st.booleans(), min_size=40, max_size=40), label="gateways lag")
    fault_at = data.draw(st.integers(0, 120), label="fault at")
    fault = data.draw(st.sampled_from(["none", "breaks", "rings"]), label="fault")
    for turn in range(5000):
        if world.record.rollout is None:
            break
        rings = alarmed and fault == "rings" and turn >= fault_at
        world.heard = Heard(world.now, ringing=("alarm",) if rings else ()) if alarmed else None
        if fault == "breaks" and turn == fault_at:
            world.broken.add(2)
        world.tick(acknowledged=turn >= len(lags) or not lags[turn] or turn % 7 == 0, starts=1)
        # To roll a rolling update back may take the whole of both fleets.
        _check(world, before, after, most if world.record.status is EndpointStatus.UPDATING else before + after)
    assert world.record.rollout is None, world.moves[-5:]
    assert world.record.status is EndpointStatus.IN_SERVICE
    world.tick()
    fleet = targets(world.record)[0]
    kept = {key: count for key, count in world.healthy.items() if count}
    assert kept == {(fleet.generation, "v"): before if world.record.config_name == "old" else after}


def _check(world: World, before: int, after: int, most: int) -> None:
    capacity = 0.0
    for (generation, _), (replicas, share) in world.routed.items():
        if not share:
            continue
        assert replicas, f"{share} of the traffic goes to no replica of generation {generation}"
        whole = before if generation == 1 else after
        assert replicas >= share * whole - 1e-6, f"{share} of the traffic on {replicas} of {whole} replicas"
        capacity += share
    assert capacity == pytest.approx(1.0)
    running = sum(world.healthy.values()) + sum(world.starting.values())
    assert running <= most
