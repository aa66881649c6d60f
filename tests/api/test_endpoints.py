from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mooring.hosting.endpoints import EndpointStatus
from mooring.hosting.naming import Scope
from mooring.store import endpoints
from tests.api.conftest import IMAGE, Account


@pytest.fixture
def ready(account: Account) -> Account:
    account.model()
    account.config("c", {"a": 1.0, "b": 3.0})
    return account


def test_a_new_endpoint_is_creating_and_shows_no_variants(ready: Account) -> None:
    made = ready.client.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert made["EndpointArn"] == ready.arn("endpoint/e")
    found = ready.client.describe_endpoint(EndpointName="e")
    assert found["EndpointStatus"] == "Creating"
    assert found["EndpointConfigName"] == "c"
    assert found["CreationTime"] == found["LastModifiedTime"]
    assert "ProductionVariants" not in found
    record = ready.edge.write(lambda conn: endpoints.require(conn, Scope("000000000000", ready.region), "e"))
    assert ready.edge.control.woken.count(record.uid) == 1
    assert [variant.model["ModelName"] for variant in record.variants] == ["m", "m"]


def test_in_service_it_shows_weights_counts_and_images(ready: Account) -> None:
    ready.endpoint()
    found = ready.client.describe_endpoint(EndpointName="e")
    assert found["EndpointStatus"] == "InService"
    assert found["LastModifiedTime"] > found["CreationTime"]
    image = {"SpecifiedImage": IMAGE, "ResolvedImage": IMAGE, "ResolutionTime": found["CreationTime"]}
    assert found["ProductionVariants"] == [
        {
            "VariantName": name,
            "DeployedImages": [image],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 1,
        }
        for name, weight in (("a", 1.0), ("b", 3.0))
    ]


def test_features_of_the_config_are_shown(account: Account) -> None:
    account.model()
    capture = {
        "InitialSamplingPercentage": 10,
        "DestinationS3Uri": "s3://b/c",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    asynchronous = {"OutputConfig": {"S3OutputPath": "s3://b/o"}}
    account.config("c", DataCaptureConfig=capture, AsyncInferenceConfig=asynchronous)
    policy = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "alarm"}]}}
    account.endpoint(DeploymentConfig=policy)
    found = account.client.describe_endpoint(EndpointName="e")
    assert found["AsyncInferenceConfig"] == asynchronous
    assert found["LastDeploymentConfig"] == policy
    assert found["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 10,
        "DestinationS3Uri": "s3://b/c",
        "KmsKeyId": "",
    }


def test_a_shadow_variant_is_shown_apart(account: Account) -> None:
    account.model()
    shadow = {"VariantName": "s", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    account.config("c", ShadowProductionVariants=[shadow])
    account.endpoint()
    found = account.client.describe_endpoint(EndpointName="e")
    assert [variant["VariantName"] for variant in found["ProductionVariants"]] == ["v"]
    assert [variant["VariantName"] for variant in found["ShadowProductionVariants"]] == ["s"]


def test_a_config_that_is_not_there(account: Account) -> None:
    text = account.refused("create_endpoint", EndpointName="e", EndpointConfigName="none")
    assert text == f'Could not find endpoint configuration "{account.arn("endpoint-config/none")}".'


def test_an_endpoint_that_is_not_there(ready: Account) -> None:
    text = f'Could not find endpoint "{ready.arn("endpoint/none")}".'
    assert ready.refused("describe_endpoint", EndpointName="none") == text
    assert ready.refused("delete_endpoint", EndpointName="none") == text
    changes = [{"VariantName": "a", "DesiredWeight": 1.0}]
    weights = {"EndpointName": "none", "DesiredWeightsAndCapacities": changes}
    assert ready.refused("update_endpoint_weights_and_capacities", **weights) == text


@pytest.mark.parametrize("status", [EndpointStatus.IN_SERVICE, EndpointStatus.DELETING, EndpointStatus.FAILED])
def test_a_name_is_taken_whatever_the_status(ready: Account, status: EndpointStatus) -> None:
    ready.endpoint()
    ready.settle("e", status)
    text = ready.refused("create_endpoint", EndpointName="E", EndpointConfigName="c")
    assert text == f'Cannot create already existing endpoint "{ready.arn("endpoint/E")}".'


def test_of_creates_at_the_same_moment_one_wins(ready: Account) -> None:
    def create(_number: int) -> str:
        try:
            ready.client.create_endpoint(EndpointName="e", EndpointConfigName="c")
        except ClientError as error:
            return str(error.response["Error"]["Message"])
        return "made"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(create, range(8)))
    assert outcomes.count("made") == 1
    assert outcomes.count(f'Cannot create already existing endpoint "{ready.arn("endpoint/e")}".') == 7


def test_a_model_that_was_deleted_since_fails_the_endpoint_at_once(ready: Account) -> None:
    ready.client.delete_model(ModelName="m")
    ready.client.create_endpoint(EndpointName="e", EndpointConfigName="c")
    found = ready.client.describe_endpoint(EndpointName="e")
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"] == f'Could not find model "{ready.arn("model/m")}".'
    assert "ProductionVariants" not in found
    ready.client.delete_endpoint(EndpointName="e")


