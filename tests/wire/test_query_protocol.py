from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.wire import query_protocol
from mooring.wire.errors import WireError
from mooring.wire.service_models import service_model
from tests.wire.botocore_half import CALM, botocore_operation, inputs, plain, request_of, understood

MODEL = service_model("sts")
OPERATIONS = ["GetCallerIdentity", "AssumeRole", "GetSessionToken", "AssumeRoleWithWebIdentity", "GetFederationToken"]
SLOW_TO_DRAW = settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))


def refusal(query: bytes, body: bytes = b"") -> WireError:
    with pytest.raises(WireError) as caught:
        query_protocol.parse_request(MODEL, query, body)
    return caught.value


def without_empties(value: Any) -> Any:
    """A form cannot tell an absent structure from an empty one."""
    if isinstance(value, dict):
        kept = {name: without_empties(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in ({}, [])}
    return [item for item in map(without_empties, value) if item != {}] if isinstance(value, list) else value


@pytest.mark.parametrize("operation", OPERATIONS)
@SLOW_TO_DRAW
@given(data=st.data())
def test_what_botocore_sends_is_understood(operation: str, data: st.DataObject) -> None:
    params = data.draw(inputs(botocore_operation("sts", operation).input_shape))
    request = request_of("sts", operation, params)

    read = query_protocol.parse_request(MODEL, b"", urlencode(request["body"]).encode())

    assert read.operation.name == operation
    assert without_empties(read.params) == without_empties(plain(params))


@pytest.mark.parametrize("operation", OPERATIONS)
@SLOW_TO_DRAW
@given(data=st.data())
def test_botocore_understands_what_we_send(operation: str, data: st.DataObject) -> None:
    result = data.draw(inputs(botocore_operation("sts", operation).output_shape))

    answer = query_protocol.success(MODEL, MODEL.operation(operation), result, "the-id")
    read = understood("sts", operation, answer)

    assert read.pop("ResponseMetadata")["RequestId"] == "the-id"
    assert plain(read) == plain(result)


def test_the_caller_s_identity() -> None:
    result = {"UserId": "A<&>", "Account": "123456789012", "Arn": "arn:aws:iam::123456789012:root"}
    answer = query_protocol.success(MODEL, MODEL.operation("GetCallerIdentity"), result, "id")
    assert answer.headers == ((b"x-amzn-RequestId", b"id"), (b"Content-Type", b"text/xml"))
    assert answer.body.decode() == (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        "<UserId>A&lt;&amp;&gt;</UserId><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:root</Arn>"
        "</GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )


def test_the_action_may_be_in_the_query() -> None:
    assert query_protocol.parse_request(MODEL, b"Action=GetCallerIdentity", b"").operation.name == "GetCallerIdentity"


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        (b"", b"", "MissingAction"),
        (b"Action=Nope", b"", "InvalidAction"),
        (b"Action=GetCallerIdentity&Version=2000-01-01", b"", "InvalidAction"),
        (b"Action=%ff", b"", "MalformedQueryString"),
        (b"", b"a=1&" * 10_001, "MalformedQueryString"),
        (b"Action=GetSessionToken&DurationSeconds=long", b"", "SerializationException"),
        (b"Action=GetSessionToken&DurationSeconds=9e9", b"", "SerializationException"),
    ],
)
def test_what_cannot_be_read(query: bytes, body: bytes, code: str) -> None:
    assert refusal(query, body).code == code


@CALM
@given(st.binary(max_size=200))
def test_no_form_makes_it_raise_anything_else(body: bytes) -> None:
    try:
        query_protocol.parse_request(MODEL, b"Action=AssumeRole", b"Tags.member.1.Key=a&Tags=b&" + body)
    except WireError as error:
        assert error.status == 400


@pytest.mark.parametrize(
    ("error", "status", "code", "fault"),
    [
        (WireError("InvalidAction", "a < b \x00"), 400, "InvalidAction", "Sender"),
        (WireError("IDPRejectedClaimException", "x"), 403, "IDPRejectedClaim", "Sender"),
        (WireError("ServiceUnavailable", "x"), 503, "ServiceUnavailable", "Receiver"),
    ],
)
def test_errors(error: WireError, status: int, code: str, fault: str) -> None:
    answer = query_protocol.failure(MODEL, error, "the-id")
    read = understood("sts", "GetCallerIdentity", answer)
    assert answer.status == status
    assert error.message is not None
    assert read["Error"] == {"Type": fault, "Code": code, "Message": error.message.replace("\0", "\ufffd")}
    assert read["ResponseMetadata"]["RequestId"] == "the-id"
