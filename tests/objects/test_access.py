"""S3 while keys are needed: boto3 in all its ways of signing, chunks signed by hand, and what was changed meanwhile."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import itertools
import json
import os
import queue
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from mooring.access.keys import AccessKey, Keyring, document_of
from mooring.access.policies import policy_of
from mooring.access.sessions import issue
from mooring.objects.errors import S3Error
from mooring.objects.guarding import Guard
from mooring.objects.requests import parse_head
from mooring.paths import Paths
from mooring.settings import AccountSettings
from mooring.wire.signing import Credentials, signed_headers
from mooring.wire.verification import derive
from tests.objects.conftest import ObjectsServer, exchange, listen

SESSION_KEY = b"k" * 32
ANN = AccessKey("MKIAANN", "secret-ann", "ann", None)
BOB = AccessKey(
    "MKIABOB",
    "secret-bob",
    "bob",
    policy_of(
        {
            "Statement": [
                {"Effect": "Allow", "Action": "s3:*Object", "Resource": "arn:aws:s3:::*/own/*"},
                {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::*"},
                {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::*/own/secret*"},
            ]
        }
    ),
)


class KeyControl:
    """Control's end of the channel of the keys."""

    def __init__(self, paths: Paths) -> None:
        self._listener = listen(paths.routes_socket)
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._version = 0
        self._channel: socket.socket | None = None

    def accept(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel, _ = self._listener.accept()
        threading.Thread(target=self._read, args=(self._channel,), daemon=True).start()
        assert self._said.get(timeout=10)["objects"]["pid"]

    def _read(self, channel: socket.socket) -> None:
        with channel.makefile("rb") as lines:
            for line in lines:
                self._said.put(json.loads(line))

    def hold(self, *keys: AccessKey) -> None:
        self._version += 1
        said = {"keys": document_of(keys, SESSION_KEY, self._version)}
        assert self._channel is not None
        self._channel.sendall(json.dumps(said).encode() + b"\n")
        assert self._said.get(timeout=10) == {"keys_ack": self._version}

    def leave(self) -> None:
        assert self._channel is not None
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()

    def close(self) -> None:
        self.leave()
        self._listener.close()


class Keyed:
    """A front that needs keys, with a bucket."""

    def __init__(self, root: Path) -> None:
        paths = Paths(root)
        paths.make_private_directories()
        self.control = KeyControl(paths)
        self.server = ObjectsServer(root, MOORING_ACCESS_MODE="keys")
        self.control.accept()
        self.control.hold(ANN, BOB)
        self.ann = self.client(ANN)
        self.ann.create_bucket(Bucket="bucket")

    def client(self, key: AccessKey, **options: Any) -> Any:
        return self.server.client(key=(key.id, key.signing.secret), **options)

    def close(self) -> None:
        self.server.close()
        self.control.close()


@pytest.fixture(scope="module")
def keyed() -> Iterator[Keyed]:
    with tempfile.TemporaryDirectory() as root:
        made = Keyed(Path(root))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(autouse=True)
def _both_keys(keyed: Keyed) -> None:
    keyed.control.hold(ANN, BOB)


def refused(client: Any, operation: str, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**params)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


OLD = {"signature_version": "s3"}


@pytest.fixture
def _names_of_buckets() -> Iterator[None]:
    """Names below localhost are this machine, also where its resolver does not say so."""
    plainly = socket.getaddrinfo

    def resolved(host: Any, *rest: Any, **options: Any) -> Any:
        return plainly("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **options)

    with mock.patch("socket.getaddrinfo", resolved):
        yield


@pytest.mark.usefixtures("_names_of_buckets")
@pytest.mark.parametrize("options", [{}, {"style": "virtual"}, OLD, {"style": "virtual", **OLD}])
def test_boto3_gets_through_however_it_signs(keyed: Keyed, options: dict[str, Any]) -> None:
    s3 = keyed.client(ANN, **options)
    key, body = "a b/ü+(1).txt", os.urandom(100_000)
    s3.put_object(Bucket="bucket", Key=key, Body=body, Metadata={"who": " ann  x"})
    assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == body
    assert key in [each["Key"] for each in s3.list_objects_v2(Bucket="bucket", Prefix="a b/")["Contents"]]
    upload = s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"]
    part = s3.upload_part(Bucket="bucket", Key=key, UploadId=upload, PartNumber=1, Body=body)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="bucket", Key=key, UploadId=upload, MultipartUpload=parts)
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": key})
    assert s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "copy"}, {"Key": key}]})["Deleted"]


