"""Requests of every kind that botocore's shapes allow, and some that they do not: answers in AWS's form, always."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import IMAGE, Account
from tests.api.generating import Broken, broken, valid
from tests.api.serving import Raw, Serving, unique
from tests.wire.botocore_half import botocore_operation

OPERATIONS = [
    "CreateModel", "DescribeModel", "ListModels", "DeleteModel", "CreateEndpointConfig", "DescribeEndpointConfig",
    "ListEndpointConfigs", "DeleteEndpointConfig", "CreateEndpoint", "DescribeEndpoint", "ListEndpoints",
    "UpdateEndpointWeightsAndCapacities", "DeleteEndpoint", "AddTags", "ListTags", "DeleteTags",
]  # fmt: skip
CALM = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def in_aws_form(answer: Raw) -> dict[str, Any]:
    """The document of an answer, which is AWS's whatever was asked."""
    assert answer.status in (200, 400), answer.body
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"]
    document: dict[str, Any] = json.loads(answer.body or b"{}")
    if answer.status == 400:
        assert document["__type"] in ("ValidationException", "SerializationException", "ResourceLimitExceeded")
    return document


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
@CALM
def test_what_the_shapes_allow_is_done_or_refused_for_what_it_means(
    edge: Serving, operation: str, data: st.DataObject
) -> None:
    params = data.draw(valid(botocore_operation("sagemaker", operation).input_shape))
    document = in_aws_form(edge.call(operation, params))
    told = document.get("message", "")
    if "detected: " in told:  # the rule of memory steps speaks as shapes do
        assert told.startswith("1 validation error detected: ")
        assert "memorySizeInMB" in told, told
    assert document.get("__type") != "SerializationException"


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
@CALM
def test_what_the_shapes_forbid_is_refused_and_told_where(edge: Serving, operation: str, data: st.DataObject) -> None:
    shape = botocore_operation("sagemaker", operation).input_shape
    case: Broken = data.draw(broken(shape).filter(lambda case: bool(case.place)))
    answer = edge.call(operation, case.params)
    document = in_aws_form(answer)
    assert answer.status == 400, case
    if document["__type"] == "ValidationException":
        last = next(str(step) for step in reversed(case.place) if isinstance(step, str))
        assert "validation error" in document["message"], document
        assert last[:1].lower() + last[1:] in document["message"]


VARIANT = botocore_operation("sagemaker", "CreateEndpointConfig").input_shape.members["ProductionVariants"].member
FREE = (
    "InitialVariantWeight", "CoreDumpConfig", "ModelDataDownloadTimeoutInSeconds", "InferenceAmiVersion",
    "ContainerStartupHealthCheckTimeoutInSeconds", "EnableSSMAccess", "CapacityReservationConfig",
    "AcceleratorType",
)  # fmt: skip
"""Members of a variant that no rule ties to another."""
KINDS: list[dict[str, Any]] = [
    {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1},
    {"InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 3, "VolumeSizeInGB": 7},
    {"InstancePools": [{"InstanceType": "ml.m5.large", "Priority": 1}], "InitialInstanceCount": 1,
     "VariantInstanceProvisionTimeoutInSeconds": 600},
]  # fmt: skip
ROUTING: list[dict[str, Any]] = [
    {"RoutingStrategy": "RANDOM"},
    {"RoutingStrategy": "PREFIX_AWARE",
     "PrefixAwareRoutingConfig": {"PrefixLength": 1024, "ConcurrencyThreshold": 8}},
]  # fmt: skip
CONFIG = botocore_operation("sagemaker", "CreateEndpointConfig").input_shape
FEATURES = ("AsyncInferenceConfig", "MetricsConfig", "DataCaptureConfig")


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Configs that may be created: variants of one kind each, and features that stand together."""
    variants = []
    for number in range(draw(st.integers(1, 3))):
        more = {name: draw(valid(VARIANT.members[name])) for name in FREE if draw(st.booleans())}
        variants.append({"VariantName": f"v{number}", "ModelName": "m", **draw(st.sampled_from(KINDS)), **more})
        if draw(st.booleans()):
            variants[-1]["RoutingConfig"] = draw(st.sampled_from(ROUTING))
        variants[-1]["InitialVariantWeight"] = float(draw(st.integers(1, 9)))
    more = {name: draw(valid(CONFIG.members[name])) for name in FEATURES if draw(st.booleans())}
    return {"ProductionVariants": variants, **more}


@given(config=configs())
@settings(CALM, max_examples=150)
def test_a_describe_echoes_the_create_to_the_last_member(edge: Serving, config: dict[str, Any]) -> None:
    edge.call("CreateModel", {"ModelName": "m", "PrimaryContainer": {"Image": IMAGE}}, region="echo-1")
    name = unique("c")
    made = edge.call("CreateEndpointConfig", {"EndpointConfigName": name, **config}, region="echo-1")
    if made.status != 200:
        assert "detected: " not in made.json["message"]
        return
    described = edge.call("DescribeEndpointConfig", {"EndpointConfigName": name}, region="echo-1").json
    assert {member: described[member] for member in config} == config


def test_most_of_the_generated_configs_are_created(account: Account) -> None:
    """So that the test above does not pass by refusals alone."""
    account.model()
    made = []

    @given(config=configs())
    @settings(CALM, max_examples=40)
    def count(config: dict[str, Any]) -> None:
        params = {"EndpointConfigName": unique("c"), **config}
        made.append(account.edge.call("CreateEndpointConfig", params, region=account.region).status == 200)

    count()
    assert sum(made) >= 5
