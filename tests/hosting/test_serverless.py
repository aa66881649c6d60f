"""What a serverless variant wants at each moment of its endpoint's life."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mooring.hosting import transitions
from mooring.hosting.config_rules import completed_config
from mooring.hosting.describing import described
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase
from mooring.hosting.naming import Scope
from mooring.hosting.rollout.targets import targets
from mooring.hosting.rollout.updates import updated
from mooring.hosting.serverless import Slots, with_one_worker

HERE = Scope("000000000000", "us-east-1")
MODELS: dict[str, dict[str, Any]] = {"m": {"ModelName": "m", "PrimaryContainer": {"Image": "i"}}}
LONGEST_S = 3600.0


def config(name: str = "c", **variant: Any) -> dict[str, Any]:
    return completed_config(
        {"EndpointConfigName": name, "ProductionVariants": [{"VariantName": "v", "ModelName": "m", **variant}]}
    )


def serverless(name: str = "c", **members: int) -> dict[str, Any]:
    return config(name, ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 5, **members})


def instances(count: int) -> dict[str, Any]:
    return config("instances", InstanceType="ml.m5.large", InitialInstanceCount=count)


def created(given: dict[str, Any]) -> EndpointRecord:
    return transitions.created("uid", HERE, {"EndpointName": "e"}, given, MODELS, 5.0)


def in_service(given: dict[str, Any]) -> EndpointRecord:
    return transitions.settled(created(given), 6.0)


def wanted(record: EndpointRecord) -> list[tuple[int, int, bool]]:
    """(generation, the least that runs, whether more may) of each fleet."""
    return [(fleet.generation, each.count, each.elastic) for fleet in targets(record) for each in fleet.variants]


def reweighted(record: EndpointRecord, **update: int) -> EndpointRecord:
    return transitions.reweighted(record, [{"VariantName": "v", "ServerlessUpdateConfig": update}], 7.0)


@pytest.mark.parametrize(("provisioned", "first"), [({}, 1), ({"ProvisionedConcurrency": 3}, 3)])
def test_its_first_replicas_are_waited_for_and_what_is_provisioned_stays(
    provisioned: dict[str, int], first: int
) -> None:
    given = serverless(**provisioned)
    assert wanted(created(given)) == [(1, first, True)]
    lasting = provisioned.get("ProvisionedConcurrency", 0)
    assert wanted(in_service(given)) == [(1, lasting, True)]
    stopped = transitions.stopped(in_service(given), 7.0)
    assert wanted(stopped) == []
    assert wanted(transitions.started(stopped, 8.0)) == [(1, first, True)], "it is to show again that it can start"


def test_new_limits_show_when_they_are_in_effect_and_can_be_undone() -> None:
    record = reweighted(in_service(serverless()), MaxConcurrency=7, ProvisionedConcurrency=2)
    shown = described(record)["ProductionVariants"][0]
    before, after = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}, {"MemorySizeInMB": 1024, "MaxConcurrency": 7}
    after["ProvisionedConcurrency"] = 2
    assert (shown["CurrentServerlessConfig"], shown["DesiredServerlessConfig"]) == (before, after)
    assert wanted(record) == [(1, 2, True)]
    assert transitions.grows(record.variants[0])
    done = described(transitions.settled(record, 8.0))["ProductionVariants"][0]
    assert done["CurrentServerlessConfig"] == done["DesiredServerlessConfig"] == after
    undone = transitions.unchanged(record, "why", 8.0)
    assert wanted(undone) == [(1, 0, True)]
    assert described(undone)["ProductionVariants"][0]["DesiredServerlessConfig"] == before
    assert not transitions.grows(
        reweighted(in_service(serverless(ProvisionedConcurrency=2)), MaxConcurrency=4).variants[0]
    )


def rolled(record: EndpointRecord, phase: Phase) -> EndpointRecord:
    assert record.rollout is not None
    return replace(record, rollout=replace(record.rollout, phase=phase))


def test_an_update_waits_for_the_new_fleet_and_starts_nothing_of_the_old() -> None:
    record = updated(in_service(serverless()), {}, serverless("new"), MODELS, 7.0, LONGEST_S)
    assert record.status is EndpointStatus.UPDATING
    for phase in (Phase.LAUNCHING, Phase.SHIFTING, Phase.BAKING):
        assert wanted(rolled(record, phase)) == [(1, 0, True), (2, 1, True)]
    assert wanted(rolled(record, Phase.RETIRING)) == [(1, 0, False), (2, 1, True)]


def test_an_update_to_instances_leaves_no_slots() -> None:
    record = updated(in_service(serverless(ProvisionedConcurrency=2)), {}, instances(3), MODELS, 7.0, LONGEST_S)
    assert wanted(rolled(record, Phase.LAUNCHING)) == [(1, 2, True), (2, 3, False)]
    assert wanted(rolled(record, Phase.RETIRING)) == [(1, 0, False), (2, 3, False)]


def test_a_replica_has_one_worker_whatever_its_container_is_told() -> None:
    told = {"SAGEMAKER_MODEL_SERVER_WORKERS": "4", "A": "1"}
    one = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "A": "1"}
    container = {"Image": "i", "Environment": told}
    assert with_one_worker({"PrimaryContainer": container})["PrimaryContainer"]["Environment"] == one
    assert with_one_worker({"Containers": [container]})["Containers"][0]["Environment"] == one
    assert container["Environment"]["SAGEMAKER_MODEL_SERVER_WORKERS"] == "4"


@pytest.mark.parametrize("document", [None, [], ["u", 1, "v"], ["u", "x", "v", [1]], ["u", 1, "v", ["x"]], 5])
def test_what_is_no_set_of_slots_is_refused(document: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Slots.from_document(document)
    assert Slots.from_document([*Slots("u", 1, "v", [2, 3])]) == ("u", 1, "v", [2, 3])