def test_strangers_are_told_in_s3s_words(keyed: Keyed) -> None:
    wrong = keyed.client(AccessKey(ANN.id, "wrong", "", None))
    assert refused(wrong, "list_buckets")[:2] == ("SignatureDoesNotMatch", 403)
    assert refused(keyed.client(AccessKey("AKIDX", "x", "", None)), "list_buckets")[:2] == ("InvalidAccessKeyId", 403)
    assert (
        refused(keyed.server.client(signature_version="s3", key=("AKIDX", "x")), "list_buckets")[0]
        == "InvalidAccessKeyId"
    )
    status, body = exchange(
        keyed.server.connect(), b"GET /bucket HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert (status, b"<Code>AccessDenied</Code><Message>Access Denied</Message>" in body) == (403, True)


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_may_differ_by_a_quarter_of_an_hour(keyed: Keyed, minutes: int) -> None:
    moment = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    for off, code in ((minutes, "RequestTimeTooSkewed"), (minutes * 14 // 16, "")):
        with mock.patch("botocore.auth.get_current_datetime", return_value=moment + dt.timedelta(minutes=off)):
            if code:
                assert refused(keyed.ann, "list_buckets")[:2] == (code, 403)
            else:
                keyed.ann.list_buckets()


def test_a_policy_is_heard_by_bucket_and_key(keyed: Keyed) -> None:
    bob = keyed.client(BOB)
    keyed.ann.put_object(Bucket="bucket", Key="others/1", Body=b"x")
    for key in ("own/1", "own/2"):
        bob.put_object(Bucket="bucket", Key=key, Body=b"x")
    assert bob.get_object(Bucket="bucket", Key="own/1")["Body"].read() == b"x"
    code, status, message = refused(bob, "get_object", Bucket="bucket", Key="others/1")
    assert (code, status) == ("AccessDenied", 403)
    assert message == (
        "User: arn:aws:sts::000000000000:assumed-role/mooring/bob is not authorized to perform: s3:GetObject on "
        'resource: "arn:aws:s3:::bucket/others/1" because no identity-based policy allows the s3:GetObject action'
    )
    assert refused(bob, "put_object", Bucket="bucket", Key="own/secret", Body=b"")[2].endswith(
        "explicit deny in an identity-based policy"
    )
    assert refused(bob, "copy_object", Bucket="bucket", Key="own/3", CopySource="bucket/others/1")[0] == "AccessDenied"
    assert refused(bob, "list_buckets")[0] == "AccessDenied"
    assert refused(bob, "head_object", Bucket="bucket", Key="others/1")[:2] == ("403", 403)
    tagged = {"Bucket": "bucket", "Key": "own/4", "Body": b"", "Tagging": "a=b"}
    assert "s3:PutObjectTagging" in refused(bob, "put_object", **tagged)[2]
    gone = bob.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "own/1"}, {"Key": "others/1"}]})
    assert [each["Key"] for each in gone["Deleted"]] == ["own/1"]
    assert [(each["Key"], each["Code"]) for each in gone["Errors"]] == [("others/1", "AccessDenied")]
    assert keyed.ann.head_object(Bucket="bucket", Key="others/1")["ContentLength"] == 1


