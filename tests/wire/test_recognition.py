from __future__ import annotations

from typing import Any

import pytest
from botocore.auth import S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from mooring.wire.recognition import Recognition, is_for_s3, recognize
from mooring.wire.sigv4 import Credential, from_authorization, from_query
from tests.wire.botocore_half import CALM

Headers = list[tuple[bytes, bytes]]


def scope(service: str, region: str = "eu-west-1") -> tuple[bytes, bytes]:
    credential = f"AKIA/20260131/{region}/{service}/aws4_request"
    return b"authorization", f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=ab".encode()


def target(value: bytes) -> tuple[bytes, bytes]:
    return b"x-amz-target", value


FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")
SMITHY = (b"smithy-protocol", b"rpc-v2-cbor")
LOCAL = (b"host", b"127.0.0.1:8080")
BUCKET = (b"host", b"My-Bucket.localhost:8080")
INVOKE = b"/endpoints/e/invocations"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "service"),
    [
        (b"POST", b"/", b"", [scope("sagemaker")], "sagemaker"),
        (b"POST", INVOKE, b"", [scope("sagemaker")], "sagemaker-runtime"),
        (b"POST", b"/endpoints/e/async-invocations", b"", [scope("sagemaker")], "sagemaker-runtime"),
        (b"POST", b"/endpoints/e/nonsense", b"", [scope("sagemaker")], "sagemaker-runtime"),
        (b"PUT", b"/endpoints/e/invocations", b"", [scope("s3")], "s3"),
        (b"POST", b"/", b"", [scope("sts"), FORM], "sts"),
        (b"POST", b"/", b"", [scope("iam"), target(b"SageMaker.ListModels")], "iam"),
        (b"GET", b"/-/mooring/k", b"", [scope("s3"), BUCKET], "s3"),
        (b"POST", b"/", b"", [target(b"SageMaker.ListModels")], "sagemaker"),
        (b"POST", b"/", b"", [target(b"AnyScaleFrontendService.DescribeScalingPolicies")], "application-autoscaling"),
        (b"POST", b"/", b"", [target(b"DynamoDB_20120810.ListTables")], "unknown"),
        (b"POST", INVOKE, b"", [LOCAL], "sagemaker-runtime"),
        (b"POST", b"/endpoints/e/invocations-response-stream", b"", [LOCAL], "sagemaker-runtime"),
        (b"GET", INVOKE, b"", [LOCAL], "sagemaker-runtime"),
        (b"GET", INVOKE, b"", [BUCKET], "s3"),
        (b"POST", INVOKE, b"", [BUCKET], "sagemaker-runtime"),
        (b"GET", INVOKE, b"", [LOCAL, scope("s3")], "s3"),
        (b"GET", INVOKE, b"AWSAccessKeyId=AKIA&Signature=x%3D&Expires=9", [LOCAL], "s3"),
        (b"PUT", b"/endpoints/", b"", [LOCAL], "sagemaker-runtime"),
        (b"PUT", b"/endpoints", b"", [LOCAL], "s3"),
        (b"POST", b"/endpoints//invocations", b"", [LOCAL], "sagemaker-runtime"),
        (b"POST", b"/endpoints/a/b/invocations", b"", [LOCAL], "sagemaker-runtime"),
        (b"GET", b"/-/mooring/v1/status", b"", [LOCAL], "mooring"),
        (b"GET", b"/-/mooring", b"", [LOCAL], "unknown"),
        (b"GET", b"/-/x", b"", [LOCAL], "unknown"),
        (b"GET", b"/-/x", b"", [BUCKET], "s3"),
        (b"GET", b"/-/mooring/v1/status", b"", [BUCKET], "mooring"),
        (b"GET", b"/", b"Action=GetCallerIdentity&Version=2011-06-15", [BUCKET], "s3"),
        (b"GET", b"/", b"Action=GetCallerIdentity&Version=2011-06-15", [LOCAL], "sts"),
        (b"GET", b"/", b"Action=ListUsers&Version=2010-05-08", [LOCAL], "iam"),
        (b"GET", b"/key", b"Action=GetCallerIdentity", [LOCAL], "s3"),
        (b"POST", b"/", b"", [LOCAL, FORM], "sts"),
        (b"POST", b"/000000000000/my-queue", b"", [LOCAL, FORM], "sqs"),
        (b"POST", b"/000000000000/q.fifo", b"", [LOCAL, FORM, scope("sqs")], "sqs"),
        (b"GET", b"/000000000000/q", b"Action=SendMessage&Version=2012-11-05", [LOCAL], "sqs"),
        (b"POST", b"/000000000000/q", b"", [BUCKET, FORM], "s3"),
        (b"POST", b"/000000000000/q/key", b"", [LOCAL, FORM], "s3"),
        (b"GET", b"/000000000000/q", b"", [LOCAL], "s3"),
        (b"PUT", b"/000000000000/q", b"", [LOCAL, FORM], "s3"),
        (b"POST", b"/service/GraniteServiceVersion20100801/operation/X", b"", [LOCAL, SMITHY], "monitoring"),
        (b"POST", b"/service/AWSEventsV2/operation/X", b"", [LOCAL, SMITHY], "unknown"),
        (b"POST", b"/service/AWSEventsV2/operation/X", b"", [LOCAL], "s3"),
        (b"GET", b"/bucket/key", b"", [LOCAL], "s3"),
        (b"GET", b"/k", b"AWSAccessKeyId=AKIA&Signature=x%3D&Expires=9", [LOCAL], "s3"),
        (b"GET", b"/", b"", [], "s3"),
    ],
)
def test_which_service(method: bytes, path: bytes, query: bytes, headers: Headers, service: str) -> None:
    assert recognize(method, path, query, headers).service == service


