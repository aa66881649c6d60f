"""Objects, as boto3 puts, reads, copies and deletes them."""

from __future__ import annotations

import hashlib
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.objects.conftest import ObjectsServer


def code_of(call, **arguments) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_what_was_put_is_got_with_its_headers(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    put = s3.put_object(
        Bucket=bucket,
        Key="churn/model.tar.gz",
        Body=b"bytes",
        ContentType="application/gzip",
        CacheControl="no-store",
        ContentDisposition="attachment",
        ContentEncoding="gzip",
        ContentLanguage="de",
        Metadata={"who": "me"},
    )
    got = s3.get_object(Bucket=bucket, Key="churn/model.tar.gz")
    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(b"bytes").hexdigest()}"'
    assert got["Body"].read() == b"bytes"
    assert got["ContentType"] == "application/gzip"
    assert got["CacheControl"] == "no-store"
    assert got["ContentDisposition"] == "attachment"
    assert got["ContentEncoding"] == "gzip"
    assert got["ContentLanguage"] == "de"
    assert got["Metadata"] == {"who": "me"}
    assert (server.paths.objects / "buckets" / bucket / "churn" / "model.tar.gz").read_bytes() == b"bytes"


def test_virtual_hosts_and_path_style_name_the_same_object(
    server: ObjectsServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo  # not every resolver knows *.localhost
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more))
    server.client("virtual").put_object(Bucket=bucket, Key="v/a", Body=b"1")
    assert server.client().get_object(Bucket=bucket, Key="v/a")["Body"].read() == b"1"


def test_head_and_missing_things(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="x", Body=b"abc")
    assert s3.head_object(Bucket=bucket, Key="x")["ContentLength"] == 3
    assert s3.head_object(Bucket=bucket, Key="x")["ContentType"] == "binary/octet-stream"
    assert code_of(s3.head_object, Bucket=bucket, Key="y") == ("404", 404)
    assert code_of(s3.get_object, Bucket=bucket, Key="y") == ("NoSuchKey", 404)
    assert code_of(s3.get_object, Bucket="not-there", Key="y") == ("NoSuchBucket", 404)
    assert code_of(s3.put_object, Bucket="not-there", Key="y", Body=b"z" * 300_000) == ("NoSuchBucket", 404)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-3", b"0123"), ("bytes=4-", b"456789"), ("bytes=-3", b"789"), ("bytes=5-100", b"56789")],
)
def test_ranges(server: ObjectsServer, bucket: str, asked: str, expected: bytes) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="r", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="r", Range=asked)
    assert got["Body"].read() == expected
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"].endswith("/10")


def test_a_range_beyond_the_end_is_refused_and_a_malformed_one_ignored(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="r", Body=b"0123456789")
    assert code_of(s3.get_object, Bucket=bucket, Key="r", Range="bytes=10-") == ("InvalidRange", 416)
    assert s3.get_object(Bucket=bucket, Key="r", Range="lines=1-2")["Body"].read() == b"0123456789"


