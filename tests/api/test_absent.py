"""Services that are not here: unmodified clients show what to do, in each of AWS's protocols."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from botocore.exceptions import ClientError

from mooring.errors import Unavailable
from mooring.http1.messages import Request
from mooring.wire.errors import WireResponse
from tests.api.serving import Serving

CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "dynamodb": (lambda client: client.list_tables(), "AWS_ENDPOINT_URL_DYNAMODB"),
    "dynamodbstreams": (lambda client: client.list_streams(), "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"),
    "ecr": (lambda client: client.describe_repositories(), "AWS_ENDPOINT_URL_ECR"),
    "events": (lambda client: client.list_rules(), "AWS_ENDPOINT_URL_EVENTBRIDGE"),
    "secretsmanager": (lambda client: client.list_secrets(), "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
    "glue": (lambda client: client.list_jobs(), "AWS_ENDPOINT_URL_GLUE"),
    "rds": (lambda client: client.describe_db_instances(), "AWS_ENDPOINT_URL_RDS or AWS_ENDPOINT_URL_DOCDB"),
    "elbv2": (lambda client: client.describe_load_balancers(), "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2"),
    "ec2": (lambda client: client.describe_instances(), "AWS_ENDPOINT_URL_EC2"),
    "lambda": (lambda client: client.list_functions(), "AWS_ENDPOINT_URL_LAMBDA"),
    "bedrock-runtime": (
        lambda client: client.invoke_model(modelId="m", body=b"{}"),
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    ),
    "route53": (lambda client: client.list_hosted_zones(), "AWS_ENDPOINT_URL_ROUTE_53"),
    "eventbridgev2": (lambda client: client.list_event_buses(), "AWS_ENDPOINT_URL_EVENTBRIDGEV2"),
    "sagemaker-metrics": (
        lambda client: client.batch_put_metrics(
            TrialComponentName="t", MetricData=[{"MetricName": "m", "Timestamp": 1, "Value": 1.0}]
        ),
        "AWS_ENDPOINT_URL_SAGEMAKER_METRICS",
    ),
    "sagemaker-featurestore-runtime": (
        lambda client: client.delete_record(
            FeatureGroupName="f", RecordIdentifierValueAsString="r", EventTime="2026-01-01T00:00:00Z"
        ),
        "AWS_ENDPOINT_URL_SAGEMAKER_FEATURESTORE_RUNTIME",
    ),
}
"""By botocore's names: JSON 1.0 and 1.1, query, EC2's, REST in JSON and in XML, and CBOR."""


@pytest.mark.parametrize("service", CALLS)
def test_the_message_names_the_variable(edge: Serving, service: str) -> None:
    call, variable = CALLS[service]
    with pytest.raises(ClientError) as refused:
        call(edge.client(service))
    error, metadata = refused.value.response["Error"], refused.value.response["ResponseMetadata"]
    assert error["Code"] in ("UnknownOperationException", "InvalidAction")
    assert error["Message"].startswith("Mooring does not have the service ")
    assert f"Set {variable}" in error["Message"]
    assert metadata["HTTPStatusCode"] == 400
    assert metadata["RetryAttempts"] == 0


def test_what_only_the_path_tells_and_it_does_not(edge: Serving) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"
    answer = edge.raw("GET", "/nowhere", {"Authorization": scope})
    assert "Set AWS_ENDPOINT_URL_LAMBDA or AWS_ENDPOINT_URL_LAMBDA_CORE or " in answer.json["Message"]


def test_a_service_that_botocore_does_not_know(edge: Serving) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/new/aws4_request, SignedHeaders=host, Signature=0"
    answer = edge.raw("GET", "/nowhere", {"Authorization": scope})
    assert answer.json["Message"] == (
        "Mooring does not have the service new. Set AWS_ENDPOINT_URL_<SERVICE> to the URL of a server that has it."
    )


@pytest.mark.parametrize(
    ("headers", "path", "service"),
    [
        ({"X-Amz-Target": "DynamoDB_20120810.ListTables"}, "/", "DYNAMODB"),
        ({"Smithy-Protocol": "rpc-v2-cbor"}, "/service/AWSEventsV2/operation/ListRules", "EVENTBRIDGEV2"),
    ],
)
def test_unsigned_calls(edge: Serving, headers: dict[str, str], path: str, service: str) -> None:
    answer = edge.raw("POST", path, headers, b"")
    assert answer.status == 400
    assert f"Set AWS_ENDPOINT_URL_{service} to".encode() in answer.body


def test_an_operations_name_is_a_name(edge: Serving, caplog: pytest.LogCaptureFixture) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/rds/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Authorization": scope, "Content-Type": "application/x-www-form-urlencoded"}
    with caplog.at_level("INFO", "mooring.api"):
        answer = edge.raw("POST", "/", headers, b"Action=%0Aforged&Version=2014-10-31")
    assert b"forged" not in answer.body
    assert not [message for message in caplog.messages if "forged" in message]


@pytest.fixture
def neighbours(edge: Serving) -> Iterator[list[Request]]:
    """What the neighbours are asked; they answer that nobody is there."""
    asked: list[Request] = []

    def answer(request: Request) -> WireResponse:
        asked.append(request)
        return WireResponse(200, ((b"Content-Type", b"text/xml"),), b"<a><ListUsersResult/></a>")

    edge.control.neighbours = answer
    yield asked
    edge.control.neighbours = None


@pytest.mark.parametrize(
    ("service", "call", "variable"),
    [
        ("iam", lambda client: client.list_users(), "IAM"),
        ("sns", lambda client: client.list_topics(), "SNS"),
        ("sqs", lambda client: client.list_queues(), "SQS"),
        ("logs", lambda client: client.create_log_group(logGroupName="g"), "CLOUDWATCH_LOGS"),
        ("cloudwatch", lambda client: client.list_dashboards(), "CLOUDWATCH"),
        ("sts", lambda client: client.get_session_token(), "STS"),
    ],
)
def test_neighbours_that_are_not_installed(
    edge: Serving, service: str, call: Callable[[Any], Any], variable: str
) -> None:
    with pytest.raises(ClientError) as refused:
        call(edge.client(service))
    message = refused.value.response["Error"]["Message"]
    assert "pip install 'mooring[neighbours]'" in message
    assert f"Set AWS_ENDPOINT_URL_{variable} to" in message


def test_who_calls_needs_no_neighbours(edge: Serving, neighbours: list[Request]) -> None:
    assert edge.client("sts").get_caller_identity()["Arn"].endswith(":assumed-role/mooring/session")
    assert neighbours == []
    edge.client("iam").list_users()
    assert [request.method for request in neighbours] == [b"POST"]


def test_neighbours_that_do_not_answer(edge: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Request) -> WireResponse:
        raise Unavailable("They are away.")

    monkeypatch.setattr(edge.control, "neighbours", away)
    with pytest.raises(ClientError, match=r"\(ServiceUnavailable\).*They are away") as refused:
        edge.client("logs").create_log_group(logGroupName="g")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = edge.raw("POST", "/", form, b"Action=ListTopics&Version=2010-03-31")
    assert ET.fromstring(answer.body).findtext("Error/Code") == "ServiceUnavailable"


def test_sagemaker_at_another_path_is_still_sagemakers(edge: Serving) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Signature=0"
    answer = edge.raw("POST", "/elsewhere", {"Authorization": scope})
    assert (answer.status, json.loads(answer.body)) == (404, {"__type": "UnknownOperationException"})
