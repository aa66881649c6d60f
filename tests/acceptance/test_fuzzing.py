"""Broken HTTP and broken JSON at the one URL: an answer in somebody's form or an end, never a trace or a hang."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.running import Deployment, Server

ENDS_WITHIN_S = 20.0
"""A connection whose client has said all: far above what any answer takes, so that only what hangs meets it."""
_SCOPE = b"AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/%b/aws4_request, SignedHeaders=host, Signature=00"


def request(method: bytes, target: bytes, service: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", b"Authorization: " + _SCOPE % service, *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def called(operation: bytes, body: bytes, *headers: bytes) -> bytes:
    target, kind = b"X-Amz-Target: SageMaker." + operation, b"Content-Type: application/x-amz-json-1.1"
    return request(b"POST", b"/", b"sagemaker", body, target, kind, *headers)


CONFIG = json.dumps(
    {"EndpointConfigName": "fuzz", "ProductionVariants": [
        {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]}
).encode()  # fmt: skip
FORM = b"Action=GetCallerIdentity&Version=2011-06-15"
SEEDS = [
    called(b"DescribeEndpoint", b'{"EndpointName":"echo"}'),
    called(b"CreateEndpointConfig", CONFIG),
    called(b"ListTags", b'{"ResourceArn":"arn:aws:sagemaker:us-east-1:000000000000:endpoint/echo"}'),
    request(b"POST", b"/endpoints/echo/invocations", b"sagemaker", b"1,2", b"Content-Type: text/csv"),
    request(b"POST", b"/endpoints/echo/invocations", b"sagemaker", b"1,2", b"X-Amzn-SageMaker-Target-Variant: echo"),
    request(b"PUT", b"/bucket/key?x-id=PutObject", b"s3", b"body", b"x-amz-content-sha256: UNSIGNED-PAYLOAD"),
    request(b"GET", b"/bucket?list-type=2&prefix=a", b"s3", b""),
    request(b"POST", b"/", b"sts", FORM, b"Content-Type: application/x-www-form-urlencoded"),
    request(b"GET", b"/-/mooring/status", b"sagemaker", b""),
    request(b"POST", b"/service/GraniteServiceVersion20100801/operation/ListMetrics", b"monitoring", b"\xa0",
            b"smithy-protocol: rpc-v2-cbor", b"Content-Type: application/cbor"),
]  # fmt: skip
PIECES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"\r\n", b"\r\n\r\n", b"\x00", b":", b"{", b"[" * 5000, b'"', b"\xff\xfe", b"9" * 400, b"-1",
                     b"%00", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Expect: 100-continue\r\n",
                     b"../" * 20, b"a" * 9000, b'{"a":' * 3000, b"\xc3\x28", b"\xed\xa0\x80"]),
)  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A request that somebody could have sent, with some bytes put in, taken away or doubled."""
    message = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(message)))
        end = min(len(message), begin + draw(st.integers(0, 12)))
        piece = draw(PIECES)
        match draw(st.sampled_from(["put in", "replaced", "taken away", "doubled", "cut"])):
            case "put in":
                message = message[:begin] + piece + message[begin:]
            case "replaced":
                message = message[:begin] + piece + message[end:]
            case "taken away":
                message = message[:begin] + message[end:]
            case "doubled":
                message = message[:end] + message[begin:]
            case _:
                message = message[:begin]
    return message


def said_to(server: Server, message: bytes, *, leaves: bool = True) -> bytes:
    """All that comes back until the connection ends; a client that `leaves` ends its side after the message."""
    address = urlsplit(server.url)
    answer = b""
    with socket.create_connection((address.hostname, address.port), ENDS_WITHIN_S) as connection:
        try:
            connection.sendall(message)
            if leaves:
                connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                answer += data
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def assert_in_form(answer: bytes) -> None:
    assert b"Traceback" not in answer
    for status in re.findall(rb"(?m)^HTTP/1\.1 (\d{3})", answer):
        assert status not in (b"500", b"502"), answer


@given(message=mutations())
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(300)
def test_broken_messages(shared: Deployment, message: bytes) -> None:
    assert_in_form(said_to(shared.server, message))


@given(head=st.sampled_from([b"DescribeEndpoint", b"CreateModel", b"AddTags"]), body=st.one_of(
    st.binary(max_size=200),
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(), lambda inner:
                 st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12) | st.sampled_from(
                     ["EndpointName", "ModelName", "PrimaryContainer", "Containers", "ResourceArn", "Tags"]), inner,
                     max_size=4), max_leaves=12).map(lambda value: json.dumps(value).encode()),
))  # fmt: skip
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(300)
def test_any_body_gets_an_answer(shared: Deployment, head: bytes, body: bytes) -> None:
    answer = said_to(shared.server, called(head, body, b"Connection: close"), leaves=False)
    assert re.match(rb"HTTP/1\.1 400 ", answer), answer
    assert_in_form(answer)


def test_the_server_has_written_no_trace_and_still_serves(make_server: Callable[..., Server]) -> None:
    server = make_server().start()

    @given(message=mutations())
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def break_it(message: bytes) -> None:
        said_to(server, message)

    break_it()
    assert server.client("sts").get_caller_identity()["Account"] == "000000000000"
    assert server.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert "Traceback" not in server.log.read_text()
