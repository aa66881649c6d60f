"""Application Auto Scaling's requests of every kind that the shapes allow: answers in AWS's form, always."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.scaling.documents import INSTANCES
from tests.api.conftest import Account
from tests.api.generating import broken, valid
from tests.api.serving import Raw, Serving
from tests.api.test_updates import make_config, variants
from tests.wire.botocore_half import botocore_model, botocore_operation

SERVICE = "application-autoscaling"
ON = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v", "ScalableDimension": INSTANCES}
OPERATIONS = sorted(botocore_model(SERVICE).operation_names)
CALM = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
CODES = {
    "ValidationException", "SerializationException", "ObjectNotFoundException", "ResourceNotFoundException",
    "InvalidNextTokenException", "LimitExceededException", "TooManyTagsException",
}  # fmt: skip


def call(edge: Serving, region: str, operation: str, params: Any) -> Raw:
    credential = f"test/20260101/{region}/{SERVICE}/aws4_request"
    headers = {
        "X-Amz-Target": f"AnyScaleFrontendService.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
    }
    return edge.raw("POST", "/", headers, json.dumps(params).encode())


def in_aws_form(answer: Raw) -> dict[str, Any]:
    assert answer.status in (200, 400), answer.body
    document: dict[str, Any] = json.loads(answer.body)
    if answer.status == 400:
        assert document["__type"] in CODES, document
        assert document["__type"] == "SerializationException" or document["Message"]
    return document


@pytest.fixture
def scaled(account: Account) -> Account:
    """With a registered variant."""
    account.model()
    make_config(account, "c", variants(v=2))
    account.endpoint()
    client = account.edge.client(SERVICE, region=account.region)
    client.register_scalable_target(**ON, MinCapacity=1, MaxCapacity=4)
    return account


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
@CALM
def test_what_the_shapes_allow_is_done_or_refused(scaled: Account, operation: str, data: st.DataObject) -> None:
    shape = botocore_operation(SERVICE, operation).input_shape
    params = data.draw(valid(shape))
    if data.draw(st.integers(0, 4)):
        params |= {name: value for name, value in ON.items() if name in shape.members}
    document = in_aws_form(call(scaled.edge, scaled.region, operation, params))
    assert document.get("__type") != "SerializationException"
    assert "detected: " not in document.get("Message", "") or "maxResults" in document["Message"]
    # Whatever was accepted can be shown.
    for listing in ("DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScheduledActions",
                    "DescribeScalingActivities"):  # fmt: skip
        shown = call(scaled.edge, scaled.region, listing, {"ServiceNamespace": "sagemaker"})
        assert shown.status == 200, shown.body


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
@CALM
def test_what_the_shapes_forbid_is_refused(scaled: Account, operation: str, data: st.DataObject) -> None:
    shape = botocore_operation(SERVICE, operation).input_shape
    case = data.draw(broken(shape).filter(lambda case: bool(case.place)))
    answer = call(scaled.edge, scaled.region, operation, case.params)
    in_aws_form(answer)
    assert answer.status == 400, case