@pytest.mark.parametrize("bucket", [".", "..", "%2e", "../buckets", "bucket/..", "./bucket"])
def test_a_name_that_no_bucket_has_leads_around_no_deny(keyed: Keyed, bucket: str) -> None:
    keyed.ann.put_object(Bucket="bucket", Key="own/secret.txt", Body=b"secret")
    wide = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]}
    eve = AccessKey("MKIAEVE", "secret-eve", "eve", policy_of({"Statement": [wide, denied]}))
    keyed.control.hold(ANN, eve)
    keys = ("bucket/own/secret.txt", "buckets/bucket/own/secret.txt", "own/secret.txt")
    for method, key in itertools.product(("GET", "DELETE", "PUT"), keys):
        path, caller = f"/{bucket}/{key}", Credentials(eve.id, "secret-eve")
        signed = signed_headers(caller, "s3", "us-east-1", method, f"http://localhost{path}")
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in signed.items())]
        head = "\r\n".join([*lines, "Content-Length: 0", "Connection: close", "", ""])
        assert exchange(keyed.server.connect(), head.encode())[0] in (400, 403, 404)
    assert keyed.ann.get_object(Bucket="bucket", Key="own/secret.txt")["Body"].read() == b"secret"


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "eu-west-1"])
def test_a_bucket_is_the_same_in_every_region_that_is_signed_for(keyed: Keyed, region: str) -> None:
    keyed.ann.put_object(Bucket="bucket", Key="own/secret", Body=b"x")
    wide = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/own/secret"}
    eve = AccessKey("MKIAEVE", "secret-eve", "eve", policy_of({"Statement": [wide, denied]}))
    keyed.control.hold(ANN, eve)
    s3 = keyed.client(eve, region=region)
    for operation in ("get_object", "delete_object"):
        assert refused(s3, operation, Bucket="bucket", Key="own/secret")[0] == "AccessDenied"
    s3.put_object(Bucket="bucket", Key="own/other", Body=b"x")
    assert s3.get_object(Bucket="bucket", Key="own/other")["Body"].read() == b"x"


def fetch(url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data, {n.replace("_", "-"): v for n, v in headers.items()}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("version", [None, "s3", "s3v4"])
def test_presigned_urls_hold_for_what_they_name_and_as_long_as_they_say(keyed: Keyed, version: str | None) -> None:
    s3 = keyed.client(ANN, signature_version=version)
    params = {"Bucket": "bucket", "Key": "shared/a b"}
    put = s3.generate_presigned_url("put_object", params)
    assert fetch(put, "PUT", b"shared", Content_Type="")[0] == 200
    get = s3.generate_presigned_url("get_object", params)
    assert fetch(get) == (200, b"shared")
    for changed in (
        get.replace("shared", "other"),
        get.replace("Signature=", "Signature=0"),
        get + "&uploads",
        get + "&%75ploads",
    ):
        assert fetch(changed)[0] == 403
    assert fetch(get, "DELETE")[0] == 403
    past = time.time() - 120
    moment = dt.datetime.fromtimestamp(past, dt.UTC).replace(tzinfo=None)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=moment),
        mock.patch("time.time", return_value=past),
    ):
        old = s3.generate_presigned_url("get_object", params, ExpiresIn=60)
    status, body = fetch(old)
    assert (status, b"Request has expired" in body) == (403, True)
    keyed.control.hold(BOB)
    assert b"InvalidAccessKeyId" in fetch(get)[1]


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("name", ["x-amz-copy-source", "X-Amz-Copy-Source", "x-amz-copy%2Dsource"])
def test_a_presigned_copy_reads_what_was_signed(keyed: Keyed, version: str, name: str) -> None:
    for key in ("shared", "private"):
        keyed.ann.put_object(Bucket="bucket", Key=key, Body=key.encode())
    s3 = keyed.client(ANN, signature_version=version)
    params = {"Bucket": "bucket", "Key": "copied", "CopySource": {"Bucket": "bucket", "Key": "shared"}}
    url = s3.generate_presigned_url("copy_object", params)
    more = {"x-amz-copy-source": "bucket/shared"} if version == "s3v4" else {}
    assert fetch(url, "PUT", Content_Type="", **more)[0] == 200
    assert fetch(f"{url}&{name}=bucket%2Fprivate", "PUT", Content_Type="", **more)[0] in (400, 403)
    assert keyed.ann.get_object(Bucket="bucket", Key="copied")["Body"].read() == b"shared"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_signed_put_cannot_be_made_a_copy(keyed: Keyed, version: str) -> None:
    """By a parameter that counts as a header, on its way."""
    keyed.ann.put_object(Bucket="bucket", Key="private", Body=b"private")
    s3 = keyed.client(ANN, signature_version=version)

    def change(request: Any, **_: Any) -> None:
        request.url += "?x-amz-copy-source=bucket%2Fprivate"

    s3.meta.events.register("before-send.s3.PutObject", change)
    assert refused(s3, "put_object", Bucket="bucket", Key="own", Body=b"")[0] == "SignatureDoesNotMatch"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_temporary_credentials_end(keyed: Keyed, version: str) -> None:
    params = {"Bucket": "bucket", "Key": "temporary"}
    keyed.ann.put_object(**params, Body=b"x")

    def client(expires_at: float, token: str | None = None) -> Any:
        made = issue(SESSION_KEY, ANN, int(expires_at))
        return keyed.server.client(
            key=(made.access_key_id, made.secret, token or made.token), signature_version=version
        )

    good = client(time.time() + 60)
    assert good.get_object(**params)["Body"].read() == b"x"
    assert fetch(good.generate_presigned_url("get_object", params)) == (200, b"x")
    over = client(time.time() - 1)
    assert refused(over, "list_buckets")[:2] == ("ExpiredToken", 400)
    assert b"<Code>ExpiredToken</Code>" in fetch(over.generate_presigned_url("get_object", params))[1]
    assert refused(client(time.time() + 60, "broken"), "list_buckets")[:2] == ("InvalidToken", 400)


