from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.wire import json_protocol
from mooring.wire.errors import WireError
from mooring.wire.service_models import service_model
from mooring.wire.validation import violations
from tests.wire.botocore_half import CALM, HOSTING, botocore_operation, inputs, plain, request_of, understood

MODEL = service_model("sagemaker")
SLOW_TO_DRAW = settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck))


def parsed(operation: str, body: Any) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json_protocol.parse_request(MODEL, f"SageMaker.{operation}".encode(), raw).params


def refusal(operation: str, body: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        parsed(operation, body)
    return caught.value


@pytest.mark.parametrize("operation", HOSTING)
@SLOW_TO_DRAW
@given(data=st.data())
def test_what_botocore_sends_is_understood_and_valid(operation: str, data: st.DataObject) -> None:
    params = data.draw(inputs(botocore_operation("sagemaker", operation).input_shape))
    request = request_of("sagemaker", operation, params)

    read = json_protocol.parse_request(
        MODEL,
        request["headers"]["X-Amz-Target"].encode(),
        request["body"],
        content_type=request["headers"]["Content-Type"].encode(),
    )

    assert read.operation.name == operation
    assert read.params == plain(params)
    assert list(read.params) == [name for name in read.operation.input.members if name in params]
    assert violations(read.operation.input, read.params) == []


@pytest.mark.parametrize("operation", HOSTING)
@SLOW_TO_DRAW
@given(data=st.data())
def test_botocore_understands_what_we_send(operation: str, data: st.DataObject) -> None:
    shape = botocore_operation("sagemaker", operation).output_shape
    result = data.draw(inputs(shape)) if shape else {}

    answer = json_protocol.success(MODEL.operation(operation), result, "the-id")
    read = understood("sagemaker", operation, answer)

    assert read.pop("ResponseMetadata")["RequestId"] == "the-id"
    assert plain(read) == plain(result)
    assert answer.status == 200
    assert (b"Content-Type", b"application/x-amz-json-1.1") in answer.headers


def test_an_answer_is_compact_and_omits_what_is_absent() -> None:
    result = {
        "EndpointName": "é",
        "EndpointArn": None,
        "CreationTime": 1715382648.2224,
        "LastModifiedTime": datetime(2026, 1, 1, tzinfo=UTC),
        "ProductionVariants": [{"VariantName": "a", "CurrentWeight": 1, "CurrentInstanceCount": 2}],
        "NoSuchMember": 1,
    }
    body = json_protocol.success(MODEL.operation("DescribeEndpoint"), result, "id").body
    assert body.decode() == (
        '{"EndpointName":"é","ProductionVariants":[{"VariantName":"a","CurrentWeight":1.0,"CurrentInstanceCount":2}],'
        '"CreationTime":1715382648.222,"LastModifiedTime":1767225600.0}'
    )


def test_no_output_shape_is_an_empty_body_and_an_empty_structure_is_not() -> None:
    assert json_protocol.success(MODEL.operation("DeleteModel"), None, "id").body == b""
    assert json_protocol.success(MODEL.operation("DeleteTags"), None, "id").body == b"{}"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[1", b'{"ModelName":NaN}', b"\xef\xbb\xbf{}", b"[" * 100_000])
def test_a_body_that_is_no_json(body: bytes) -> None:
    assert refusal("CreateModel", body).code == "SerializationException"


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("CreateModel", {"ModelName": 1}, "NUMBER_VALUE cannot be converted to String"),
        ("CreateModel", {"ModelName": {}}, "Start of structure or map found where not expected."),
        ("CreateModel", {"ModelName": []}, "Start of list found where not expected."),
        ("CreateModel", {"EnableNetworkIsolation": "true"}, "STRING_VALUE cannot be converted to Boolean"),
        ("CreateModel", {"Containers": "x"}, "Expected list or null"),
        ("CreateModel", {"Containers": {}}, "Start of structure or map found where not expected."),
        ("CreateModel", {"PrimaryContainer": "x"}, "Expected map or null"),
        ("CreateModel", {"PrimaryContainer": {"Environment": []}}, "Start of list found where not expected."),
        ("CreateModel", [], "Start of list found where not expected."),
        ("CreateModel", "text", "Expected map or null"),
        ("CreateModel", None, "Expected map or null"),
        ("ListModels", {"MaxResults": "1"}, "STRING_VALUE can not be converted to an Integer"),
        ("ListModels", {"MaxResults": True}, "TRUE_VALUE can not be converted to an Integer"),
        ("ListModels", {"MaxResults": 1.5}, "NUMBER_VALUE can not be converted to an Integer"),
        ("ListModels", {"MaxResults": 2**31}, "NUMBER_VALUE can not be converted to an Integer"),
        ("ListModels", {"MaxResults": 10**400}, "NUMBER_VALUE can not be converted to an Integer"),
        ("ListModels", b'{"MaxResults":1e999}', "NUMBER_VALUE can not be converted to an Integer"),
        ("ListModels", {"CreationTimeAfter": "2026-01-01"}, "STRING_VALUE can not be converted to a Timestamp"),
        ("ListModels", {"CreationTimeAfter": 1e300}, "NUMBER_VALUE can not be converted to a Timestamp"),
        ("ListModels", {"NextToken": "\ud800"}, None),
    ],
)
def test_a_wrong_json_type(operation: str, body: Any, message: str | None) -> None:
    error = refusal(operation, body)
    assert (error.code, error.status, error.message) == ("SerializationException", 400, message)


def test_unknown_and_null_members_are_dropped_and_integral_numbers_are_integers() -> None:
    assert parsed("ListModels", {"Newer": {"x": 1}, "NextToken": None, "MaxResults": 5.0}) == {"MaxResults": 5}
    assert parsed("ListModels", b"") == {}


@CALM
@given(st.binary(max_size=200))
def test_no_body_makes_it_raise_anything_else(body: bytes) -> None:
    try:
        parsed("CreateEndpointConfig", body)
    except WireError as error:
        assert error.code == "SerializationException"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@CALM
@given(st.dictionaries(st.sampled_from(["EndpointConfigName", "ProductionVariants", "Tags", "VpcConfig"]), json_values))
def test_whatever_json_is_read_can_be_validated(body: dict[str, Any]) -> None:
    try:
        params = parsed("CreateEndpointConfig", body)
    except WireError as error:
        assert error.code == "SerializationException"
        return
    operation = MODEL.operation("CreateEndpointConfig")
    assert operation.input is not None
    assert all("failed to satisfy constraint: " in text for text in violations(operation.input, params))


@pytest.mark.parametrize(
    "target", [None, b"", b"SageMaker", b"SageMaker.", b"SageMaker.Nope", b"Other.ListModels", b"\xff"]
)
def test_an_operation_that_is_not_aws_s(target: bytes | None) -> None:
    with pytest.raises(WireError) as caught:
        json_protocol.parse_request(MODEL, target, b"{}")
    assert (caught.value.code, caught.value.status) == ("UnknownOperationException", 400)
    assert json_protocol.failure(MODEL, caught.value, "id").body == b'{"__type":"UnknownOperationException"}'


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        (b"application/x-amz-json-1.1", True),
        (b"Application/X-Amz-Json-1.1; charset=utf-8", True),
        (b"application/json", False),
        (b"text/plain", False),
        (None, False),
    ],
)
def test_only_aws_json_is_read(content_type: bytes | None, accepted: bool) -> None:
    try:
        json_protocol.parse_request(MODEL, b"SageMaker.ListModels", b"{}", content_type=content_type)
    except WireError as error:
        assert not accepted
        assert error.code == "UnknownOperationException"
    else:
        assert accepted


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            WireError("ValidationException", 'Could not find endpoint "arn".'),
            400,
            {"__type": "ValidationException", "message": 'Could not find endpoint "arn".'},
        ),
        (
            WireError("ResourceLimitExceeded", "Too many."),
            400,
            {"__type": "ResourceLimitExceeded", "Message": "Too many."},
        ),
        (WireError("InternalFailure", "x"), 500, {"__type": "InternalFailure", "message": "x"}),
        (WireError("ServiceUnavailable"), 503, {"__type": "ServiceUnavailable"}),
        (WireError("Odd", "x", status=418, members={"More": 1}), 418, {"__type": "Odd", "message": "x", "More": 1}),
    ],
)
def test_errors(error: WireError, status: int, body: dict[str, Any]) -> None:
    answer = json_protocol.failure(MODEL, error, "the-id")
    assert answer.status == status
    assert json.loads(answer.body) == body
    read = understood("sagemaker", "CreateModel", answer)
    assert read["Error"]["Code"] == error.code
    assert read["Error"]["Message"] == (error.message or "")
    assert read["ResponseMetadata"]["RequestId"] == "the-id"
