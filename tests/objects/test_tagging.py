"""Tags of objects and of buckets: kept with what they are of, and with nothing else changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.objects.conftest import ObjectsServer
from tests.objects.test_objects import code_of


def tags(**named: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in named.items()]}


def test_an_objects_tags_change_without_the_object(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    thing: dict[str, Any] = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**thing, Body=b"x", Metadata={"a": "b"}, ContentType="text/x")
    before = s3.head_object(**thing)
    assert s3.get_object_tagging(**thing)["TagSet"] == []
    assert "TagCount" not in before
    s3.put_object_tagging(**thing, Tagging=tags(SageMaker="true", stage="a b+c"))
    assert s3.get_object_tagging(**thing)["TagSet"] == tags(SageMaker="true", stage="a b+c")["TagSet"]
    after = s3.get_object(**thing)
    assert after["TagCount"] == 2
    for member in ("ETag", "LastModified", "Metadata", "ContentType"):
        assert after[member] == before[member]
    s3.put_object_tagging(**thing, Tagging=tags(other=""))
    assert s3.get_object_tagging(**thing)["TagSet"] == tags(other="")["TagSet"]
    s3.delete_object_tagging(**thing)
    assert s3.get_object_tagging(**thing)["TagSet"] == []


def test_tags_come_with_an_upload_and_go_with_the_next(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    thing: dict[str, Any] = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**thing, Body=b"x", Tagging="team=churn&a%20b=%C3%A4")
    assert s3.get_object_tagging(**thing)["TagSet"] == tags(**{"team": "churn", "a b": "ä"})["TagSet"]
    s3.put_object(**thing, Body=b"y")
    assert s3.get_object_tagging(**thing)["TagSet"] == []
    upload = s3.create_multipart_upload(**thing, Tagging="team=churn")["UploadId"]
    part = s3.upload_part(**thing, UploadId=upload, PartNumber=1, Body=b"z")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**thing, UploadId=upload, MultipartUpload=parts)
    assert s3.get_object_tagging(**thing)["TagSet"] == tags(team="churn")["TagSet"]


def test_a_copy_has_the_tags_of_its_source_or_its_own(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="from", Body=b"x", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="as-it-is", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    s3.copy_object(Bucket=bucket, Key="from", CopySource=source, TaggingDirective="REPLACE", Tagging="c=3")
    for key, wanted in (("as-it-is", {"a": "1"}), ("new", {"b": "2"}), ("from", {"c": "3"})):
        assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == tags(**wanted)["TagSet"]


def test_a_file_that_a_person_put_can_be_tagged(server: ObjectsServer, bucket: str) -> None:
    (server.paths.objects / "buckets" / bucket / "by-hand.txt").write_bytes(b"data")
    s3 = server.client()
    s3.put_object_tagging(Bucket=bucket, Key="by-hand.txt", Tagging=tags(a="1"))
    assert s3.get_object_tagging(Bucket=bucket, Key="by-hand.txt")["TagSet"] == tags(a="1")["TagSet"]
    assert s3.get_object(Bucket=bucket, Key="by-hand.txt")["Body"].read() == b"data"


def test_tags_survive_a_kill(own_server: ObjectsServer) -> None:
    s3 = own_server.client()
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"x")
    s3.put_object_tagging(Bucket="kept", Key="k", Tagging=tags(a="1"))
    s3.put_bucket_tagging(Bucket="kept", Tagging=tags(b="2"))
    own_server.restart()
    assert s3.get_object_tagging(Bucket="kept", Key="k")["TagSet"] == tags(a="1")["TagSet"]
    assert s3.get_bucket_tagging(Bucket="kept")["TagSet"] == tags(b="2")["TagSet"]


def test_a_buckets_tags(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags(**{f"k{number}": "v" for number in range(50)}))
    assert len(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == 50
    s3.delete_bucket_tagging(Bucket=bucket)
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags(a="1"))
    s3.delete_bucket(Bucket=bucket)
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchBucket", 404)
    s3.create_bucket(Bucket=bucket)
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (tags(**{f"k{number}": "v" for number in range(11)}), "BadRequest"),
        (tags(**{"k" * 129: "v"}), "InvalidTag"),
        (tags(k="v" * 257), "InvalidTag"),
        (tags(**{"a&b": "v"}), "InvalidTag"),
        (tags(**{"aws:x": "v"}), "InvalidTag"),
        ({"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "InvalidTag"),
    ],
)
def test_tags_that_cannot_be(server: ObjectsServer, bucket: str, given: dict[str, Any], code: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1")
    assert code_of(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=given) == (code, 400)
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags(a="1")["TagSet"]


@pytest.mark.parametrize(
    ("header", "code"), [("a", "InvalidArgument"), ("a=1&a=2", "InvalidTag"), ("a=%FF", "InvalidArgument")]
)
def test_a_header_that_is_no_list_of_tags(server: ObjectsServer, bucket: str, header: str, code: str) -> None:
    s3 = server.client()
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"x", Tagging=header) == (code, 400)
    assert code_of(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_what_is_not_there_has_no_tags(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    for call, more in ((s3.get_object_tagging, {}), (s3.put_object_tagging, {"Tagging": tags(a="1")})):
        assert code_of(call, Bucket=bucket, Key="absent", **more) == ("NoSuchKey", 404)
        assert code_of(call, Bucket="absent-bucket", Key="k", **more) == ("NoSuchBucket", 404)