SCOPE = "us-east-1/s3/aws4_request"


def chunked(
    key: AccessKey,
    chunks: list[bytes],
    *,
    trailer: tuple[str, str] | None = None,
    forged: int | None = None,
) -> bytes:
    """A PUT in signed chunks, as Java's SDK sends it; chunk `forged` is another one than was signed."""
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {
        "x-amz-decoded-content-length": str(sum(map(len, chunks))),
        "Content-Encoding": "aws-chunked",
        **({"x-amz-trailer": trailer[0]} if trailer else {}),
    }
    made = signed_headers(
        Credentials(key.id, key.signing.secret),
        "s3",
        "us-east-1",
        "PUT",
        "http://localhost/bucket/chunked",
        headers,
        kind.encode(),
    )
    date, last = made["X-Amz-Date"], made["Authorization"].rpartition("Signature=")[2]
    signing = derive(key.signing.secret, date[:8], "us-east-1", "s3")

    def link(name: str, *what: str) -> str:
        text = "\n".join([f"AWS4-HMAC-SHA256-{name}", date, f"{date[:8]}/{SCOPE}", last, *what])
        return hmac.digest(signing, text.encode(), "sha256").hex()

    body = b""
    for number, chunk in enumerate([*chunks, b""]):
        last = link("PAYLOAD", hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest())
        sent = chunk[::-1] if number == forged else chunk
        body += b"%x;chunk-signature=%b\r\n" % (len(sent), last.encode()) + (sent + b"\r\n" if sent else b"")
    if trailer:
        line = f"{trailer[0]}:{trailer[1]}\n"
        last = link("TRAILER", hashlib.sha256(line.encode()).hexdigest())
        body += line.strip().encode() + b"\r\nx-amz-trailer-signature:" + last.encode() + b"\r\n"
    body += b"\r\n"
    lines = "".join(
        f"{name}: {value}\r\n"
        for name, value in {**made, "Content-Length": str(len(body)), "Connection": "close"}.items()
    )
    return f"PUT /bucket/chunked HTTP/1.1\r\n{lines}\r\n".encode() + body


CHUNKS = [b"ab" * 40_000, b"cd" * 10]


def sha256_trailer(value: bytes = b"".join(CHUNKS)) -> tuple[str, str]:
    return "x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(value).digest()).decode()


@pytest.mark.parametrize("trailer", [None, sha256_trailer()])
def test_signed_chunks_are_taken(keyed: Keyed, trailer: tuple[str, str] | None) -> None:
    assert exchange(keyed.server.connect(), chunked(ANN, CHUNKS, trailer=trailer))[0] == 200
    assert keyed.ann.get_object(Bucket="bucket", Key="chunked")["Body"].read() == b"".join(CHUNKS)
    keyed.ann.delete_object(Bucket="bucket", Key="chunked")


def turned(data: bytes, before: bytes) -> bytes:
    """With another digit behind `before`."""
    at = data.index(before) + len(before)
    return data[:at] + (b"1" if data[at : at + 1] == b"0" else b"0") + data[at + 1 :]


