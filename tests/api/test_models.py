from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import IMAGE, Account

URL = "s3://bucket/model.tar.gz"


def test_a_model_is_echoed_with_awss_defaults(account: Account) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": URL, "Environment": {"A": "1"}}
    made = account.client.create_model(
        ModelName="Model-1", PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::000000000000:role/r"
    )
    assert made["ModelArn"] == account.arn("model/Model-1")
    found = account.client.describe_model(ModelName="Model-1")
    source = {"S3DataSource": {"S3Uri": URL, "S3DataType": "S3Object", "CompressionType": "Gzip"}}
    assert found["PrimaryContainer"] == {**container, "Mode": "SingleModel", "ModelDataSource": source}
    assert found["EnableNetworkIsolation"] is False
    assert found["ExecutionRoleArn"] == "arn:aws:iam::000000000000:role/r"
    assert found["DeploymentRecommendation"] == {
        "RealTimeInferenceRecommendations": [],
        "RecommendationStatus": "COMPLETED",
    }
    assert "Containers" not in found
    assert "Tags" not in found


def test_every_member_of_a_pipeline_is_kept(account: Account) -> None:
    containers = [
        {
            "ContainerHostname": f"host{number}",
            "Image": IMAGE,
            "ImageConfig": {"RepositoryAccessMode": "Vpc"},
            "Mode": "MultiModel",
            "ModelDataUrl": "s3://bucket/prefix/",
            "Environment": {},
            "MultiModelConfig": {"ModelCacheSetting": "Disabled"},
        }
        for number in range(2)
    ]
    given = {
        "Containers": containers,
        "InferenceExecutionConfig": {"Mode": "Direct"},
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "EnableNetworkIsolation": True,
    }
    account.client.create_model(ModelName="m", **given)
    found = account.client.describe_model(ModelName="m")
    for container in found["Containers"]:
        container.pop("ModelDataSource")
    assert {name: found[name] for name in given} == given


def test_a_model_that_is_not_there(account: Account) -> None:
    text = f'Could not find model "{account.arn("model/none")}".'
    assert account.refused("describe_model", ModelName="none") == text
    assert account.refused("delete_model", ModelName="none") == text


def test_a_name_is_taken_in_any_case_until_it_is_deleted(account: Account) -> None:
    account.model("Name")
    assert (
        account.refused("create_model", ModelName="nAME", PrimaryContainer={"Image": IMAGE})
        == f'Cannot create already existing model "{account.arn("model/nAME")}".'
    )
    account.client.delete_model(ModelName="Name")
    account.model("nAME")


def test_control_hears_of_a_new_model(account: Account) -> None:
    name = f"prewarmed-{account.region}"
    account.model(name)
    assert [model["ModelName"] for model in account.edge.control.prewarmed].count(name) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "You must provide exactly one of PrimaryContainer and Containers."),
        ({"Containers": []}, "You must provide exactly one of PrimaryContainer and Containers."),
        (
            {"PrimaryContainer": {"Image": IMAGE}, "Containers": [{"Image": IMAGE}]},
            "You must provide exactly one of PrimaryContainer and Containers.",
        ),
        (
            {"Containers": [{"Image": IMAGE, "ContainerHostname": "h"}] * 2},
            "Container hostnames must be unique.",
        ),
        (
            {"PrimaryContainer": {"ModelDataUrl": URL}},
            "Either Image or ModelPackageName must be specified for every container.",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE}, "Tags": [{"Key": "k", "Value": "1"}] * 2},
            "Duplicate tag keys found. Tag keys must be unique.",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE}, "Tags": [{"Key": "aws:k", "Value": "1"}]},
            "System prefix 'aws:' reserved for AWS usage in tag key: aws:k",
        ),
        (
            {"PrimaryContainer": {"Image": "with space"}},
            (
                "1 validation error detected: Value 'with space' at 'primaryContainer.image' failed to satisfy "
                r"constraint: Member must satisfy regular expression pattern: [\S]+"
            ),
        ),
    ],
)
def test_what_a_model_cannot_be(account: Account, given: dict[str, Any], message: str) -> None:
    assert account.refused("create_model", ModelName="m", **given) == message
    assert account.client.list_models()["Models"] == []


def test_data_that_is_not_there_is_refused_in_awss_words(account: Account) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://absent/model.tar.gz"}
    message = account.refused("create_model", ModelName="m", PrimaryContainer=container)
    assert message == "Could not find model data at s3://absent/."
    assert account.refused("describe_model", ModelName="m").startswith("Could not find model ")
    assert ("m", account.region) in account.edge.control.looked_at


def test_a_repeated_create_gets_its_first_answer_though_the_data_is_gone_since(account: Account) -> None:
    body = {"ModelName": "m", "PrimaryContainer": {"Image": IMAGE}}
    first = account.edge.call("CreateModel", body, invocation=f"i-{account.region}", region=account.region)
    assert first.status == 200
    account.edge.control.data_is_there = False
    try:
        again = account.edge.call("CreateModel", body, invocation=f"i-{account.region}", region=account.region)
        other = account.edge.call("CreateModel", body, invocation=f"j-{account.region}", region=account.region)
    finally:
        account.edge.control.data_is_there = True
    assert (again.status, again.body) == (200, first.body)
    assert other.status == 400
