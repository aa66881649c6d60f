from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.wire import rest_json
from mooring.wire.errors import WireError
from mooring.wire.invocation_checks import InvocationChecks
from mooring.wire.rest_json import Headers
from mooring.wire.service_models import service_model
from mooring.wire.uri_templates import UriTemplate
from mooring.wire.validation import framed, violations
from tests.wire.botocore_half import (
    CALM,
    RUNTIME,
    botocore_operation,
    headers_of,
    inputs,
    request_of,
    understood,
)

MODEL = service_model("sagemaker-runtime")
CHECKS = InvocationChecks(MODEL, "InvokeEndpoint")
SLOW_TO_DRAW = settings(max_examples=30, derandomize=True, suppress_health_check=list(HealthCheck))
INVOKE = b"/endpoints/e/invocations"
VARIANT = b"x-amzn-sagemaker-target-variant"
NAME = "^[a-zA-Z0-9](-*[a-zA-Z0-9])*"


@pytest.mark.parametrize("operation", RUNTIME)
@SLOW_TO_DRAW
@given(data=st.data())
def test_what_botocore_sends_is_understood_and_valid(operation: str, data: st.DataObject) -> None:
    params = data.draw(inputs(botocore_operation("sagemaker-runtime", operation).input_shape))
    request = request_of("sagemaker-runtime", operation, params)
    headers, body = headers_of(request), request["body"] or b""

    read = rest_json.parse_request(MODEL, b"POST", request["url_path"].encode(), b"", headers, body)

    expected = {"Body": b""} | params
    assert read.operation.name == operation
    assert read.params == {name: value for name, value in expected.items() if value is not None}
    assert violations(read.operation.input, read.params) == []
    checks = InvocationChecks(MODEL, operation)
    assert checks.violation(params["EndpointName"].encode(), headers, len(body)) is None


@pytest.mark.parametrize("operation", RUNTIME)
@SLOW_TO_DRAW
@given(data=st.data())
def test_botocore_understands_what_we_send(operation: str, data: st.DataObject) -> None:
    shape = botocore_operation("sagemaker-runtime", operation).output_shape
    result = data.draw(inputs(shape))

    answer = rest_json.success(MODEL.operation(operation), result, "the-id")
    read = understood("sagemaker-runtime", operation, answer)

    assert read.pop("ResponseMetadata")["RequestId"] == "the-id"
    read = {name: value.read() if hasattr(value, "read") else value for name, value in read.items()}
    assert read.items() >= result.items()
    assert answer.status == (202 if operation == "InvokeEndpointAsync" else 200)


def test_a_header_cannot_be_split() -> None:
    answer = rest_json.success(
        MODEL.operation("InvokeEndpoint"), {"CustomAttributes": "a\r\nx: y\0", "Body": b""}, "id"
    )
    assert (b"X-Amzn-SageMaker-Custom-Attributes", b"a  x: y ") in answer.headers


@pytest.mark.parametrize(("method", "path"), [(b"GET", INVOKE), (b"POST", b"/"), (b"POST", b"/endpoints/e/nope")])
def test_no_operation_there(method: bytes, path: bytes) -> None:
    with pytest.raises(WireError) as caught:
        rest_json.parse_request(MODEL, method, path, b"", [], b"")
    assert (caught.value.code, caught.value.status) == ("UnknownOperationException", 404)


@pytest.mark.parametrize("value", [b"soon", b"", b"1e3", b"1_0", b"\xb2", b"9" * 5000])
def test_a_number_that_is_none(value: bytes) -> None:
    headers = [(b"x-amzn-sagemaker-requestttlseconds", value)]
    with pytest.raises(WireError) as caught:
        rest_json.parse_request(MODEL, b"POST", b"/endpoints/e/async-invocations", b"", headers, b"")
    assert caught.value.code == "SerializationException"
    refused = InvocationChecks(MODEL, "InvokeEndpointAsync").violation(b"e", headers, 0)
    assert refused is not None


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            WireError("ValidationError", "Endpoint e not found.", members={"ErrorCode": "NO_SUCH_ENDPOINT"}),
            400,
            '{"ErrorCode":"NO_SUCH_ENDPOINT","Message":"Endpoint e not found."}',
        ),
        (
            WireError("ModelError", "m" * 3000, members={"OriginalStatusCode": 400, "OriginalMessage": "boom"}),
            424,
            '{"Message":"' + "m" * 2048 + '","OriginalMessage":"boom","OriginalStatusCode":400}',
        ),
        (WireError("ThrottlingException"), 400, '{"Message":null}'),
        (WireError("ServiceUnavailable", "x"), 503, '{"Message":"x"}'),
        (WireError("ModelNotReadyException", "x"), 429, '{"Message":"x"}'),
        (WireError("InternalDependencyException", "x"), 530, '{"Message":"x"}'),
    ],
)
def test_errors(error: WireError, status: int, body: str) -> None:
    answer = rest_json.failure(MODEL, error, "the-id")
    assert (answer.status, answer.body.decode()) == (status, body)
    read = understood("sagemaker-runtime", "InvokeEndpoint", answer)
    assert read["Error"]["Code"] == error.code
    assert read["ResponseMetadata"]["RequestId"] == "the-id"
    assert json.loads(body)["Message"] == (read["Error"]["Message"] or None)


