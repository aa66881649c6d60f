"""Requests of every protocol in one form, in which nothing can pass for another call."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.http1.messages import Request
from mooring.neighbours.calls import Call, read
from mooring.settings import AccountSettings
from mooring.wire.dialects import spoken
from mooring.wire.encodings import LARGEST_BODY_BYTES, unpacked
from mooring.wire.errors import WireError
from tests.wire.botocore_half import CALM

ACCOUNT = AccountSettings(id="111111111111", region="eu-west-1")
FORM = (b"content-type", b"application/x-www-form-urlencoded")


def scope(service: str, region: str = "us-east-1") -> tuple[bytes, bytes]:
    credential = f"AKIA/20260131/{region}/{service}/aws4_request"
    return b"authorization", f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=ab".encode()


def request(target: bytes, *headers: tuple[bytes, bytes], body: bytes = b"", method: bytes = b"POST") -> Request:
    made = Request()
    made.method, made.target, made.headers, made.body = method, target, list(headers), body
    return made


def asked(made: Request) -> Call:
    body = unpacked(made.body, made.header(b"content-encoding"))
    return read(made, spoken(made.path, made.query, made.headers, body), body, ACCOUNT, "localhost:1")


def test_a_form() -> None:
    call = asked(request(b"/", scope("iam"), FORM, (b"host", b"h:80"), body=b"Action=CreateRole&RoleName=a%2Bb&X="))
    assert call == Call(
        service="iam",
        account="111111111111",
        region="us-east-1",
        access_key_id="AKIA",
        operation="CreateRole",
        host="h:80",
        path="/",
        content_type="application/x-www-form-urlencoded",
        body="Action=CreateRole&RoleName=a%2Bb&X=",
    )
    assert Call.from_document(json.loads(json.dumps(call.to_document()))) == call


def test_a_query_without_its_signature() -> None:
    query = b"Action=ListQueues&Version=2012-11-05&X-Amz-Signature=secret&AWSAccessKeyId=k&Signature=secret"
    call = asked(request(b"/?" + query, method=b"GET"))
    assert (call.service, call.region, call.operation) == ("sqs", "eu-west-1", "ListQueues")
    assert call.body == "Action=ListQueues&Version=2012-11-05"


def test_action_in_the_query_and_the_rest_in_the_body() -> None:
    call = asked(request(b"/000000000000/q?Action=SendMessage", scope("sqs"), FORM, body=b"MessageBody=x"))
    assert (call.operation, call.path, call.body) == (
        "SendMessage",
        "/000000000000/q",
        "Action=SendMessage&MessageBody=x",
    )


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (b"/", b"Action=ListTopics&Action=DeleteTopic"),
        (b"/?Action=ListTopics", b"%41ction=DeleteTopic"),
        (b"/", b"Nothing=1"),
        (b"/", b""),
    ],
)
def test_two_actions_are_none(target: bytes, body: bytes) -> None:
    with pytest.raises(WireError, match="MissingAction"):
        asked(request(target, scope("sns"), FORM, body=body))


@pytest.mark.parametrize("body", [b"a=%ff", b"a&" * 20_000])
def test_forms_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(WireError, match="MalformedQueryString"):
        asked(request(b"/", scope("sns"), FORM, body=body))


texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    texts | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@CALM
@given(st.dictionaries(st.sampled_from(["MessageBody", "Action", "&Action=X&"]), documents, max_size=3))
def test_json_is_never_a_form(document: dict[str, Any]) -> None:
    body = json.dumps(document, ensure_ascii=False).encode()
    call = asked(request(b"/", scope("sqs"), (b"x-amz-target", b"AmazonSQS.SendMessage"), body=body))
    assert json.loads(call.body) == document
    assert "Action" not in dict(parse_qsl(call.body, keep_blank_values=True))


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b'"x"', b'{"a":NaN}', b"[" * 50_000])
def test_json_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(WireError, match="SerializationException"):
        asked(request(b"/", scope("logs"), (b"x-amz-target", b"Logs_20140328.X"), body=body))


CBOR_PATH = b"/service/GraniteServiceVersion20100801/operation/PutMetricData"
SMITHY = (b"smithy-protocol", b"rpc-v2-cbor")


def test_cbor_becomes_json() -> None:
    call = asked(request(CBOR_PATH, scope("monitoring"), SMITHY, body=b"\xa2\x61a\xc1\x01\x61b\x42hi"))
    assert (call.operation, call.content_type) == ("PutMetricData", "application/x-amz-json-1.0")
    assert json.loads(call.body) == {"a": 1.0, "b": "aGk="}
    with pytest.raises(WireError, match="SerializationException"):
        asked(request(CBOR_PATH, scope("monitoring"), SMITHY, body=b"\xa1\x61a\xf9\x7e\x00"))  # NaN
    with pytest.raises(WireError, match="UnknownOperationException"):
        asked(request(CBOR_PATH, scope("sqs"), SMITHY))


@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_what_calls_nothing(method: bytes) -> None:
    with pytest.raises(WireError, match="MissingAction"):
        asked(request(b"/moto-api/reset", scope("sns"), method=method))


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        (b"[::1]:8080", "[::1]:8080"),
        (b"a/b", "localhost:1"),
        (b"x y", "localhost:1"),
        (b"eu-west-1.queue.amazonaws.com", "localhost:1"),
        (b"", "localhost:1"),
    ],
)
def test_the_host_of_queue_urls(host: bytes, taken: str) -> None:
    made = request(b"/?Action=ListQueues&Version=2012-11-05", (b"host", host))
    assert asked(made).host == taken


def test_a_packed_body() -> None:
    packed = (b"content-encoding", b"gzip")
    target = (b"x-amz-target", b"GraniteServiceVersion20100801.PutMetricData")
    call = asked(request(b"/", scope("monitoring"), target, packed, body=gzip.compress(b'{"Namespace":"n"}')))
    assert json.loads(call.body) == {"Namespace": "n"}


@pytest.mark.parametrize(
    ("encoding", "body", "code"),
    [
        (b"gzip", gzip.compress(bytes(LARGEST_BODY_BYTES + 1), mtime=0), "RequestEntityTooLarge"),
        (b"gzip", gzip.compress(b"{}", mtime=0)[:-3], "SerializationException"),
        (b"gzip", b"{}", "SerializationException"),
        (b"br", b"{}", "UnsupportedMediaType"),
    ],
)
def test_packed_bodies_that_are_refused(encoding: bytes, body: bytes, code: str) -> None:
    with pytest.raises(WireError, match=code):
        unpacked(body, encoding)
