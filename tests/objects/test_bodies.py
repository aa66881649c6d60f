"""Bodies as they come over the wire: chunked, signed in chunks, with trailers, awaited, wrong, cut."""

from __future__ import annotations

import base64
import hashlib
import time
import zlib

import pytest

from tests.objects.conftest import ObjectsServer, exchange
from tests.objects.test_objects import code_of

CONTENT = b"hello world, " * 1000
CRC32 = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big")).decode()
SHA1 = base64.b64encode(hashlib.sha1(CONTENT).digest()).decode()
SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
SIGNED = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"


def head(bucket: str, key: str, *headers: str, method: str = "PUT") -> bytes:
    lines = [f"{method} /{bucket}/{key} HTTP/1.1", "Host: localhost", f"Authorization: {SIGNED}", "Connection: close"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode()


def aws_chunked(content: bytes, *trailers: str, signature: str = "") -> bytes:
    pieces = [content[at : at + 5000] for at in range(0, len(content), 5000)]
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), signature.encode(), piece) for piece in [*pieces])
    return framed + b"0" + signature.encode() + b"\r\n" + "".join(f"{line}\r\n" for line in trailers).encode() + b"\r\n"


def content_of(server: ObjectsServer, bucket: str, key: str) -> bytes:
    return server.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def test_chunks_signed_one_by_one(server: ObjectsServer, bucket: str) -> None:
    body = aws_chunked(CONTENT, signature=";chunk-signature=" + "a" * 64)
    request = head(
        bucket,
        "k",
        "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "Content-Encoding: aws-chunked,gzip",
        f"x-amz-decoded-content-length: {len(CONTENT)}",
        f"Content-Length: {len(body)}",
    )
    assert exchange(server.connect(), request + body)[0] == 200
    assert content_of(server, bucket, "k") == CONTENT
    assert server.client().head_object(Bucket=bucket, Key="k")["ContentEncoding"] == "gzip"


@pytest.mark.parametrize("chunked_twice", [False, True])
@pytest.mark.parametrize(("name", "value"), [("crc32", CRC32), ("sha1", SHA1), ("sha256", SHA256)])
def test_a_trailing_checksum_is_verified(
    server: ObjectsServer, bucket: str, name: str, value: str, chunked_twice: bool
) -> None:
    def put(key: str, checksum: str) -> tuple[int, bytes]:
        body = aws_chunked(CONTENT, f"x-amz-checksum-{name}:{checksum}")
        coding = "Transfer-Encoding: chunked" if chunked_twice else f"Content-Length: {len(body)}"
        if chunked_twice:
            cuts = [body[at : at + 777] for at in range(0, len(body), 777)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(cut), cut) for cut in cuts) + b"0\r\n\r\n"
        request = head(
            bucket,
            key,
            "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            f"x-amz-trailer: x-amz-checksum-{name}",
            f"x-amz-decoded-content-length: {len(CONTENT)}",
            coding,
        )
        return exchange(server.connect(), request + body)

    assert put("good", value)[0] == 200
    assert content_of(server, bucket, "good") == CONTENT
    status, answer = put("bad", value[::-1])
    assert (status, b"BadDigest" in answer) == (400, True)
    assert code_of(server.client().get_object, Bucket=bucket, Key="bad") == ("NoSuchKey", 404)


def test_unverifiable_checksums_are_accepted(server: ObjectsServer, bucket: str) -> None:
    request = head(bucket, "k", "x-amz-checksum-crc64nvme: AAAAAAAAAAA=", f"Content-Length: {len(CONTENT)}")
    assert exchange(server.connect(), request + CONTENT)[0] == 200


def test_checksums_are_kept_and_shown(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, ChecksumAlgorithm="SHA256")
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == SHA256


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Content-MD5: " + base64.b64encode(hashlib.md5(b"other").digest()).decode(), b"BadDigest"),
        ("Content-MD5: nonsense", b"InvalidDigest"),
        ("Content-MD5: é", b"InvalidDigest"),
        ("x-amz-checksum-crc32: AAAAAA==", b"BadDigest"),
        ("x-amz-content-sha256: " + "0" * 64, b"XAmzContentSHA256Mismatch"),
    ],
)
def test_a_wrong_digest_leaves_no_object(server: ObjectsServer, bucket: str, header: str, code: bytes) -> None:
    request = head(bucket, "wrong", header, f"Content-Length: {len(CONTENT)}")
    status, answer = exchange(server.connect(), request + CONTENT)
    assert (status, code in answer) == (400, True)
    assert code_of(server.client().get_object, Bucket=bucket, Key="wrong") == ("NoSuchKey", 404)


def test_a_right_md5_passes(server: ObjectsServer, bucket: str) -> None:
    md5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    request = head(bucket, "k", f"Content-MD5: {md5}", f"Content-Length: {len(CONTENT)}")
    assert exchange(server.connect(), request + CONTENT)[0] == 200


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ((), b"", b"MissingContentLength"),
        (("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n", b"InvalidRequest"),
        (("Content-Length: 5", "Content-Length: 6"), b"hello!", b"InvalidRequest"),
        (("Content-Length: 6000000000",), b"", b"EntityTooLarge"),
        (("Transfer-Encoding: gzip",), b"", b"InvalidRequest"),
        (("Transfer-Encoding: chunked",), b"zz\r\n", b"InvalidRequest"),
        (("Transfer-Encoding: chunked",), b"2\r\nabcd\r\n0\r\n\r\n", b"InvalidRequest"),
        (
            ("Content-Length: 10", "x-amz-decoded-content-length: 9", "Content-Encoding: aws-chunked"),
            b"2\r\nab\r\n0\r\n",
            b"IncompleteBody",
        ),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be(
    server: ObjectsServer, bucket: str, headers: tuple[str, ...], body: bytes, code: bytes
) -> None:
    status, answer = exchange(server.connect(), head(bucket, "odd", *headers) + body)
    assert code in answer
    assert 400 <= status < 600
    assert code_of(server.client().get_object, Bucket=bucket, Key="odd") == ("NoSuchKey", 404)


def test_an_awaited_body_is_asked_for_only_when_it_is_wanted(server: ObjectsServer, bucket: str) -> None:
    wanted = head(bucket, "k", "Expect: 100-continue", "Content-Length: 3")
    with server.connect() as connection:
        connection.sendall(wanted)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert exchange(connection, b"abc")[0] == 200
    unwanted = head("no-such-bucket", "k", "Expect: 100-continue", "Content-Length: 3")
    with server.connect() as connection:
        assert exchange(connection, unwanted)[0] == 404


def test_a_client_that_leaves_in_the_middle_leaves_nothing(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    with server.connect() as connection:
        connection.sendall(head(bucket, "k", "Content-Length: 1000000") + b"x" * 500_000)
    staging = server.paths.objects / "staging"
    deadline = time.monotonic() + 5
    while list(staging.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(staging.iterdir()) == []
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_requests_follow_each_other_on_one_connection(server: ObjectsServer, bucket: str) -> None:
    request = head(bucket, "p", "Content-Length: 3").replace(b"Connection: close\r\n", b"")
    refused = head("no-such-bucket", "p", "Content-Length: 3").replace(b"Connection: close\r\n", b"")
    with server.connect() as connection:
        _, rest = exchange(connection, request + b"abc" + refused + b"xyz" + head(bucket, "p", method="GET"))
    assert rest.count(b"HTTP/1.1 ") == 2
    assert b"NoSuchBucket" in rest
    assert rest.endswith(b"abc")
