"""Each operation asks for its own action, on the resource that it names."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.access import asking
from mooring.access.asking import Asked
from mooring.api.operations import OPERATIONS
from mooring.hosting.naming import Scope
from mooring.wire.service_models import service_model

SCOPE = Scope("000000000000", "eu-west-1")
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:"


BOTH = [ARN + "endpoint-config/c", ARN + "endpoint/e"]


def of_sagemaker(operation: str, **params: Any) -> list[Asked]:
    service = "sagemaker-runtime" if operation.startswith("Invoke") else "sagemaker"
    return asking.of_sagemaker(service_model(service).operation(operation), params, SCOPE)


@pytest.mark.parametrize(
    ("operation", "params", "resources"),
    [
        ("CreateModel", {"ModelName": "m", "ExecutionRoleArn": "r"}, [ARN + "model/m"]),
        ("DescribeModel", {"ModelName": "m"}, [ARN + "model/m"]),
        ("DeleteEndpointConfig", {"EndpointConfigName": "c"}, [ARN + "endpoint-config/c"]),
        ("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, BOTH),
        ("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, BOTH),
        ("UpdateEndpointWeightsAndCapacities", {"EndpointName": "e"}, [ARN + "endpoint/e"]),
        ("InvokeEndpoint", {"EndpointName": "e", "InferenceComponentName": "i"}, [ARN + "endpoint/e"]),
        ("InvokeEndpointAsync", {"EndpointName": "e"}, [ARN + "endpoint/e"]),
        ("AddTags", {"ResourceArn": ARN + "model/m", "Tags": []}, [ARN + "model/m"]),
        ("ListEndpoints", {"NameContains": "e"}, ["*"]),
        ("ListModels", {}, ["*"]),
        ("DeleteModel", {}, [None]),
        ("DeleteModel", {"ModelName": 3}, [None]),
    ],
)  # fmt: skip
def test_sagemakers_resources_are_its_required_names(
    operation: str, params: dict[str, Any], resources: list[str | None]
) -> None:
    asked = of_sagemaker(operation, **params)
    assert {each.action for each in asked} == {f"sagemaker:{operation}"}
    assert sorted(asked, key=lambda each: each.resource or "") == [
        Asked(f"sagemaker:{operation}", resource) for resource in resources
    ]


@pytest.mark.parametrize("operation", sorted(OPERATIONS["sagemaker"]))
def test_every_operation_that_is_served_asks_for_itself(operation: str) -> None:
    """A list, or one that names nothing, is asked of all resources; every other one of those that it names."""
    required = service_model("sagemaker").operation(operation).input
    assert required is not None
    asked = of_sagemaker(operation, **dict.fromkeys(required.required, f"{ARN}x/n"))
    assert {each.action for each in asked} == {f"sagemaker:{operation}"}
    lists = operation.startswith("List") and operation != "ListTags"
    assert all((each.resource == "*") is lists for each in asked)


def test_the_quick_way_to_an_invocation_asks_the_same() -> None:
    assert [asking.invocation("InvokeEndpoint", SCOPE, "e")] == of_sagemaker("InvokeEndpoint", EndpointName="e")


@pytest.mark.parametrize(
    ("operation", "bucket", "key", "asked"),
    [
        ("ListBuckets", "", "", Asked("s3:ListAllMyBuckets", "*")),
        ("HeadBucket", "b", "", Asked("s3:ListBucket", "arn:aws:s3:::b")),
        ("CreateBucket", "b", "", Asked("s3:CreateBucket", "arn:aws:s3:::b")),
        ("ListObjectsV2", "b", "", Asked("s3:ListBucket", "arn:aws:s3:::b")),
        ("HeadObject", "b", "k/x", Asked("s3:GetObject", "arn:aws:s3:::b/k/x")),
        ("UploadPart", "b", "k", Asked("s3:PutObject", "arn:aws:s3:::b/k")),
        ("AbortMultipartUpload", "b", "k", Asked("s3:AbortMultipartUpload", "arn:aws:s3:::b/k")),
    ],
)
def test_s3s_operations_ask_for_the_actions_of_iam(operation: str, bucket: str, key: str, asked: Asked) -> None:
    assert asking.of_s3(operation, bucket, key, None, "us-east-1") == [asked]


def test_a_copy_asks_for_both_of_its_ends() -> None:
    assert asking.of_s3("CopyObject", "b", "k", ("from", "there"), "us-east-1") == [
        Asked("s3:PutObject", "arn:aws:s3:::b/k"),
        Asked("s3:GetObject", "arn:aws:s3:::from/there"),
    ]


def test_application_auto_scaling_asks_for_one_target() -> None:
    on = {"ResourceId": "endpoint/e/variant/v", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    (asked,) = asking.of_scaling("PutScalingPolicy", {**on, "PolicyName": "p"}, SCOPE)
    assert asked.action == "application-autoscaling:PutScalingPolicy"
    assert asked.resource is not None
    assert asked.resource.startswith("arn:aws:application-autoscaling:")
    assert asking.of_scaling("DeregisterScalableTarget", on, SCOPE)[0].resource == asked.resource
    assert asking.of_scaling("TagResource", {"ResourceARN": asked.resource}, SCOPE)[0].resource == asked.resource
    assert asking.of_scaling("RegisterScalableTarget", {**on, "ResourceId": "x"}, SCOPE)[0].resource != asked.resource
    assert asking.of_scaling("RegisterScalableTarget", {"ResourceId": 1}, SCOPE)[0].resource is None
    assert asking.of_scaling("DescribeScalingPolicies", on, SCOPE)[0].resource == "*"


A = "000000000000"


@pytest.mark.parametrize(
    ("service", "operation", "params", "asked"),
    [
        ("sts", "GetCallerIdentity", {}, []),
        ("sts", "AssumeRole", {"RoleArn": f"arn:aws:iam::{A}:role/r"}, [f"arn:aws:iam::{A}:role/r"]),
        ("sqs", "SendMessage", {"QueueUrl": f"http://127.0.0.1:8080/{A}/q"}, [f"arn:aws:sqs:eu-west-1:{A}:q"]),
        ("sqs", "CreateQueue", {"QueueName": "q"}, [f"arn:aws:sqs:eu-west-1:{A}:q"]),
        ("sqs", "ListQueues", {}, ["*"]),
        ("sqs", "SendMessage", {}, [None]),
        ("sqs", "SendMessage", None, [None]),
        ("sns", "Publish", {"TopicArn": f"arn:aws:sns:eu-west-1:{A}:t"}, [f"arn:aws:sns:eu-west-1:{A}:t"]),
        ("sns", "Unsubscribe", {"SubscriptionArn": f"arn:aws:sns:eu-west-1:{A}:t:1"}, [f"arn:aws:sns:eu-west-1:{A}:t"]),
        ("iam", "GetRole", {"RoleName": "r"}, [f"arn:aws:iam::{A}:role/r"]),
        ("iam", "AttachRolePolicy", {"RoleName": "r", "PolicyArn": "arn:p"}, [f"arn:aws:iam::{A}:role/r"]),
        ("iam", "ListRoles", {}, ["*"]),
        ("logs", "CreateLogGroup", {"logGroupName": "/g"}, [f"arn:aws:logs:eu-west-1:{A}:log-group:/g:*"]),
        ("logs", "PutLogEvents", {"logGroupName": "/g", "logStreamName": "s"},
         [f"arn:aws:logs:eu-west-1:{A}:log-group:/g:log-stream:s"]),
        ("logs", "PutLogEvents", {"logGroupName": "/g", "logStreamName": "{0.x}"},
         [f"arn:aws:logs:eu-west-1:{A}:log-group:/g:log-stream:{{0.x}}"]),
        ("logs", "FilterLogEvents", {"logGroupName": "/g", "logGroupIdentifier": f"arn:aws:logs:x:{A}:log-group:/h"},
         [f"arn:aws:logs:eu-west-1:{A}:log-group:/g:*", f"arn:aws:logs:eu-west-1:{A}:log-group:/h:*"]),
        ("monitoring", "PutMetricData", {"Namespace": "n"}, ["*"]),
        ("monitoring", "DeleteAlarms", {"AlarmNames": ["a", "b"]},
         [f"arn:aws:cloudwatch:eu-west-1:{A}:alarm:a", f"arn:aws:cloudwatch:eu-west-1:{A}:alarm:b"]),
    ],
)  # fmt: skip
def test_the_neighbours_ask_for_what_they_name(
    service: str, operation: str, params: dict[str, Any] | None, asked: list[str | None]
) -> None:
    prefix = "cloudwatch" if service == "monitoring" else service
    found = asking.of_neighbour(service, operation, params, SCOPE)
    assert found == [Asked(f"{prefix}:{operation}", resource) for resource in asked]


def test_pages_of_the_admin_api_are_read_or_changed() -> None:
    page = "arn:aws:mooring:eu-west-1:000000000000:endpoints/e/logs"
    assert asking.of_administration("GET", ["endpoints", "e", "logs"], SCOPE) == [Asked("mooring:Read", page)]
    assert asking.of_administration("DELETE", ["keys", "K"], SCOPE)[0].action == "mooring:Write"


def test_a_subscription_asks_for_the_queue_that_it_fills() -> None:
    topic, queue = f"arn:aws:sns:eu-west-1:{A}:t", f"arn:aws:sqs:eu-west-1:{A}:q"
    params = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue}
    assert asking.of_neighbour("sns", "Subscribe", params, SCOPE) == [
        Asked("sns:Subscribe", topic),
        Asked("sqs:SendMessage", queue),
    ]
    to_a_person = {**params, "Protocol": "email", "Endpoint": "ann@example.com"}
    assert asking.of_neighbour("sns", "Subscribe", to_a_person, SCOPE) == [Asked("sns:Subscribe", topic)]
