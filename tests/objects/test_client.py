"""The reader that fetches model data: over the socket and from a signed endpoint."""

from __future__ import annotations

import dataclasses
import io
import socket
import threading

import pytest

from mooring.objects.client import S3Source, SourceError, open_source
from mooring.paths import Paths
from mooring.settings import Settings
from tests.objects.conftest import ObjectsServer


def endpoint(settings: Settings, url: str, access: str = "me") -> Settings:
    objects = dataclasses.replace(
        settings.objects, endpoint_url=url, access_key_id=access, secret_access_key="secret" if access else ""
    )
    return dataclasses.replace(settings, objects=objects)


@pytest.fixture(params=["socket", "endpoint"])
def source(request: pytest.FixtureRequest, server: ObjectsServer) -> S3Source:
    settings = server.settings if request.param == "socket" else endpoint(server.settings, server.url)
    return open_source(settings, server.paths)


def test_it_gets_heads_and_lists(source: S3Source, server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    content = bytes(range(256)) * 1000
    s3.put_object(Bucket=bucket, Key="p/ä b+c%/m.gz", Body=content, ContentType="x/y")
    with source.get(bucket, "p/ä b+c%/m.gz") as got:
        assert (got.length, got.content_type) == (len(content), "x/y")
        assert b"".join(iter(lambda: got.read(10_000), b"")) == content
    assert source.head(bucket, "p/ä b+c%/m.gz").length == len(content)
    assert list(source.list(bucket, "p/")) == [("p/ä b+c%/m.gz", len(content))]
    assert list(source.list(bucket, "q")) == []


def test_it_lists_beyond_a_page(source: S3Source, server: ObjectsServer, bucket: str) -> None:
    directory = server.paths.objects / "buckets" / bucket / "many"
    directory.mkdir()
    for number in range(1005):
        (directory / f"{number:04}.txt").touch()
    assert [key for key, _ in source.list(bucket, "many/")] == [f"many/{number:04}.txt" for number in range(1005)]


def test_what_is_missing_is_said(source: S3Source, bucket: str) -> None:
    with pytest.raises(SourceError, match=f"s3://{bucket}/none: there is no such object") as caught:
        source.get(bucket, "none")
    assert caught.value.code == "NoSuchKey"
    with pytest.raises(SourceError, match="there is no such bucket"):
        source.get("no-such-bucket", "none")
    with pytest.raises(SourceError, match="there is no such bucket"):
        list(source.list("no-such-bucket", ""))
    with pytest.raises(SourceError, match="there is no such object"):
        source.head(bucket, "none")


def test_a_bucket_that_mooring_does_not_have(server: ObjectsServer) -> None:
    own = open_source(server.settings, server.paths)
    with pytest.raises(SourceError, match="there is no such bucket .*: upload there"):
        own.get("no-such-bucket", "none")
    with pytest.raises(SourceError, match="there is no such bucket .*: make the bucket there"):
        own.put("no-such-bucket", "none", io.BytesIO(b"x"), 1, {})


def test_an_endpoint_that_is_down(server: ObjectsServer, tmp_path) -> None:
    with pytest.raises(SourceError, match="S3 cannot be reached"):
        open_source(endpoint(server.settings, "http://127.0.0.1:1"), server.paths).get("bucket", "k")
    with pytest.raises(SourceError, match="S3 cannot be reached"):
        open_source(server.settings, Paths(tmp_path)).get("bucket", "k")


def answer_once(raw: bytes, requests: list[bytes]) -> tuple[threading.Thread, str]:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
        with connection:
            requests.append(connection.recv(65536))
            connection.sendall(raw)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, url


def test_calls_are_signed_and_a_refusal_is_told(server: ObjectsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    body = b"<Error><Code>AccessDenied</Code><Message>go away</Message></Error>"
    requests: list[bytes] = []
    thread, url = answer_once(b"HTTP/1.1 403 No\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body), requests)
    with pytest.raises(SourceError, match=r"s3://bucket/k: access is denied \(go away\)"):
        open_source(endpoint(server.settings, url, access=""), server.paths).get("bucket", "k")
    thread.join(5)
    assert b"Credential=from-environment/" in requests[0]


def test_an_object_that_ends_early_is_no_object(server: ObjectsServer) -> None:
    thread, url = answer_once(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", [])
    with open_source(endpoint(server.settings, url), server.paths).get("bucket", "k") as got:
        assert got.read(3) == b"abc"
        with pytest.raises(SourceError, match="the connection ended 7 bytes early"):
            got.read(3)
    thread.join(5)
