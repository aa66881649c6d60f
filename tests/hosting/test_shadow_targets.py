"""What of a shadow runs and is copied to, through updates: it follows its fleet and never leads the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mooring.hosting.config_rules import completed_config
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase
from mooring.hosting.rollout.rollouts import Seen, moved
from mooring.hosting.rollout.targets import VariantTarget, copied_part, targets
from mooring.hosting.rollout.updates import updated
from mooring.hosting.transitions import created, reweighted, settled, stopped
from tests.hosting.test_rollouts import HERE, MODELS, blue_green, rolling, size

COMING = Seen(in_effect=True, settled=True)
THERE = Seen(old_complete=True, new_complete=True, in_effect=True, settled=True)


def variant(name: str, count: int, weight: float = 1.0) -> dict[str, Any]:
    return {
        "VariantName": name, "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
    }  # fmt: skip


def config(name: str, shadow: dict[str, Any] | None, production: str = "p", count: int = 2) -> dict[str, Any]:
    members = {"ShadowProductionVariants": [shadow]} if shadow is not None else {}
    made = {"EndpointConfigName": name, "ProductionVariants": [variant(production, count)], **members}
    return completed_config(made)


def in_service(shadow: dict[str, Any] | None) -> EndpointRecord:
    return settled(created("uid", HERE, {"EndpointName": "e"}, config("old", shadow), MODELS, 1.0), 2.0)


def found(record: EndpointRecord) -> dict[tuple[int, str], VariantTarget]:
    return {(fleet.generation, each.variant.name): each for fleet in targets(record) for each in fleet.variants}


@pytest.mark.parametrize(("weight", "part"), [(0.5, 0.5), (1.0, 1.0), (3.0, 1.0), (0.0, 0.0)])
def test_the_part_is_the_ratio_of_the_weights(weight: float, part: float) -> None:
    record = in_service(variant("s", 1, weight))
    target = found(record)[1, "s"]
    assert (target.weight, target.count, target.share, target.awaited) == (part, 1, 1.0, False)
    assert copied_part(record.variants, target.variant) == part


def test_a_shadow_is_waited_for_until_it_is_there() -> None:
    record = created("uid", HERE, {"EndpointName": "e"}, config("c", variant("s", 1)), MODELS, 1.0)
    assert found(record)[1, "s"].awaited is True
    record = reweighted(settled(record, 2.0), [{"VariantName": "s", "DesiredInstanceCount": 3}], 3.0)
    assert (found(record)[1, "s"].count, found(record)[1, "s"].awaited) == (3, True)
    record = reweighted(settled(record, 4.0), [{"VariantName": "p", "DesiredInstanceCount": 3}], 5.0)
    assert found(record)[1, "s"].awaited is False  # though it may be dead at the moment
    assert not found(stopped(settled(record, 6.0), 7.0))


@pytest.mark.parametrize(
    "deployment",
    [
        None,
        blue_green("CANARY", CanarySize=size("%", 50)),
        blue_green("LINEAR", LinearStepSize=size("%", 50)),
        rolling(size("%", 50)),
    ],
)
@pytest.mark.parametrize("turning", [False, True])
def test_each_fleet_keeps_its_shadow_while_any_of_it_serves(deployment: dict[str, Any] | None, turning: bool) -> None:
    record = in_service(variant("s", 1))
    request = {"DeploymentConfig": deployment} if deployment is not None else {}
    # Promoted, and another shadow comes.
    record = updated(record, request, config("new", variant("p", 4), "s"), MODELS, 100.0, 1e6)
    assert record.rollout is not None
    now, phases = 100.0, []
    while record.rollout is not None:
        rollout, now = record.rollout, now + 1000
        run = found(record)
        old_runs, new_runs = (run.get((1, "p")), run.get((2, "s")))
        assert ((1, "s") in run) is (old_runs is not None and old_runs.count > 0)
        assert ((2, "p") in run) is (new_runs is not None and new_runs.count > 0)
        if (2, "p") in run:
            coming = rollout.phase is Phase.LAUNCHING and rollout.step == 0 and rollout.turned is None
            assert (run[2, "p"].count, run[2, "p"].awaited) == (4, coming)
        if old_runs is not None and new_runs is not None:
            assert old_runs.weight + new_runs.weight == pytest.approx(1.0)
        phases.append(rollout.phase)
        assert len(phases) < 50
        failing = turning and rollout.phase is Phase.SHIFTING and rollout.turned is None
        seen = replace(THERE, new_failure="it died") if failing else THERE
        record = moved(record, seen, now, 60.0) or record
    assert record.status is EndpointStatus.IN_SERVICE
    assert {key: each.count for key, each in found(record).items()} == (
        {(1, "p"): 2, (1, "s"): 1} if turning else {(2, "s"): 2, (2, "p"): 4}
    )