@pytest.mark.parametrize("change", [
    lambda: chunked(ANN, CHUNKS, forged=0),
    lambda: chunked(ANN, CHUNKS, forged=1),
    lambda: turned(chunked(ANN, CHUNKS), b"\r\n0;chunk-signature="),
    lambda: turned(chunked(ANN, CHUNKS, trailer=sha256_trailer()), b"trailer-signature:"),
    lambda: chunked(ANN, CHUNKS, trailer=sha256_trailer()).replace(b"-trailer-signature:", b"-trailer-something:"),
    lambda: chunked(ANN, CHUNKS).replace(b";chunk-signature=", b";chunk-something="),
])  # fmt: skip
def test_a_chunk_that_was_changed_leaves_nothing(keyed: Keyed, change: Any) -> None:
    status, body = exchange(keyed.server.connect(), change())
    assert status in (400, 403), body
    assert any(code in body for code in (b"SignatureDoesNotMatch", b"chunk-signature"))
    assert refused(keyed.ann, "head_object", Bucket="bucket", Key="chunked")[0] == "404"


def test_a_changed_body_leaves_nothing(keyed: Keyed) -> None:
    digest = hashlib.sha256(b"what was signed").hexdigest().encode()
    credentials = Credentials(ANN.id, ANN.signing.secret)
    made = signed_headers(credentials, "s3", "us-east-1", "PUT", "http://localhost/bucket/changed", {}, digest)
    lines = "".join(f"{name}: {value}\r\n" for name, value in made.items())
    request = (
        f"PUT /bucket/changed HTTP/1.1\r\n{lines}Content-Length: 4\r\nConnection: close\r\n\r\n".encode() + b"else"
    )
    status, body = exchange(keyed.server.connect(), request)
    assert (status, b"XAmzContentSHA256Mismatch" in body) == (400, True)
    assert refused(keyed.ann, "head_object", Bucket="bucket", Key="changed")[0] == "404"


def test_every_request_of_a_connection_is_asked(keyed: Keyed) -> None:
    keyed.ann.put_object(Bucket="bucket", Key="kept", Body=b"x")
    path = "/bucket/kept"
    made = signed_headers(Credentials(BOB.id, BOB.signing.secret), "s3", "us-east-1", "HEAD", "http://localhost/bucket")
    head = "HEAD /bucket HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in made.items()) + "\r\n"
    with keyed.server.connect() as connection:
        for answer in (b"HTTP/1.1 200 ", b"HTTP/1.1 200 "):
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(answer)
        keyed.control.hold(ANN)
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")
        connection.sendall(f"DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")
    assert keyed.ann.head_object(Bucket="bucket", Key="kept")["ContentLength"] == 1


def test_headers_that_are_not_signed_do_not_count(keyed: Keyed) -> None:
    made = signed_headers(
        Credentials(ANN.id, ANN.signing.secret), "s3", "us-east-1", "PUT", "http://localhost/bucket/c"
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in made.items())
    lines += "x-amz-copy-source: /bucket/kept\r\nContent-Length: 0\r\nConnection: close\r\n"
    request = f"PUT /bucket/c HTTP/1.1\r\n{lines}\r\n"
    status, body = exchange(keyed.server.connect(), request.encode())
    assert (status, b"There were headers present in the request which were not signed" in body) == (403, True)


def test_a_front_without_keys_refuses_nobody_for_good() -> None:
    guard = Guard(AccountSettings(), Keyring(), time.time, lambda seconds: False)
    with pytest.raises(S3Error) as caught:
        guard.identify(parse_head(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert (caught.value.code, caught.value.status) == ("SlowDown", 503)


def test_mooring_s_own_socket_is_not_asked(keyed: Keyed) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.fspath(keyed.server.paths.s3_socket))
        assert exchange(connection, b"GET /bucket HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] == 200


def test_keys_outlast_control_and_come_again(keyed: Keyed) -> None:
    keyed.control.leave()
    keyed.ann.list_buckets()
    keyed.control.accept()
    keyed.control.hold(BOB)
    assert refused(keyed.ann, "list_buckets")[0] == "InvalidAccessKeyId"
    keyed.server.restart()  # killed: what it knew is gone with it
    keyed.control.accept()
    keyed.control.hold(ANN)
    keyed.ann.list_buckets()
