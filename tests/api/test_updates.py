"""UpdateEndpoint through boto3: what it refuses and in which words, and what DescribeEndpoint shows meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mooring.hosting.endpoints import EndpointStatus
from mooring.settings import CapacitySettings, QuotaSettings
from tests.api.conftest import Account
from tests.api.test_limits import account_with, exceeded

SERVERLESS = {"VariantName": "v", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}
TOO_SHORT = "MaximumExecutionTimeoutInSeconds must be greater than the total waiting time of the deployment,"


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def instances(value: int) -> dict[str, Any]:
    return {"Type": "INSTANCE_COUNT", "Value": value}


def routed(kind: str = "ALL_AT_ONCE", wait: int = 0, *, policy: dict[str, Any] | None = None, **sizes: Any) -> Any:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **(policy or {})}}


def rolling(batch: dict[str, Any], wait: int = 0, **more: Any) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"MaximumBatchSize": batch, "WaitIntervalInSeconds": wait, **more}}


def variants(**counts: int) -> list[dict[str, Any]]:
    return [
        {"VariantName": name, "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": count}
        for name, count in counts.items()
    ]


def make_config(account: Account, name: str, production: list[dict[str, Any]], **more: Any) -> None:
    account.client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=production, **more)


@pytest.fixture
def ready(account: Account) -> Account:
    """An endpoint `e` of two instances in service, and the config `new` of four."""
    account.model()
    make_config(account, "c", variants(v=2))
    make_config(account, "new", variants(v=4))
    account.endpoint()
    return account


def update(account: Account, config: str = "new", **more: Any) -> None:
    account.client.update_endpoint(EndpointName="e", EndpointConfigName=config, **more)


def refusal(account: Account, config: str = "new", **more: Any) -> str:
    return account.refused("update_endpoint", EndpointName="e", EndpointConfigName=config, **more)


def test_the_old_values_stay_until_it_is_done(ready: Account) -> None:
    before = ready.client.describe_endpoint(EndpointName="e")
    policy = routed("LINEAR", 60, LinearStepSize=percent(50))
    made = ready.client.update_endpoint(EndpointName="e", EndpointConfigName="new", DeploymentConfig=policy)
    assert made["EndpointArn"] == ready.arn("endpoint/e")
    found = ready.client.describe_endpoint(EndpointName="e")
    assert found["EndpointStatus"] == "Updating"
    for member in ("EndpointConfigName", "ProductionVariants", "CreationTime"):
        assert found[member] == before[member]
    assert "LastDeploymentConfig" not in found
    assert found["LastModifiedTime"] != before["LastModifiedTime"]
    summary = found["PendingDeploymentSummary"]
    assert (summary["EndpointConfigName"], summary["StartTime"]) == ("new", found["LastModifiedTime"])
    pending = summary["ProductionVariants"][0]
    assert pending.pop("DeployedImages")[0]["ResolutionTime"] == summary["StartTime"]
    status = pending.pop("VariantStatus")[0]
    assert (status["Status"], status["StatusMessage"]) == ("Creating", "Launching 4 instance(s).")
    assert pending == {
        "VariantName": "v",
        "InstanceType": "ml.m5.large",
        "CurrentWeight": 0.0,
        "DesiredWeight": 1.0,
        "CurrentInstanceCount": 0,
        "DesiredInstanceCount": 4,
    }
    ready.settle()
    done = ready.client.describe_endpoint(EndpointName="e")
    assert (done["EndpointStatus"], done["EndpointConfigName"]) == ("InService", "new")
    assert done["ProductionVariants"][0]["CurrentInstanceCount"] == 4
    assert done["LastDeploymentConfig"] == policy
    assert "PendingDeploymentSummary" not in done


def test_a_shadow_that_is_to_come_is_shown_apart(ready: Account) -> None:
    make_config(ready, "shadowed", variants(v=1), ShadowProductionVariants=variants(s=1))
    update(ready, "shadowed")
    summary = ready.client.describe_endpoint(EndpointName="e")["PendingDeploymentSummary"]
    assert [each["VariantName"] for each in summary["ProductionVariants"]] == ["v"]
    assert [each["VariantName"] for each in summary["ShadowProductionVariants"]] == ["s"]


def test_what_does_not_exist_is_told_in_awss_words(ready: Account) -> None:
    call = {"EndpointName": "none", "EndpointConfigName": "new"}
    assert ready.refused("update_endpoint", **call) == f'Could not find endpoint "{ready.arn("endpoint/none")}".'
    missing = f'Could not find endpoint configuration "{ready.arn("endpoint-config/none")}".'
    assert refusal(ready, "none") == missing
    ready.client.delete_endpoint_config(EndpointConfigName="c")
    assert refusal(ready) == f'Could not find endpoint configuration "{ready.arn("endpoint-config/c")}".'


@pytest.mark.parametrize("status", [EndpointStatus.CREATING, EndpointStatus.UPDATING, EndpointStatus.ROLLING_BACK])
def test_it_is_refused_in_progress(ready: Account, status: EndpointStatus) -> None:
    ready.settle("e", status)
    text = f'Cannot update in-progress endpoint "{ready.arn("endpoint/e")}".'
    assert refusal(ready) == text
    assert ready.refused("delete_endpoint", EndpointName="e") == text


def test_a_failed_endpoint_can_only_be_deleted(ready: Account) -> None:
    ready.settle("e", EndpointStatus.FAILED)
    assert refusal(ready) == f'Cannot update failed endpoint "{ready.arn("endpoint/e")}".'
    ready.client.delete_endpoint(EndpointName="e")


@pytest.mark.parametrize(
    ("deployment", "message"),
    [
        ({**routed(), **rolling(percent(50))}, "Only one update policy can be specified in DeploymentConfig."),
        (routed("CANARY"), "CanarySize must be specified when and only when the traffic routing type is CANARY."),
        (
            routed("LINEAR", CanarySize=percent(10)),
            "CanarySize must be specified when and only when the traffic routing type is CANARY.",
        ),
        (
            routed("ALL_AT_ONCE", LinearStepSize=percent(10)),
            "LinearStepSize must be specified when and only when the traffic routing type is LINEAR.",
        ),
        (
            routed("CANARY", CanarySize=percent(51)),
            "CanarySize must be less than or equal to 50% of the variant's total instance count.",
        ),
        (
            routed("CANARY", CanarySize=instances(3)),
            ("CanarySize must be less than or equal to 50% of the variant's total instance count. "
            'Variant "v" has 4: give 1 to 2 of them, or a CAPACITY_PERCENT.'),
        ),
        (
            routed("LINEAR", LinearStepSize=percent(9)),
            "LinearStepSize must be 10-50% of the variant's total instance count.",
        ),
        (rolling(percent(4)), "MaximumBatchSize must be 5-50% of the variant's total instance count."),
        (
            rolling(instances(3)),
            ("MaximumBatchSize must be 5-50% of the variant's total instance count. "
            'Variant "v" has 4: give 1 to 2 of them, or a CAPACITY_PERCENT.'),
        ),
        (
            rolling(percent(50), RollbackMaximumBatchSize=percent(101)),
            "RollbackMaximumBatchSize must be less than or equal to 100% of the variant's total instance count.",
        ),
        (
            routed("LINEAR", 300, LinearStepSize=percent(50), policy={"MaximumExecutionTimeoutInSeconds": 600}),
            f"{TOO_SHORT} 600 seconds.",
        ),
        (
            rolling(percent(25), 200, MaximumExecutionTimeoutInSeconds=800),
            f"{TOO_SHORT} 800 seconds.",
        ),
        (
            {"AutoRollbackConfiguration": {"Alarms": [{}]}},
            "AlarmName must be specified for every alarm in AutoRollbackConfiguration.",
        ),
    ],
)  # fmt: skip
def test_a_deployment_that_is_none(ready: Account, deployment: dict[str, Any], message: str) -> None:
    assert refusal(ready, DeploymentConfig=deployment) == message
    call = {"EndpointName": "other", "EndpointConfigName": "new", "DeploymentConfig": deployment}
    assert ready.refused("create_endpoint", **call) == message
    assert ready.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


@pytest.mark.parametrize(("count", "fitting"), [(1, "a CAPACITY_PERCENT"), (3, "1 of them, or a CAPACITY_PERCENT")])
def test_a_batch_that_is_refused_says_which_would_do(ready: Account, count: int, fitting: str) -> None:
    make_config(ready, "few", variants(v=count))
    batch = rolling(instances(count))
    assert refusal(ready, "few", DeploymentConfig=batch).endswith(f' Variant "v" has {count}: give {fitting}.')
    update(ready, "few", DeploymentConfig=rolling(percent(50)))


@pytest.mark.parametrize(
    "deployment",
    [
        routed("CANARY", CanarySize=instances(2)),
        routed("LINEAR", LinearStepSize=percent(10)),
        routed("LINEAR", 299, LinearStepSize=percent(50), policy={"MaximumExecutionTimeoutInSeconds": 600}),
        rolling(percent(5)),
        rolling(instances(2), RollbackMaximumBatchSize=instances(4)),
    ],
)
def test_a_deployment_at_its_bounds(ready: Account, deployment: dict[str, Any]) -> None:
    update(ready, DeploymentConfig=deployment)
    ready.settle()
    assert ready.client.describe_endpoint(EndpointName="e")["LastDeploymentConfig"] == deployment


def test_rolling_is_for_one_variant_of_instances(ready: Account) -> None:
    make_config(ready, "two", variants(v=2, w=2))
    assert refusal(ready, "two", DeploymentConfig=rolling(percent(50))) == (
        "RollingUpdatePolicy is not supported for endpoints with multiple production variants."
    )
    make_config(ready, "serverless", [SERVERLESS])
    call = {"EndpointName": "s", "EndpointConfigName": "serverless", "DeploymentConfig": rolling(percent(50))}
    assert ready.refused("create_endpoint", **call) == (
        "RollingUpdatePolicy is not supported for serverless endpoints."
    )


def test_instances_do_not_become_serverless_and_the_other_way_they_do(ready: Account) -> None:
    make_config(ready, "serverless", [SERVERLESS])
    assert refusal(ready, "serverless") == "Cannot update an instance-based endpoint to a serverless endpoint."
    ready.client.create_endpoint(EndpointName="s", EndpointConfigName="serverless")
    ready.settle("s")
    ready.client.update_endpoint(EndpointName="s", EndpointConfigName="new")
    pending = ready.client.describe_endpoint(EndpointName="s")["PendingDeploymentSummary"]["ProductionVariants"][0]
    assert pending["DesiredInstanceCount"] == 4


def test_the_last_deployment_is_used_again_or_forgotten(ready: Account) -> None:
    policy = routed("CANARY", 5, CanarySize=percent(50))
    both = {"RetainDeploymentConfig": True, "DeploymentConfig": policy}
    assert refusal(ready, **both) == "DeploymentConfig cannot be specified when RetainDeploymentConfig is true."
    update(ready, DeploymentConfig=policy)
    ready.settle()
    update(ready, "c", RetainDeploymentConfig=True)
    ready.settle()
    assert ready.client.describe_endpoint(EndpointName="e")["LastDeploymentConfig"] == policy
    update(ready, "new")
    ready.settle()
    assert "LastDeploymentConfig" not in ready.client.describe_endpoint(EndpointName="e")


@pytest.mark.parametrize(
    ("request_members", "count", "weight"),
    [
        ({}, 4, 1.0),
        ({"RetainAllVariantProperties": True}, 3, 7.0),
        ({"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": ["DesiredInstanceCount"]}, 4, 7.0),
        ({"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": ["DesiredWeight"]}, 3, 1.0),
        ({"ExcludeRetainedVariantProperties": ["DesiredWeight"]}, 4, 1.0),
    ],
)
def test_what_was_desired_is_retained(
    ready: Account, request_members: dict[str, Any], count: int, weight: float
) -> None:
    desired = {"VariantName": "v", "DesiredInstanceCount": 3, "DesiredWeight": 7.0}
    ready.client.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=[desired])
    ready.settle()
    given = dict(request_members)
    if excluded := given.get("ExcludeRetainedVariantProperties"):
        given["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": each} for each in excluded]
    update(ready, **given)
    ready.settle()
    variant = ready.client.describe_endpoint(EndpointName="e")["ProductionVariants"][0]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (count, weight)


def test_weights_and_capacities_work_on_after_an_update(ready: Account) -> None:
    update(ready)
    ready.settle()
    change = [{"VariantName": "v", "DesiredInstanceCount": 1}]
    ready.client.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=change)
    found = ready.client.describe_endpoint(EndpointName="e")
    assert "PendingDeploymentSummary" not in found
    numbers = found["ProductionVariants"][0]
    assert (numbers["CurrentInstanceCount"], numbers["DesiredInstanceCount"]) == (4, 1)


def test_a_model_that_is_gone_leaves_things_as_they_are(ready: Account) -> None:
    ready.client.delete_model(ModelName="m")
    update(ready)
    found = ready.client.describe_endpoint(EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "c")
    assert found["FailureReason"] == f'Could not find model "{ready.arn("model/m")}".'


def test_the_new_fleet_counts_on_top_of_the_old_one(tmp_path: Path) -> None:
    with account_with(tmp_path, quotas=QuotaSettings(instances=5, instances_per_endpoint=4)) as account:
        account.model()
        make_config(account, "c", variants(v=2))
        make_config(account, "new", variants(v=4))
        account.endpoint()
        call = {"EndpointName": "e", "EndpointConfigName": "new"}
        message = exceeded(account, "update_endpoint", **call)
        assert "is 5 Instances, with current utilization of 2 Instances and a request delta of 4 Instances." in message
        assert account.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"
        # At the most one batch of two runs beside the old two, and two more when one of those has gone.
        account.client.update_endpoint(**call, DeploymentConfig=rolling(percent(50)))
        account.settle()
        assert "'Number of instances across" in exceeded(
            account, "update_endpoint", **{**call, "EndpointConfigName": "c"}
        )


def test_a_fleet_that_does_not_fit_beside_the_old_one(tmp_path: Path) -> None:
    capacity = CapacitySettings(policy="enforce", vcpus=8, memory_gib=64)
    with account_with(tmp_path, capacity=capacity) as account:
        account.model()
        make_config(account, "c", variants(v=2))
        make_config(account, "new", variants(v=4))
        account.endpoint()
        update(account)
        found = account.client.describe_endpoint(EndpointName="e")
        assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "c")
        assert found["FailureReason"].endswith("(12 vCPUs needed, 8 of 8 free)")
        update(account, "c")
        account.settle()
        assert "FailureReason" not in account.client.describe_endpoint(EndpointName="e")


def test_a_stopped_endpoint_is_switched_by_the_admin_api(ready: Account) -> None:
    def switch(which: str, name: str = "e") -> tuple[int, str]:
        path = f"/-/mooring/v1/endpoints/{name}/{which}?region={ready.region}"
        answer = ready.edge.raw("POST", path, {"X-Mooring-Client": "test"})
        return answer.status, answer.json.get("message", "")

    assert switch("start") == (400, 'Endpoint "e" is InService: only one that is OutOfService can be started.')
    woken = len(ready.edge.control.woken)
    assert switch("stop") == (200, "")
    assert len(ready.edge.control.woken) == woken + 1
    found = ready.client.describe_endpoint(EndpointName="e")
    assert found["EndpointStatus"] == "OutOfService"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    assert switch("stop")[0] == 400
    assert switch("start") == (200, "")
    assert ready.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Updating"
    busy = (
        'Endpoint "e" is Updating: wait until that is over. `mooring endpoints events e --follow` shows how far it is.'
    )
    assert switch("stop") == switch("start") == (400, busy)
    assert switch("stop", "none")[0] == 404