def test_an_endpoint_without_models_is_refused(account: Account) -> None:
    variant = {"VariantName": "v", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    account.client.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[variant], ExecutionRoleArn="arn:aws:iam::000000000000:role/r"
    )
    assert (
        "InitialVariantWeight"
        not in (account.client.describe_endpoint_config(EndpointConfigName="c")["ProductionVariants"][0])
    )
    text = account.refused("create_endpoint", EndpointName="e", EndpointConfigName="c")
    assert text == "One or more endpoint features are not supported using this configuration"


def test_deleting_is_refused_in_progress_and_shows_variants_until_it_is_gone(ready: Account) -> None:
    ready.endpoint(settled=False)
    text = f'Cannot update in-progress endpoint "{ready.arn("endpoint/e")}".'
    assert ready.refused("delete_endpoint", EndpointName="e") == text
    ready.settle()
    woken = len(ready.edge.control.woken)
    ready.client.delete_endpoint(EndpointName="e")
    assert len(ready.edge.control.woken) == woken + 1
    found = ready.client.describe_endpoint(EndpointName="e")
    assert found["EndpointStatus"] == "Deleting"
    assert len(found["ProductionVariants"]) == 2
    assert ready.refused("delete_endpoint", EndpointName="e") == text
    ready.edge.vanish(ready.region, "e")
    ready.client.get_waiter("endpoint_deleted").wait(EndpointName="e", WaiterConfig={"MaxAttempts": 1})
    ready.endpoint()


def test_weights_are_desired_at_once_and_current_when_they_have_taken_effect(ready: Account) -> None:
    ready.endpoint()
    made = ready.client.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 9.0},
            {"VariantName": "b", "DesiredInstanceCount": 2},
        ],
    )
    assert made["EndpointArn"] == ready.arn("endpoint/e")

    def numbers() -> list[tuple[Any, ...]]:
        shown = ready.client.describe_endpoint(EndpointName="e")["ProductionVariants"]
        names = ("CurrentWeight", "DesiredWeight", "CurrentInstanceCount", "DesiredInstanceCount")
        return [tuple(variant[name] for name in names) for variant in shown]

    assert ready.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Updating"
    assert numbers() == [(1.0, 9.0, 1, 1), (3.0, 3.0, 1, 2)]
    text = ready.refused(
        "update_endpoint_weights_and_capacities",
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 1.0}],
    )
    assert text == f'Cannot update in-progress endpoint "{ready.arn("endpoint/e")}".'
    ready.settle()
    assert numbers() == [(9.0, 9.0, 1, 1), (3.0, 3.0, 2, 2)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [{"VariantName": "a", "DesiredWeight": 1.0}, {"VariantName": "a", "DesiredWeight": 2.0}],
            'The variant name "a" was non-unique within the request.',
        ),
        (
            [{"VariantName": "x", "DesiredWeight": 1.0}, {"VariantName": "y", "DesiredWeight": 1.0}],
            'The variant name(s) "x, y" is/are not present within endpoint configuration "c".',
        ),
        (
            [{"VariantName": "a", "DesiredInstanceCount": 0}],
            'DesiredInstanceCount must be greater than 0 for variant "a".',
        ),
        (
            [{"VariantName": "a", "DesiredWeight": 0.0}, {"VariantName": "b", "DesiredWeight": 0.0}],
            "The sum of all production variant weights must be greater than 0.",
        ),
    ],
)
def test_what_cannot_be_desired(ready: Account, changes: list[dict[str, Any]], message: str) -> None:
    ready.endpoint()
    call = {"EndpointName": "e", "DesiredWeightsAndCapacities": changes}
    assert ready.refused("update_endpoint_weights_and_capacities", **call) == message
    assert ready.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


def test_models_and_configs_in_use_are_deleted_and_the_next_update_says_so(ready: Account) -> None:
    ready.endpoint()
    ready.client.delete_model(ModelName="m")
    ready.client.delete_endpoint_config(EndpointConfigName="c")
    assert ready.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"
    changes = [{"VariantName": "a", "DesiredWeight": 2.0}]
    call = {"EndpointName": "e", "DesiredWeightsAndCapacities": changes}
    text = f'Could not find endpoint configuration "{ready.arn("endpoint-config/c")}".'
    assert ready.refused("update_endpoint_weights_and_capacities", **call) == text
    ready.client.delete_endpoint(EndpointName="e")


def test_a_serverless_variant_shows_its_configs(account: Account) -> None:
    account.model()
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
    variant = {"VariantName": "v", "ModelName": "m", "ServerlessConfig": serverless}
    account.client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    account.endpoint()
    account.client.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "v", "ServerlessUpdateConfig": {"MaxConcurrency": 7}}],
    )
    shown = account.client.describe_endpoint(EndpointName="e")["ProductionVariants"][0]
    assert shown["DesiredServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 7}
    assert "DesiredInstanceCount" not in shown


def test_regions_are_apart(ready: Account) -> None:
    ready.endpoint()
    elsewhere = ready.edge.client(region=f"{ready.region}-other")
    assert elsewhere.list_endpoints()["Endpoints"] == []
