"""SigV4 against the other half: whatever botocore signs is verified, and whatever is changed afterwards is not."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode, percent_encode_sequence
from hypothesis import given
from hypothesis import strategies as st

from mooring.wire import chunk_signatures, signatures, signing, sigv2, sigv4, verification
from mooring.wire.canonical import EMPTY_SHA256
from mooring.wire.signatures import MISMATCH, Flaw, Signature, Unverified
from mooring.wire.verification import UNSIGNED_PAYLOAD, SigningKeys
from tests.wire.botocore_half import CALM

KEY, SECRET = "MKIAEXAMPLE", "secret/with+signs"
KEYS = SigningKeys(SECRET)
NOW = 1_790_000_000
HOST = "127.0.0.1:8080"

NAMES = st.from_regex(r"x-amz-[a-z]{1,12}|[a-z][a-z-]{0,12}", fullmatch=True).filter(
    lambda name: (
        name.lower() not in {*botocore.auth.SIGNED_HEADERS_BLACKLIST, "host", "date", "authorization"}
        and name not in {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "content-length"}
    )
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=4)
SEGMENTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from(
    [".", "..", ""]
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), VALUES, max_size=4)
BODIES = st.binary(max_size=40)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None)):
        yield


def signed(
    auth: Any, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> AWSRequest:
    """A request as botocore would send it: quoted, signed and prepared."""
    request = AWSRequest(method, _url(path, query), headers=dict(headers), data=body)
    auth.add_auth(request)
    return request


def _url(path: str, query: dict[str, str]) -> str:
    tail = f"?{percent_encode_sequence(query)}" if query else ""
    return f"http://{HOST}{percent_encode(path, safe='/~')}{tail}"


class Arrived:
    """A request as the server has read it."""

    def __init__(self, request: AWSRequest, body: bytes = b"") -> None:
        prepared = request.prepare()
        parts = urlsplit(prepared.url)
        self.method = prepared.method.encode()
        self.path, self.query = (parts.path or "/").encode(), parts.query.encode()
        fields = [(name.lower().encode(), _bytes(value)) for name, value in prepared.headers.items()]
        self.headers = [(b"host", parts.netloc.encode()), *fields]
        self.body = body

    def verify(self, *, is_s3: bool, payload: bytes | None = None, keys: SigningKeys = KEYS) -> Signature:
        signature = signatures.read(self.headers, self.query)
        verification.check_scope(signature, ["s3" if is_s3 else "sagemaker"])
        assert signature.claim.access_key_id == KEY
        verification.check_time(signature, NOW)
        verification.check_signed_headers(signature, self.headers)
        digest = hashlib.sha256(self.body).hexdigest().encode() if payload is None else payload
        verification.check_signature(
            signature, keys, self.method, self.path, self.query, self.headers, digest, is_s3=is_s3
        )
        return signature


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def flaw_of(arrived: Arrived, **options: Any) -> Flaw:
    with pytest.raises(Unverified) as caught:
        arrived.verify(**{"is_s3": False, **options})
    return caught.value.flaw


@CALM
@given(st.sampled_from(["GET", "POST"]), PATHS, QUERIES, HEADERS, BODIES)
def test_what_botocore_signs_is_verified(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    auth = botocore.auth.SigV4Auth(Credentials(KEY, SECRET), "sagemaker", "eu-west-1")
    arrived = Arrived(signed(auth, method, path, query, headers, body), body)
    assert arrived.verify(is_s3=False).claim.region == "eu-west-1"
    arrived.body += b"!"
    assert flaw_of(arrived) is Flaw.MISMATCH


@CALM
@given(st.sampled_from(["GET", "PUT"]), PATHS, QUERIES, HEADERS, BODIES)
def test_what_botocore_signs_for_s3_is_verified(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    auth = botocore.auth.S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1")
    arrived = Arrived(signed(auth, method, path, query, headers, body), body)
    arrived.verify(is_s3=True)
    assert flaw_of(arrived, is_s3=True, payload=EMPTY_SHA256[::-1]) is Flaw.MISMATCH


@CALM
@given(PATHS, QUERIES, st.integers(1, 604_800))
def test_what_botocore_presigns_is_verified(path: str, query: dict[str, str], expires: int) -> None:
    credentials = Credentials(KEY, SECRET)
    for is_s3, kind in ((True, botocore.auth.S3SigV4QueryAuth), (False, botocore.auth.SigV4QueryAuth)):
        auth = kind(credentials, "s3" if is_s3 else "sagemaker", "us-east-1", expires=expires)
        arrived = Arrived(signed(auth, "GET", path, query, {}, b""))
        payload = UNSIGNED_PAYLOAD if is_s3 else EMPTY_SHA256
        signature = arrived.verify(is_s3=is_s3, payload=payload)
        assert signature.expires_s == expires
        arrived.method = b"DELETE"
        assert flaw_of(arrived, is_s3=is_s3, payload=payload) is Flaw.MISMATCH
        verification.check_time(signature, NOW + expires)
        with pytest.raises(Unverified) as caught:
            verification.check_time(signature, NOW + expires + 1)
        assert caught.value.flaw is Flaw.EXPIRED


@CALM
@given(st.sampled_from(["GET", "PUT"]), PATHS, st.sampled_from([{}, {"uploads": ""}, {"uploadId": "a/b c", "x": "1"}]))
def test_what_botocore_signs_by_the_old_version_is_verified(method: str, path: str, query: dict[str, str]) -> None:
    credentials = Credentials(KEY, SECRET)
    headers = {"x-amz-meta-b": "2", "x-amz-meta-a": " 1 ", "Content-Type": "text/csv"}
    with mock.patch("time.time", return_value=float(NOW)):
        for presigned, auth in (
            (False, botocore.auth.HmacV1Auth(credentials)),
            (True, botocore.auth.HmacV1QueryAuth(credentials, 60)),
        ):
            request = AWSRequest(method, _url(path, query))
            for name, value in headers.items():
                request.headers[name] = value
            auth.add_auth(request)
            arrived = Arrived(request)
            if presigned:
                arrived.headers = [(b"host", HOST.encode())]
            found = sigv2.read(arrived.headers, arrived.query)
            assert found is not None
            assert (found.access_key_id, found.expires) == (KEY, presigned)
            sigv2.check_time(found, arrived.headers, NOW)
            rest = (arrived.path, arrived.query, arrived.headers, b"")
            sigv2.check_signature(found, SECRET, arrived.method, *rest)
            with pytest.raises(Unverified, match="does not match"):
                sigv2.check_signature(found, SECRET + "x", arrived.method, *rest)
            with pytest.raises(Unverified):
                sigv2.check_time(found, arrived.headers, NOW + 3600)


@CALM
@given(PATHS, BODIES, st.sampled_from(["s3", "sagemaker", "mooring"]))
def test_our_own_signatures_are_botocores(path: str, body: bytes, service: str) -> None:
    digest = hashlib.sha256(body).hexdigest().encode()
    url = _url(path, {"a": "b", "c": ""})
    ours = signing.signed_headers(
        signing.Credentials(KEY, SECRET), service, "us-east-1", "POST", url, digest=digest, now=NOW
    )
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    request = AWSRequest("POST", url, data=body)
    kind(Credentials(KEY, SECRET), service, "us-east-1").add_auth(request)
    assert ours["Authorization"] == request.headers["Authorization"]


def usual(**headers: str) -> Arrived:
    auth = botocore.auth.SigV4Auth(Credentials(KEY, SECRET), "sagemaker", "us-east-1")
    return Arrived(signed(auth, "POST", "/", {}, headers, b""))


def test_another_secret_is_a_mismatch() -> None:
    assert flaw_of(usual(), keys=SigningKeys("other")) is Flaw.MISMATCH


def test_a_header_that_says_what_is_asked_must_be_signed() -> None:
    arrived = usual()
    arrived.headers.append((b"x-amz-target", b"SageMaker.DeleteModel"))
    assert flaw_of(arrived) is Flaw.UNSIGNED_HEADERS


def test_a_value_beyond_ascii_is_sent_in_latin_1_and_signed_in_utf_8() -> None:
    arrived = usual(**{"X-Amzn-SageMaker-Custom-Attributes": "ü"})
    assert dict(arrived.headers)[b"x-amzn-sagemaker-custom-attributes"] == b"\xfc"
    arrived.verify(is_s3=False)


def test_what_says_which_client_it_is_need_not_be_signed() -> None:
    arrived = usual()
    arrived.headers.append((b"x-amz-user-agent", b"aws-sdk-js/3"))
    arrived.verify(is_s3=False)


def test_the_host_must_be_signed() -> None:
    arrived = usual()
    name, value = next(line for line in arrived.headers if line[0] == b"authorization")
    arrived.headers.remove((name, value))
    arrived.headers.append((name, value.replace(b"host;", b"")))
    assert flaw_of(arrived) is Flaw.UNSIGNED_HEADERS


OLD = "Signature expired: {} is now earlier than 20260921T141321Z (20260921T141821Z - 5 min.)"
EARLY = "Signature not yet current: {} is still later than 20260921T141319Z (20260921T140819Z + 5 min.)"


@pytest.mark.parametrize(("moved", "text"), [(301, OLD), (-301, EARLY)])
def test_the_clock_may_differ_by_five_minutes(moved: int, text: str) -> None:
    signature = signatures.read(usual().headers, b"")
    verification.check_time(signature, NOW + moved + (1 if moved < 0 else -1))
    with pytest.raises(Unverified) as caught:
        verification.check_time(signature, NOW + moved)
    assert str(caught.value) == text.format("20260921T141320Z")


A = "AWS4-HMAC-SHA256 "
C, H, S = f"Credential={KEY}/20260921/us-east-1/sagemaker/aws4_request", "SignedHeaders=host", "Signature=" + "0" * 64
NO_PAIR = "'{}' not a valid key=value pair (missing equal-sign) in Authorization header: '{}'."
FIVE = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b'"
REQUIRES = "Authorization header requires '{}' parameter."


@pytest.mark.parametrize(
    ("value", "flaw", "text"),
    [
        (None, Flaw.MISSING, "Missing Authentication Token"),
        ("Bearer", Flaw.INCOMPLETE, NO_PAIR.format("Bearer", "Bearer")),
        (A + "Credential", Flaw.INCOMPLETE, NO_PAIR.format("Credential", A + "Credential")),
        (
            A + H,
            Flaw.INCOMPLETE,
            f"{REQUIRES.format('Credential')} {REQUIRES.format('Signature')} Authorization=AWS4-HMAC-SHA256",
        ),
        (f"{A}Credential=a/b, {H}, {S}", Flaw.INCOMPLETE, FIVE),
        (
            f"{A}{C.replace('20260921', '20260920')}, {H}, {S}",
            Flaw.SCOPE,
            (
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                "'20260920' != '20260921', from '20260921T141320Z'."
            ),
        ),
        (
            f"{A}{C.replace('aws4_request', 'aws5')}, {H}, {S}",
            Flaw.SCOPE,
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'.",
        ),
        (f"{A}{C}, {H}, Signature=0", Flaw.MISMATCH, MISMATCH),
        (
            f"AWS4-ECDSA-P256-SHA256 {C}, {H}, {S}",
            Flaw.INCOMPLETE,
            "Unsupported signing algorithm: 'AWS4-ECDSA-P256-SHA256'; sign with AWS4-HMAC-SHA256.",
        ),
    ],
)
def test_what_is_wrong_with_a_header_is_said_as_aws_does(value: str | None, flaw: Flaw, text: str) -> None:
    headers = [(b"x-amz-date", b"20260921T141320Z")]
    if value is not None:
        headers.append((b"authorization", value.encode()))
    with pytest.raises(Unverified) as caught:
        signatures.read(headers, b"")
    assert (caught.value.flaw, str(caught.value)) == (flaw, text)


def test_a_header_without_any_date_is_incomplete() -> None:
    with pytest.raises(Unverified, match="requires existence of either a 'X-Amz-Date' or a 'Date' header"):
        signatures.read([(b"authorization", f"{A}{C}, {H}, {S}".encode())], b"")


def test_a_date_header_does_in_place_of_amazons() -> None:
    arrived = usual(Date="now")
    assert b"x-amz-date" not in dict(arrived.headers)
    arrived.verify(is_s3=False)


def test_a_call_for_another_service_is_refused() -> None:
    signature = signatures.read(usual().headers, b"")
    with pytest.raises(Unverified) as caught:
        verification.check_scope(signature, ["s3"])
    assert str(caught.value) == "Credential should be scoped to correct service: 's3'. "


@CALM
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_nothing_but_unverified_is_ever_raised(authorization: bytes, query: bytes) -> None:
    for headers in ([(b"authorization", b"AWS4-HMAC-SHA256 " + authorization), (b"date", query)], []):
        with contextlib.suppress(Unverified):
            signatures.read(headers, b"X-Amz-Signature=1&X-Amz-" + query)


HERE, THERE = b"k/20260921/us-east-1/sagemaker/aws4_request", b"j/20260921/eu-west-1/s3/aws4_request"
REST = b"SignedHeaders=host, Signature=" + b"0" * 64
PIECES = st.sampled_from(
    [
        *(b"AWS4-HMAC-SHA256", b" ", b",", b", ", b"\t", b"=", b"/", b"k", b"x=", b"Credential=", b"Signature="),
        *(HERE, THERE, b"Credential=" + HERE, b"Credential=" + THERE, b" Credential=" + HERE, REST, b"AWS k:0"),
        *(b"AWS4-HMAC-SHA256 ", b"AWS4-HMAC-SHA256 Credential=" + THERE + b", ", b", " + REST),
    ]
)
SIGNED_QUERY = b"X-Amz-Date=20260921T141320Z&X-Amz-SignedHeaders=host&X-Amz-Signature=" + b"0" * 64
QUERY_PIECES = st.sampled_from(
    [
        *(b"&", b"%26", b"a=b&", b"X-Amz-Credential=" + HERE, b"X-Amz-Credential=" + THERE.replace(b"/", b"%2F")),
        *(b"%58-Amz-Credential=" + THERE + b"&", b"AWSAccessKeyId=j&Signature=0&Expires=1", b"X-Amz-Expires=60&"),
        *(b"X-Amz-Algorithm=AWS4-HMAC-SHA256&" + SIGNED_QUERY + b"&", b"aX-Amz-Credential="),
    ]
)


@CALM
@given(
    st.none() | st.lists(PIECES, max_size=8).map(b"".join),
    st.lists(QUERY_PIECES, max_size=6).map(b"".join),
)
def test_who_calls_is_read_in_one_way_only(authorization: bytes | None, query: bytes) -> None:
    """What routes a request and what verifies it must see the same key, region and service, however it is written."""
    headers = [(b"x-amz-date", b"20260921T141320Z")]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    try:
        claim = signatures.read(headers, query).claim
    except Unverified:
        return
    seen = sigv4.claimed_credential(authorization, query)
    assert seen is not None
    assert (seen.access_key_id, seen.region) == (claim.access_key_id, claim.region)
    assert seen.service == claim.service.lower()


def test_chunks_are_signed_in_their_order() -> None:
    """AWS's own example of a chunked upload (S3's API reference, sigv4-streaming)."""
    keys = SigningKeys("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    claim = signatures.Claim("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "s3", ())
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    signature = Signature(claim, seed, "20130524T000000Z", 0, None, None)
    sizes = (65536, 1024, 0)
    digests = [hashlib.sha256(b"a" * size).hexdigest() for size in sizes]
    chunks = [
        b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]
    chain = chunk_signatures.Chain(signature, keys)
    for value, digest in zip(chunks, digests, strict=True):
        chain.check_chunk(value, digest)
    swapped = chunk_signatures.Chain(signature, keys)
    with pytest.raises(Unverified):
        swapped.check_chunk(chunks[1], digests[1])