def test_a_head_is_enough_to_tell_s3() -> None:
    def head(line: bytes, *headers: bytes) -> bytes:
        return b"\r\n".join([line + b" HTTP/1.1", *headers, b"", b""])

    s3 = [
        head(b"GET /bucket/key?versionId=1", b"Host: localhost"),
        b"\r\n" + head(b"GET /"),
        head(b"PUT /-/x", b"HOST:b-1.localhost"),
    ]
    others = [
        head(b"GET /-/x"),
        head(b"GET /endpoints/e/invocations", b"Host: localhost"),
        head(b"POST /", b"X-Amz-Target: SageMaker.X"),
        head(b"POST /", b"Content-Type: application/x-www-form-urlencoded"),
        head(b"G:T /bucket"),
        b"GET /bucket",
        b"\x16\x03\x01\r\n\r\n",
        b"",
    ]
    assert [is_for_s3(each) for each in s3] == [True] * len(s3)
    assert [is_for_s3(each) for each in others] == [False] * len(others)


def test_a_form_names_its_service_by_its_version() -> None:
    body = b"Action=Publish&Version=2010-03-31"
    assert recognize(b"POST", b"/", b"", [FORM], body).service == "sns"
    assert recognize(b"PUT", b"/", b"", [FORM], body).service == "s3"


def test_who_and_where_come_from_the_scope() -> None:
    found = recognize(b"POST", b"/", b"", [scope("sagemaker", "us-gov-west-1")])
    assert found == Recognition("sagemaker", "us-gov-west-1", "AKIA")
    assert recognize(b"GET", b"/x", b"", []) == Recognition("s3", None, None)


def signed(service: str) -> bytes:
    request = AWSRequest("POST", "http://127.0.0.1/", data=b"{}")
    SigV4Auth(Credentials("AKIA/X", "secret", "token"), service, "us-east-1").add_auth(request)
    return bytes(request.headers["Authorization"], "ascii")


def test_what_botocore_signs_is_read() -> None:
    found = from_authorization(signed("sagemaker"))
    assert found is not None
    assert (found.access_key_id, found.region, found.service) == ("AKIA/X", "us-east-1", "sagemaker")
    assert not found.presigned


def test_what_botocore_presigns_is_read() -> None:
    request = AWSRequest("GET", "http://127.0.0.1/bucket/key")
    S3SigV4QueryAuth(Credentials("AKIA", "secret"), "s3", "us-east-1").add_auth(request)
    found = from_query(request.url.partition("?")[2].encode())
    assert found is not None
    assert (found.access_key_id, found.region, found.service, found.presigned) == ("AKIA", "us-east-1", "s3", True)


@pytest.mark.parametrize(
    ("value", "credential"),
    [
        (b"AWS4-ECDSA-P256-SHA256 Credential=A/20260131/s3/aws4_request, x", Credential("A", "20260131", None, "s3")),
        (b"AWS AKIA:c2ln", Credential("AKIA", None, None, "s3")),
        (b"AWS4-HMAC-SHA256 Credential=A/20260131/r/s3/aws4_request", Credential("A", "20260131", "r", "s3")),
        (b"AWS4-HMAC-SHA256 Credential=A/2026/r/s3/aws4_request", None),
        (b"AWS4-HMAC-SHA256 Credential=A/20260131/r/s3/other", None),
        (b"AWS4-HMAC-SHA256 Credential=20260131/r/s3/aws4_request", None),
        (b"AWS4-HMAC-SHA256 Credential=A/20260131/../s3/aws4_request", None),
        (b"AWS4-HMAC-SHA256 Credential=A/20260131/r/s\xff/aws4_request", None),
        (b"AWS4-HMAC-SHA256 NotCredential=A/20260131/r/s3/aws4_request", None),
        (b"Bearer AWS4-HMAC-SHA256 Credential=A/20260131/r/s3/aws4_request", None),
        (b"AWS4-HMAC-SHA256", None),
        (b"", None),
    ],
)
def test_authorization_headers(value: bytes, credential: Credential | None) -> None:
    assert from_authorization(value) == credential


@pytest.mark.parametrize(
    "query",
    [b"", b"X-Amz-Credential=", b"X-Amz-Credential=%ff%00", b"AWSAccessKeyId=", b"AWSAccessKeyId=A&Action=Publish"],
)
def test_queries_without_a_credential(query: bytes) -> None:
    assert from_query(query) is None


hostile = st.binary(max_size=60) | st.sampled_from(
    [b"AWS4-HMAC-SHA256 Credential=", b"////aws4_request", b"%", b"&&==", b"X-Amz-Credential=a/b", b"\x00"]
)
pieces = st.lists(hostile, max_size=4).map(b"".join)


@CALM
@given(
    pieces,
    pieces,
    pieces,
    st.lists(
        st.tuples(st.sampled_from([b"authorization", b"x-amz-target", b"host", b"content-type", b"x"]), pieces),
        max_size=5,
    ),
    pieces,
)
def test_no_input_makes_it_raise(method: bytes, path: bytes, query: bytes, headers: Any, body: bytes) -> None:
    is_for_s3(method + path + query + body)
    found = recognize(method, b"/" + path, query, headers, body)
    assert found.service
    for text in (found.service, found.region, found.access_key_id):
        assert text is None or (text.isascii() and text.isprintable() and " " not in text)