def test_conditional_reads(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    etag = s3.put_object(Bucket=bucket, Key="c", Body=b"1")["ETag"]
    assert s3.get_object(Bucket=bucket, Key="c", IfMatch=etag)["Body"].read() == b"1"
    assert code_of(s3.get_object, Bucket=bucket, Key="c", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert code_of(s3.get_object, Bucket=bucket, Key="c", IfNoneMatch=etag) == ("304", 304)
    modified = s3.head_object(Bucket=bucket, Key="c")["LastModified"]
    assert code_of(s3.get_object, Bucket=bucket, Key="c", IfModifiedSince=modified) == ("304", 304)


def test_conditional_writes(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    etag = s3.put_object(Bucket=bucket, Key="w", Body=b"1", IfNoneMatch="*")["ETag"]
    refused = ("PreconditionFailed", 412)
    assert code_of(s3.put_object, Bucket=bucket, Key="w", Body=b"2", IfNoneMatch="*") == refused
    assert code_of(s3.put_object, Bucket=bucket, Key="w", Body=b"2", IfMatch='"x"') == refused
    assert code_of(s3.put_object, Bucket=bucket, Key="absent", Body=b"2", IfMatch=etag) == ("NoSuchKey", 404)
    s3.put_object(Bucket=bucket, Key="w", Body=b"2", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="w")["Body"].read() == b"2"


def test_of_many_creators_of_one_key_exactly_one_wins(server: ObjectsServer, bucket: str) -> None:
    clients = [server.client() for _ in range(6)]

    def create(number: int) -> int | None:
        try:
            clients[number].put_object(Bucket=bucket, Key="race", Body=b"%d" % number * 100_000, IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return None
        return number

    with ThreadPoolExecutor(6) as pool:
        winners = [each for each in pool.map(create, range(6)) if each is not None]
    assert len(winners) == 1
    assert clients[0].get_object(Bucket=bucket, Key="race")["Body"].read() == b"%d" % winners[0] * 100_000


def test_readers_see_one_writers_object_whole(server: ObjectsServer, bucket: str) -> None:
    """Bytes and metadata of one version, while two writers replace each other's object."""
    clients = [server.client() for _ in range(4)]
    clients[0].put_object(Bucket=bucket, Key="s", Body=b"0" * 50_000, Metadata={"v": "0"})

    def write(number: int) -> None:
        for _ in range(25):
            body = b"%d" % number * 50_000
            clients[number].put_object(Bucket=bucket, Key="s", Body=body, Metadata={"v": str(number)})

    def read(number: int) -> None:
        for _ in range(50):
            got = clients[number].get_object(Bucket=bucket, Key="s")
            assert got["Body"].read() == got["Metadata"]["v"].encode() * 50_000

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(write, 0), pool.submit(write, 1), pool.submit(read, 2), pool.submit(read, 3)]
        for each in working:
            each.result()


def test_copy(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="from", Body=b"1", ContentType="text/plain", Metadata={"a": "b"})
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    kept = s3.get_object(Bucket=bucket, Key="kept")
    assert (kept["Body"].read(), kept["ContentType"], kept["Metadata"]) == (b"1", "text/plain", {"a": "b"})
    s3.copy_object(
        Bucket=bucket,
        Key="from",
        CopySource=source,
        MetadataDirective="REPLACE",
        ContentType="x/y",
        Metadata={"n": "1"},
    )
    replaced = s3.head_object(Bucket=bucket, Key="from")
    assert (replaced["ContentType"], replaced["Metadata"]) == ("x/y", {"n": "1"})
    assert code_of(s3.copy_object, Bucket=bucket, Key="from", CopySource=source) == ("InvalidRequest", 400)
    missing = {"Bucket": bucket, "Key": "nothing"}
    assert code_of(s3.copy_object, Bucket=bucket, Key="z", CopySource=missing) == ("NoSuchKey", 404)


def test_delete_one_and_many(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    for key in ("d/1", "d/2", "d/3", "a&b<c>"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    s3.delete_object(Bucket=bucket, Key="d/1")
    s3.delete_object(Bucket=bucket, Key="d/1")
    named = [{"Key": key} for key in ("d/2", "a&b<c>", "never-there")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": named})
    assert [each["Key"] for each in answer["Deleted"]] == ["d/2", "a&b<c>", "never-there"]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["d/3"]
    s3.delete_object(Bucket=bucket, Key="d/3")
    assert list((server.paths.objects / "buckets" / bucket).iterdir()) == []


def test_presigned_urls_put_get_and_expire(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    target = {"Bucket": bucket, "Key": "pre signed/ü"}
    put = urllib.request.Request(s3.generate_presigned_url("put_object", Params=target), b"body", method="PUT")
    with urllib.request.urlopen(put, timeout=10) as answer:
        assert answer.status == 200
    asked = {**target, "ResponseContentType": "text/html"}
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", Params=asked), timeout=10) as answer:
        assert answer.read() == b"body"
        assert answer.headers["content-type"] == "text/html"
    late = s3.generate_presigned_url("get_object", Params=target, ExpiresIn=-5)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(late, timeout=10)
    with caught.value as refused:
        assert refused.status == 403
        assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in refused.read()


@pytest.mark.parametrize(
    ("caller", "asked", "region"),
    [
        ("us-east-1", None, "us-east-1"),
        ("us-east-1", "eu-central-1", "eu-central-1"),
        ("eu-west-1", "EU", "eu-west-1"),
        ("ap-south-2", None, "ap-south-2"),
    ],
)
def test_a_bucket_is_in_the_region_that_it_was_made_in(
    server: ObjectsServer, caller: str, asked: str | None, region: str
) -> None:
    name = f"in-{caller}-{asked}".lower()
    s3 = server.client(region=caller)
    constraint = {"CreateBucketConfiguration": {"LocationConstraint": asked}} if asked else {}
    s3.create_bucket(Bucket=name, **constraint)
    elsewhere = server.client()
    assert elsewhere.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == region
    named = elsewhere.get_bucket_location(Bucket=name)["LocationConstraint"]
    assert named == (None if region == "us-east-1" else region)


def test_a_directory_that_a_person_made_is_a_bucket_of_the_accounts_region(server: ObjectsServer) -> None:
    (server.paths.objects / "buckets" / "by-hand").mkdir()
    found = server.client(region="eu-west-1").head_bucket(Bucket="by-hand")
    assert found["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"


def test_a_region_that_is_none(server: ObjectsServer) -> None:
    asked = {"LocationConstraint": "../x"}
    assert code_of(server.client().create_bucket, Bucket="nowhere", CreateBucketConfiguration=asked) == (
        "InvalidLocationConstraint",
        400,
    )


def test_buckets(server: ObjectsServer) -> None:
    s3 = server.client()
    s3.create_bucket(Bucket="of-my-own")
    assert s3.create_bucket(Bucket="of-my-own")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "of-my-own" in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket="of-my-own")["LocationConstraint"] is None
    s3.head_bucket(Bucket="of-my-own")
    s3.put_object(Bucket="of-my-own", Key="a/b", Body=b"")
    assert code_of(s3.delete_bucket, Bucket="of-my-own") == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket="of-my-own", Key="a/b")
    s3.delete_bucket(Bucket="of-my-own")
    assert code_of(s3.head_bucket, Bucket="of-my-own") == ("404", 404)
    assert code_of(s3.list_objects_v2, Bucket="of-my-own") == ("NoSuchBucket", 404)
    assert code_of(s3.delete_bucket, Bucket="of-my-own") == ("NoSuchBucket", 404)


def test_metadata_outlives_kill_and_a_hand_edited_file_is_read_anew(own_server: ObjectsServer) -> None:
    s3 = own_server.client()
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k.txt", Body=b"1", ContentType="text/x", Metadata={"m": "1"})
    own_server.restart()
    s3 = own_server.client()
    got = s3.get_object(Bucket="kept", Key="k.txt")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"1", "text/x", {"m": "1"})
    (own_server.paths.objects / "buckets" / "kept" / "k.txt").write_bytes(b"by hand")
    edited = s3.get_object(Bucket="kept", Key="k.txt")
    assert edited["ETag"] == f'"{hashlib.md5(b"by hand").hexdigest()}"'
    assert (edited["ContentType"], edited["Metadata"]) == ("binary/octet-stream", {})


def test_a_superseded_reader_keeps_the_version_it_opened(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    first = bytes(8 << 20)
    s3.put_object(Bucket=bucket, Key="big", Body=first)
    reading = s3.get_object(Bucket=bucket, Key="big")
    s3.put_object(Bucket=bucket, Key="big", Body=b"new")
    assert reading["Body"].read() == first
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"new"