@pytest.mark.parametrize(
    ("template", "path", "labels"),
    [
        ("/endpoints/{EndpointName}/invocations", b"/endpoints/a%2Fb/invocations", {"EndpointName": "a/b"}),
        ("/endpoints/{EndpointName}/invocations", b"/endpoints/%ff/invocations", {"EndpointName": "\ufffd"}),
        ("/endpoints/{EndpointName}/invocations", b"/endpoints/a/b/invocations", None),
        ("/endpoints/{EndpointName}/invocations", b"/endpoints/a/invocations/", None),
        ("/{Bucket}/{Key+}?x=1", b"/b/a/b", {"Bucket": "b", "Key": "a/b"}),
    ],
)
def test_uri_templates(template: str, path: bytes, labels: dict[str, str] | None) -> None:
    assert UriTemplate(template).match(path) == labels


def test_a_valid_invocation_passes_and_is_remembered() -> None:
    headers = [(b"content-type", b"text/csv"), (b"host", b"x"), (VARIANT, b"a"), (b"accept", b"")]
    assert CHECKS.violation(b"my-endpoint", headers, 10) is None
    assert CHECKS.violation(b"my-endpoint", headers, 10) is None


def test_violations_are_told_together_in_the_order_of_the_shape() -> None:
    headers = [(VARIANT, b"_"), (b"content-type", b"\xe9"), (b"x-amzn-sagemaker-target-model", b"")]
    error = CHECKS.violation(b"-", headers, 6_291_457)
    assert error is not None
    failed, pattern = "failed to satisfy constraint", "Member must satisfy regular expression pattern: "
    assert error.code == "ValidationError"
    assert error.message == "6 validation errors detected: " + "; ".join(
        [
            f"Value '-' at 'endpointName' failed to satisfy constraint: {pattern}{NAME}",
            "Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 6291456",
            f"Value 'é' at 'contentType' failed to satisfy constraint: {pattern}\\p{{ASCII}}*",
            f"Value '' at 'targetModel' {failed}: Member must have length greater than or equal to 1",
            f"Value '' at 'targetModel' failed to satisfy constraint: {pattern}\\A\\S[\\p{{Print}}]*\\z",
            f"Value '_' at 'targetVariant' failed to satisfy constraint: {pattern}{NAME}",
        ]
    )


def test_a_sensitive_header_is_not_shown() -> None:
    error = CHECKS.violation(b"e", [(b"x-amzn-sagemaker-custom-attributes", b"s" * 1025)], 0)
    assert error is not None
    assert error.message == (
        "1 validation error detected: Value at 'customAttributes' failed to satisfy constraint: "
        "Member must have length less than or equal to 1024"
    )


def test_the_body_limit_can_be_another() -> None:
    checks = InvocationChecks(MODEL, "InvokeEndpoint", body_limit=25 * 2**20)
    assert checks.violation(b"e", [], 7_000_000) is None
    error = checks.violation(b"e", [], 25 * 2**20 + 1)
    assert error is not None
    assert "26214400" in str(error)


def test_a_number_in_a_header_is_held_against_its_bounds() -> None:
    headers = [(b"x-amzn-sagemaker-requestttlseconds", b"59"), (b"x-amzn-sagemaker-invocationtimeoutseconds", b"4000")]
    error = InvocationChecks(MODEL, "InvokeEndpointAsync").violation(b"e", headers, 0)
    assert error is not None
    assert error.message == (
        "2 validation errors detected: Value '59' at 'requestTTLSeconds' failed to satisfy constraint: Member must "
        "have value greater than or equal to 60; Value '4000' at 'invocationTimeoutSeconds' failed to satisfy "
        "constraint: Member must have value less than or equal to 3600"
    )


def test_an_operation_without_such_headers_cannot_be_compiled() -> None:
    with pytest.raises(KeyError):
        InvocationChecks(MODEL, "NoSuchOperation")


values = st.binary(max_size=70) | st.sampled_from([b"a", b"-", b"NEW_SESSION", b"a" * 257, b"x y", b"\xff" * 2000])
names = st.sampled_from(
    [
        member.wire_name.lower().encode()
        for member in MODEL.operation("InvokeEndpoint").input.members.values()  # type: ignore[union-attr]
        if member.location == "header"
    ]
)


@CALM
@given(st.dictionaries(names, values, max_size=4), st.binary(min_size=1, max_size=70))
def test_the_compiled_checks_agree_with_validation(headers: dict[bytes, bytes], name: bytes) -> None:
    fields: Headers = list(headers.items())
    label = name.decode("latin-1")
    params: dict[str, Any] = rest_json.parse_request(MODEL, b"POST", INVOKE, b"", fields, b"").params
    params["EndpointName"] = label
    shape = MODEL.operation("InvokeEndpoint").input
    assert shape is not None
    expected = violations(shape, params)
    error = CHECKS.violation(name, fields, 0)
    assert (error.message if error else None) == (framed(expected) if expected else None)
