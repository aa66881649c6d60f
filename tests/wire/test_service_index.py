"""The index of all services agrees with botocore, and tells apart those that are signed alike."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.configprovider import ConfiguredEndpointProvider

from mooring.wire.dialects import CBOR, JSON, QUERY, REST_JSON, Spoken
from mooring.wire.service_index import asked_for, endpoint_variables, listed, signed_as
from tests.wire.botocore_half import botocore_model


def test_every_service_is_there() -> None:
    assert [service.name for service in listed()] == botocore.session.Session().get_available_services()


def test_the_variables_are_those_that_botocore_looks_at() -> None:
    for service in listed():
        looked_at = ConfiguredEndpointProvider({}, {}, service.name, {})._get_service_env_var_name()
        assert service.endpoint_variable == looked_at


@pytest.mark.parametrize("name", ["dynamodb", "ec2", "events", "logs", "route53", "sagemaker-metrics", "cloudwatch"])
def test_the_metadata_are_botocores(name: str) -> None:
    [service] = [each for each in listed() if each.name == name]
    model = botocore_model(name)
    assert service.service_id == str(model.service_id)
    assert service.signing_name == model.signing_name
    assert service.protocols == {model.metadata["protocol"], *model.metadata["protocols"]}
    assert service.target_prefix == model.metadata.get("targetPrefix")


@pytest.mark.parametrize(
    ("signing_name", "said", "method", "path", "names"),
    [
        ("dynamodb", Spoken(JSON, "X", "DynamoDBStreams_20120810"), b"POST", b"/", ["dynamodbstreams"]),
        (None, Spoken(JSON, "X", "DynamoDBStreams_20120810"), b"POST", b"/", ["dynamodbstreams"]),
        ("elasticloadbalancing", Spoken(QUERY, "X", "2012-06-01"), b"POST", b"/", ["elb"]),
        ("rds", Spoken(QUERY, "X", "2014-10-31"), b"POST", b"/", ["rds", "docdb", "neptune"]),
        ("ses", Spoken(REST_JSON), b"POST", b"/v2/email/outbound-emails", ["sesv2"]),
        ("bedrock", Spoken(REST_JSON), b"POST", b"/model/m/invoke", ["bedrock-runtime"]),
        ("lambda", Spoken(REST_JSON), b"GET", b"/nothing", []),
        ("events", Spoken(CBOR, "X", "AWSEventsV2"), b"POST", b"/", ["eventbridgev2"]),
        (None, Spoken(REST_JSON), b"GET", b"/2015-03-31/functions", []),
        ("unknown-to-botocore", Spoken(JSON, "X", "SageMaker"), b"POST", b"/", []),
    ],
)
def test_who_is_asked(signing_name: str | None, said: Spoken, method: bytes, path: bytes, names: list[str]) -> None:
    assert [service.name for service in asked_for(signing_name, said, method, path)] == names


def test_the_namesake_comes_first() -> None:
    assert [service.name for service in signed_as("iam")] == ["iam", "iam-toolbox"]
    assert endpoint_variables(signed_as("iam")) == "AWS_ENDPOINT_URL_IAM or AWS_ENDPOINT_URL_IAM_TOOLBOX"
