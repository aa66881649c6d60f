"""Multipart uploads, as boto3 and its transfer manager make them."""

from __future__ import annotations

import hashlib
import io

import pytest
from boto3.s3.transfer import TransferConfig

from tests.objects.conftest import ObjectsServer
from tests.objects.test_objects import code_of

PART = 5 * 1024 * 1024


def begin(s3, bucket: str, key: str, **headers) -> dict:
    return {
        "Bucket": bucket,
        "Key": key,
        "UploadId": s3.create_multipart_upload(Bucket=bucket, Key=key, **headers)["UploadId"],
    }


def send(s3, upload: dict, number: int, body: bytes) -> dict:
    return {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}


def etag_of(*parts: bytes) -> str:
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(parts)}"'


def test_parts_become_one_object_with_its_headers_and_etag(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    upload = begin(s3, bucket, "m/x.bin", ContentType="x/y", Metadata={"a": "b"})
    first, last = b"1" * PART, b"2" * 100
    parts = [send(s3, upload, 2, last), send(s3, upload, 1, first)][::-1]
    assert [each["PartNumber"] for each in s3.list_parts(**upload)["Parts"]] == [1, 2]
    assert [each["Key"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["m/x.bin"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    got = s3.get_object(Bucket=bucket, Key="m/x.bin")
    assert got["Body"].read() == first + last
    assert done["ETag"] == got["ETag"] == etag_of(first, last)
    assert (got["ContentType"], got["Metadata"]) == ("x/y", {"a": "b"})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    again = {**upload, "MultipartUpload": {"Parts": parts}}
    assert s3.complete_multipart_upload(**again)["ETag"] == done["ETag"]
    s3.put_object(Bucket=bucket, Key="m/x.bin", Body=b"newer")
    assert code_of(s3.complete_multipart_upload, **again) == ("NoSuchUpload", 404)


def test_what_completion_refuses(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    upload = begin(s3, bucket, "k")
    one, two = send(s3, upload, 1, b"small"), send(s3, upload, 2, b"parts")

    def refusal(*parts: dict) -> str:
        return code_of(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": list(parts)})[0]

    assert refusal(two, one) == "InvalidPartOrder"
    assert refusal(one, {**two, "ETag": one["ETag"]}) == "InvalidPart"
    assert refusal(one, {**two, "PartNumber": 3}) == "InvalidPart"
    assert refusal(one, two) == "EntityTooSmall"
    s3.put_object(Bucket=bucket, Key="k", Body=b"there")
    condition = {**upload, "MultipartUpload": {"Parts": [one]}, "IfNoneMatch": "*"}
    assert code_of(s3.complete_multipart_upload, **condition) == ("PreconditionFailed", 412)
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [one]})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"small"


def test_a_part_sent_twice_is_the_later_one_and_abort_forgets_all(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    upload = begin(s3, bucket, "k")
    send(s3, upload, 1, b"old")
    later = send(s3, upload, 1, b"new")
    assert [each["ETag"] for each in s3.list_parts(**upload)["Parts"]] == [later["ETag"]]
    s3.abort_multipart_upload(**upload)
    assert code_of(s3.upload_part, **upload, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)
    assert code_of(s3.abort_multipart_upload, **upload) == ("NoSuchUpload", 404)
    assert code_of(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_part_numbers_and_upload_ids_are_checked(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    upload = begin(s3, bucket, "k")
    assert code_of(s3.upload_part, **upload, PartNumber=10_001, Body=b"x") == ("InvalidArgument", 400)
    assert code_of(s3.upload_part, **{**upload, "UploadId": "../../x"}, PartNumber=1, Body=b"x") == (
        "NoSuchUpload",
        404,
    )
    assert code_of(s3.upload_part, **{**upload, "Key": "other"}, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)


def test_copying_parts_from_an_object(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="from", Body=b"0123456789")
    upload = begin(s3, bucket, "k")
    source = {"Bucket": bucket, "Key": "from"}
    copied = s3.upload_part_copy(**upload, PartNumber=1, CopySource=source, CopySourceRange="bytes=2-5")
    part = {"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2345"
    s3.copy_object(Bucket=bucket, Key="whole", CopySource={"Bucket": bucket, "Key": "k"})
    assert s3.head_object(Bucket=bucket, Key="whole")["ETag"] == f'"{hashlib.md5(b"2345").hexdigest()}"'


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_the_transfer_manager_uploads_and_downloads_in_parts(
    server: ObjectsServer, bucket: str, algorithm: str
) -> None:
    s3 = server.client()
    content = bytes(range(256)) * 4096 * 12 + b"tail"
    in_parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=3)
    extra = {"ContentType": "x/y", "ChecksumAlgorithm": algorithm}
    s3.upload_fileobj(io.BytesIO(content), bucket, "t", Config=in_parts, ExtraArgs=extra)
    got = io.BytesIO()
    s3.download_fileobj(bucket, "t", got, Config=in_parts)
    assert got.getvalue() == content
    assert s3.head_object(Bucket=bucket, Key="t")["ETag"].endswith('-3"')


def test_parts_outlive_a_kill(own_server: ObjectsServer) -> None:
    s3 = own_server.client()
    s3.create_bucket(Bucket="kept")
    upload = begin(s3, "kept", "k")
    first = send(s3, upload, 1, b"1" * PART)
    own_server.restart()
    s3 = own_server.client()
    second = send(s3, upload, 2, b"2")
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [first, second]})
    assert s3.head_object(Bucket="kept", Key="k")["ContentLength"] == PART + 1
