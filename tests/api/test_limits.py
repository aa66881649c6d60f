"""Quotas in AWS's words, and the machine's capacity where it is enforced, through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.errors import SettingsError
from mooring.settings import CapacitySettings, QuotaSettings, Settings, load
from tests.api.conftest import IMAGE, Account
from tests.api.serving import serving

TAIL = (
    "Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, "
    "contact AWS support to request an increase for this quota."
)
TWO_LARGE = [{"VariantName": "v", "DesiredInstanceCount": 2}]


@contextmanager
def account_with(path: Path, **topics: object) -> Iterator[Account]:
    with serving(path / "state.db", replace(Settings(), **topics)) as running:
        yield Account(running, "us-east-1", running.client())


def exceeded(account: Account, operation: str, **params: object) -> str:
    return account.refused(operation, "ResourceLimitExceeded", **params)


def test_counts_of_models_configs_and_endpoints(tmp_path: Path) -> None:
    with account_with(tmp_path, quotas=QuotaSettings(models=1, endpoint_configs=1, endpoints=1)) as account:
        account.model()
        account.config()
        account.endpoint()
        message = exceeded(account, "create_model", ModelName="n", PrimaryContainer={"Image": IMAGE})
        assert message == (
            "The account-level service limit 'Number of models' is 1 Models, with current utilization of 1 Models and "
            f"a request delta of 1 Models. {TAIL}"
        )
        variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        message = exceeded(account, "create_endpoint_config", EndpointConfigName="d", ProductionVariants=[variant])
        assert "'Number of endpoint configurations' is 1 Configurations" in message
        message = exceeded(account, "create_endpoint", EndpointName="f", EndpointConfigName="c")
        assert "'Number of endpoints' is 1 Endpoints" in message
        elsewhere = account.edge.client(region="eu-west-1")
        elsewhere.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE})


def test_instances_are_counted_over_endpoints_and_by_type(tmp_path: Path) -> None:
    with account_with(tmp_path, quotas=QuotaSettings(instances_by_type="ml.m5.large=2, ml.g5.xlarge=0")) as account:
        account.model()
        account.config()
        account.endpoint("one")
        account.endpoint("two")
        message = exceeded(account, "create_endpoint", EndpointName="three", EndpointConfigName="c")
        assert message == (
            "The account-level service limit 'ml.m5.large for endpoint usage' is 2 Instances, with current utilization "
            f"of 2 Instances and a request delta of 1 Instances. {TAIL}"
        )
        assert account.refused("describe_endpoint", EndpointName="three").startswith("Could not find")
        update = {"EndpointName": "one", "DesiredWeightsAndCapacities": TWO_LARGE}
        assert "utilization of 1 Instances and a request delta of 2" in exceeded(
            account, "update_endpoint_weights_and_capacities", **update
        )
        assert account.client.describe_endpoint(EndpointName="one")["EndpointStatus"] == "InService"
        gpu = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
        account.client.create_endpoint_config(EndpointConfigName="gpu", ProductionVariants=[gpu])
        assert "is 0 Instances" in exceeded(account, "create_endpoint", EndpointName="gpu", EndpointConfigName="gpu")


def test_serverless_quotas_are_awss(tmp_path: Path) -> None:
    quotas = QuotaSettings(serverless_endpoints=2, serverless_concurrency=9, serverless_memory_mb=3072)
    with account_with(tmp_path, quotas=quotas) as account:
        account.model()
        for name, memory in (("small", 1024), ("large", 4096)):
            variant = {
                "VariantName": "v",
                "ModelName": "m",
                "ServerlessConfig": {"MemorySizeInMB": memory, "MaxConcurrency": 5},
            }
            account.client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        account.client.create_endpoint(EndpointName="one", EndpointConfigName="small")
        assert exceeded(account, "create_endpoint", EndpointName="b", EndpointConfigName="large") == (
            "The account-level service limit 'Memory size in MB per serverless endpoint' is 3072 MBs, with current "
            f"utilization of 0 MBs and a request delta of 4096 MBs. {TAIL}"
        )
        message = exceeded(account, "create_endpoint", EndpointName="b", EndpointConfigName="small")
        assert "utilization of 5 Concurrent executions and a request delta of 5" in message


def test_without_enforcement_an_instance_type_is_a_name(account: Account) -> None:
    account.model()
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.p5.48xlarge", "InitialInstanceCount": 40}
    account.client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    account.endpoint(settled=False)
    assert account.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Creating"


def test_what_does_not_fit_fails_and_says_what_was_missing(tmp_path: Path) -> None:
    capacity = CapacitySettings(policy="enforce", vcpus=4, memory_gib=64)
    with account_with(tmp_path, capacity=capacity) as account:
        account.model()
        account.config()
        account.endpoint("one")
        update = {"EndpointName": "one", "DesiredWeightsAndCapacities": [{**TWO_LARGE[0], "DesiredInstanceCount": 3}]}
        account.client.update_endpoint_weights_and_capacities(**update)
        kept = account.client.describe_endpoint(EndpointName="one")
        assert kept["EndpointStatus"] == "InService"
        assert kept["FailureReason"].endswith("(6 vCPUs needed, 4 of 4 free)")
        gpu = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
        account.client.create_endpoint_config(EndpointConfigName="gpu", ProductionVariants=[gpu])
        account.client.create_endpoint(EndpointName="two", EndpointConfigName="gpu")
        failed = account.client.describe_endpoint(EndpointName="two")
        assert failed["EndpointStatus"] == "Failed"
        assert failed["FailureReason"].startswith(
            "Unable to provision requested ML compute capacity due to Insufficient"
        )
        assert "4 vCPUs needed, 2 of 4 free" in failed["FailureReason"]
        account.client.delete_endpoint(EndpointName="two")


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="MOORING_CAPACITY_POLICY='loose': one of oversubscribe, enforce is needed"):
        load({"MOORING_CAPACITY_POLICY": "loose"})
    with pytest.raises(SettingsError, match="MOORING_QUOTAS_INSTANCES_BY_TYPE"):
        load({"MOORING_QUOTAS_INSTANCES_BY_TYPE": "ml.g5.xlarge:2"})
    assert load({"MOORING_QUOTAS_INSTANCES_BY_TYPE": "ml.a=1, ml.b=2"}).quotas.instances_by_type == "ml.a=1, ml.b=2"
