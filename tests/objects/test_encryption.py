"""Objects that are encrypted on the disk, through boto3: read again by who may, and by nobody else."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.hosting.naming import Scope
from mooring.keys.segments import CHUNK_BYTES
from mooring.store import kms_keys
from mooring.store.kms_keys import DISABLED, ENABLED, PENDING_DELETION, Alias, KmsKey
from tests.objects.conftest import ObjectsServer
from tests.objects.keeping import KeysOfControl

SCOPE = Scope("000000000000", "us-east-1")
PART = 5 * 1024 * 1024
MARKS = b"a payload that nobody may read "


@dataclasses.dataclass
class Scene:
    """A front, the keys that it asks for, and one key of KMS."""

    server: ObjectsServer
    control: KeysOfControl
    key: KmsKey
    s3: Any

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:us-east-1:{SCOPE.account}:key/{self.key.id}"

    def new_key(self) -> KmsKey:
        return self.control.write(lambda conn: self.control.kms.keys.create(conn, SCOPE, time.time(), None, ""))

    def change(self, key: KmsKey, **members: Any) -> None:
        self.control.write(lambda conn: kms_keys.save(conn, dataclasses.replace(key, **members)))

    def files(self) -> list[Path]:
        return [path for path in self.server.paths.root.rglob("*") if path.is_file()]

    def found_on_disk(self, text: bytes, where: str = "") -> list[Path]:
        """Files that hold this text, of one bucket or of everything."""
        return [path for path in self.files() if where in (*path.parts, "") and text in path.read_bytes()]

    def object_file(self, bucket: str, key: str) -> Path:
        return self.server.paths.objects / "buckets" / bucket / f"{key}%"


def make_scene(server: ObjectsServer, control: KeysOfControl) -> Scene:
    scene = Scene(server, control, None, server.client())  # type: ignore[arg-type]
    scene.key = scene.new_key()
    now = time.time()
    control.write(lambda conn: kms_keys.add_alias(conn, Alias(*SCOPE_AND, "alias/mine", scene.key.id, now, now)))
    return scene


SCOPE_AND = SCOPE.account, SCOPE.region


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as root:
        server = ObjectsServer(Path(root))
        try:
            with server.ask_keys() as control:
                yield make_scene(server, control)
        finally:
            server.close()


@pytest.fixture
def where(scene: Scene, request: pytest.FixtureRequest) -> str:
    name = f"b-{abs(hash(request.node.nodeid)):x}"[:40]
    scene.s3.create_bucket(Bucket=name)
    return name


def code_of(call: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def read(scene: Scene, bucket: str, key: str, **more: Any) -> bytes:
    with contextlib.closing(scene.s3.get_object(Bucket=bucket, Key=key, **more)["Body"]) as body:
        content: bytes = body.read()
        return content


def test_an_object_is_encrypted_on_the_disk_and_read_again(scene: Scene, where: str) -> None:
    forms = {
        "id": scene.key.id,
        "arn": scene.arn,
        "alias": "alias/mine",
        "alias-arn": scene.arn.rpartition(":")[0] + ":alias/mine",
    }
    for name, key_id in forms.items():
        put = scene.s3.put_object(
            Bucket=where,
            Key=name,
            Body=MARKS * 9,
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=key_id,
            ContentType="text/x",
        )
        got = scene.s3.get_object(Bucket=where, Key=name)
        assert got["Body"].read() == MARKS * 9
        seen = scene.s3.head_object(Bucket=where, Key=name)
        for answer in (put, got, seen):
            assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", scene.arn)
            assert answer["ETag"] == put["ETag"] != f'"{hashlib.md5(MARKS * 9).hexdigest()}"'
        assert got["ContentLength"] == seen["ContentLength"] == len(MARKS * 9)
        assert got["ContentType"] == "text/x"
    listed = scene.s3.list_objects_v2(Bucket=where)["Contents"]
    assert {each["Key"]: each["Size"] for each in listed} == dict.fromkeys(forms, len(MARKS * 9))
    assert scene.found_on_disk(MARKS, where) == []
    assert scene.found_on_disk(hashlib.md5(MARKS * 9).hexdigest().encode()) == []


def test_without_a_key_s3_makes_one_of_its_own(scene: Scene, where: str) -> None:
    first = scene.s3.put_object(Bucket=where, Key="a", Body=MARKS, ServerSideEncryption="aws:kms")
    second = scene.s3.put_object(
        Bucket=where, Key="b", Body=MARKS, ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/aws/s3"
    )
    assert first["SSEKMSKeyId"] == second["SSEKMSKeyId"] != scene.arn
    assert read(scene, where, "a") == MARKS
    assert scene.found_on_disk(MARKS, where) == []


def test_the_stores_own_encryption_keeps_the_etag_an_md5(scene: Scene, where: str) -> None:
    put = scene.s3.put_object(Bucket=where, Key="a", Body=MARKS, ServerSideEncryption="AES256")
    assert (
        put["ServerSideEncryption"] == scene.s3.head_object(Bucket=where, Key="a")["ServerSideEncryption"] == "AES256"
    )
    assert put["ETag"] == f'"{hashlib.md5(MARKS).hexdigest()}"'
    assert "SSEKMSKeyId" not in put
    assert read(scene, where, "a") == MARKS
    assert scene.found_on_disk(MARKS, where) == []


def test_what_asks_for_no_encryption_stays_a_plain_file(scene: Scene, where: str) -> None:
    put = scene.s3.put_object(Bucket=where, Key="a", Body=MARKS)
    assert "ServerSideEncryption" not in put
    assert scene.object_file(where, "a").read_bytes() == MARKS


def test_a_bucket_says_what_is_encrypted_that_says_nothing_itself(scene: Scene, where: str) -> None:
    s3 = scene.s3
    absent = ("ServerSideEncryptionConfigurationNotFoundError", 404)
    assert code_of(s3.get_bucket_encryption, Bucket=where) == absent
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/mine"},
        "BucketKeyEnabled": True,
    }
    s3.put_bucket_encryption(Bucket=where, ServerSideEncryptionConfiguration={"Rules": [rule]})
    told = s3.get_bucket_encryption(Bucket=where)["ServerSideEncryptionConfiguration"]["Rules"]
    assert told == [rule]
    put = s3.put_object(Bucket=where, Key="a", Body=MARKS)
    assert (put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == (scene.arn, True)
    assert (
        s3.put_object(Bucket=where, Key="b", Body=MARKS, ServerSideEncryption="AES256")["ServerSideEncryption"]
        == "AES256"
    )
    assert read(scene, where, "a") == read(scene, where, "b") == MARKS
    assert scene.found_on_disk(MARKS, where) == []
    s3.delete_bucket_encryption(Bucket=where)
    assert code_of(s3.get_bucket_encryption, Bucket=where) == absent
    assert "ServerSideEncryption" not in s3.put_object(Bucket=where, Key="c", Body=b"x")
    bad = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}
    assert code_of(s3.put_bucket_encryption, Bucket=where, ServerSideEncryptionConfiguration={"Rules": [bad]})[1] == 501


SIZES = st.one_of(st.integers(0, 100), st.sampled_from([n * CHUNK_BYTES + d for n in (1, 2) for d in (-1, 0, 1)]))


@settings(max_examples=25, deadline=None)
@given(SIZES, st.data())
def test_any_range_is_read_of_any_size(scene: Scene, size: int, data: st.DataObject) -> None:
    scene.s3.create_bucket(Bucket="ranges")
    content = os.urandom(size)
    scene.s3.put_object(
        Bucket="ranges", Key="k", Body=content, ServerSideEncryption="aws:kms", SSEKMSKeyId=scene.key.id
    )
    assert read(scene, "ranges", "k") == content
    if size:
        first = data.draw(st.integers(0, size - 1))
        last = data.draw(st.integers(first, size - 1))
        got = scene.s3.get_object(Bucket="ranges", Key="k", Range=f"bytes={first}-{last}")
        assert got["ContentRange"] == f"bytes {first}-{last}/{size}"
        assert got["Body"].read() == content[first : last + 1]


def test_parts_are_encrypted_joined_and_read_across_their_ends(scene: Scene, where: str) -> None:
    s3, at = scene.s3, {"Bucket": where, "Key": "big"}
    begun = s3.create_multipart_upload(
        **at, ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/mine", BucketKeyEnabled=True
    )
    assert (begun["SSEKMSKeyId"], begun["BucketKeyEnabled"]) == (scene.arn, True)
    upload = {**at, "UploadId": begun["UploadId"]}
    first, second = MARKS * (PART // len(MARKS) + 1), MARKS * 100
    s3.upload_part(**upload, PartNumber=1, Body=b"replaced" + first)
    etags = [s3.upload_part(**upload, PartNumber=1, Body=first)["ETag"]]
    s3.put_object(Bucket=where, Key="source", Body=second)
    copied = s3.upload_part_copy(**upload, PartNumber=2, CopySource=f"{where}/source", CopySourceRange="bytes=0-2999")
    etags.append(copied["CopyPartResult"]["ETag"])
    etags.append(s3.upload_part(**upload, PartNumber=3, Body=second)["ETag"])
    assert [each["Size"] for each in s3.list_parts(**upload)["Parts"]] == [len(first), 3000, len(second)]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    assert code_of(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})[0] == "EntityTooSmall"
    scene.server.restart()
    parts.pop(1)
    assert [path for path in scene.found_on_disk(MARKS * 2, where) if path.name != "source%"] == []
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert (done["SSEKMSKeyId"], done["ETag"][-3:]) == (scene.arn, '-2"')
    whole = first + second
    assert read(scene, where, "big") == whole
    edge = len(first)
    for low, high in (
        (edge - 3, edge + 2),
        (edge, edge),
        (0, 0),
        (edge - 1, len(whole) - 1),
        (CHUNK_BYTES - 1, CHUNK_BYTES),
    ):
        assert read(scene, where, "big", Range=f"bytes={low}-{high}") == whole[low : high + 1]
    assert s3.head_object(**at)["ContentLength"] == len(whole)
    assert [path for path in scene.found_on_disk(MARKS * 2, where) if path.name != "source%"] == []


def test_the_transfer_manager_of_boto3_goes_through(scene: Scene, where: str) -> None:
    content = os.urandom(64) * (20 * 1024 * 1024 // 64)
    extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": scene.key.id}
    scene.s3.upload_fileobj(io.BytesIO(content), where, "big", ExtraArgs=extra)
    sink = io.BytesIO()
    scene.s3.download_fileobj(where, "big", sink)
    assert sink.getvalue() == content
    assert scene.found_on_disk(content[:64]) == []


def test_copies_are_encrypted_as_they_are_asked_to_be(scene: Scene, where: str) -> None:
    s3, other = scene.s3, scene.new_key()
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": scene.key.id}
    s3.put_object(Bucket=where, Key="sealed", Body=MARKS, **kms)
    plain = s3.copy_object(Bucket=where, Key="plain", CopySource=f"{where}/sealed")
    assert "ServerSideEncryption" not in plain
    assert plain["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(MARKS).hexdigest()}"'
    assert scene.object_file(where, "plain").read_bytes() == MARKS
    again = s3.copy_object(
        Bucket=where, Key="other", CopySource=f"{where}/sealed", ServerSideEncryption="aws:kms", SSEKMSKeyId=other.id
    )
    assert again["SSEKMSKeyId"].endswith(other.id)
    assert read(scene, where, "other") == MARKS
    s3.copy_object(Bucket=where, Key="plain", CopySource=f"{where}/plain", **kms)
    assert read(scene, where, "plain") == MARKS
    assert scene.found_on_disk(MARKS, where) == []
    scene.change(other, state=DISABLED)
    assert code_of(s3.copy_object, Bucket=where, Key="x", CopySource=f"{where}/other") == ("KMS.DisabledException", 400)
    assert code_of(s3.get_object, Bucket=where, Key="x") == ("NoSuchKey", 404)


def test_a_key_that_may_not_be_used_opens_nothing(scene: Scene, where: str) -> None:
    key = scene.new_key()
    sealed = {"Bucket": where, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key.id}
    scene.s3.put_object(Key="k", Body=MARKS, **sealed)
    upload = scene.s3.create_multipart_upload(Key="m", **sealed)["UploadId"]
    part = {"Bucket": where, "Key": "m", "UploadId": upload, "PartNumber": 1, "Body": b"x"}
    scene.change(key, state=DISABLED)
    for told in (("KMS.DisabledException", 400), ("KMS.KMSInvalidStateException", 400)):
        assert code_of(scene.s3.get_object, Bucket=where, Key="k") == told
        assert code_of(scene.s3.put_object, Key="n", Body=b"x", **sealed) == told
        assert code_of(scene.s3.upload_part, **part) == told
        scene.change(key, state=PENDING_DELETION, delete_at=time.time() + 1e6)
    assert scene.s3.head_object(Bucket=where, Key="k")["ContentLength"] == len(MARKS)
    scene.change(key, state=ENABLED, delete_at=None)
    assert read(scene, where, "k") == MARKS
    scene.change(key, state=PENDING_DELETION, delete_at=time.time() - 1)
    assert code_of(scene.s3.get_object, Bucket=where, Key="k") == ("AccessDenied", 403)
    scene.control.do(scene.control.kms.settle)
    assert code_of(scene.s3.get_object, Bucket=where, Key="k") == ("AccessDenied", 403)
    assert code_of(scene.s3.put_object, Key="n", Body=b"x", **sealed) == ("KMS.NotFoundException", 400)
    scene.s3.delete_object(Bucket=where, Key="k")


@pytest.mark.parametrize(
    ("key_id", "told"),
    [
        ("12345678-1234-1234-1234-123456789012", "KMS.NotFoundException"),
        ("alias/absent", "KMS.NotFoundException"),
        ("nonsense", "KMS.NotFoundException"),
        ("arn:aws:kms:eu-west-1:000000000000:alias/mine", "KMS.NotFoundException"),
        ("arn:aws:kms:us-east-1:1:key/x", "KMS.InvalidArnException"),
    ],
)
def test_a_key_that_is_not_there_takes_nothing(scene: Scene, where: str, key_id: str, told: str) -> None:
    sealed = {"Bucket": where, "Key": "k", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id}
    assert code_of(scene.s3.put_object, Body=MARKS, **sealed) == (told, 400)
    assert code_of(scene.s3.create_multipart_upload, **sealed) == (told, 400)
    assert "Contents" not in scene.s3.list_objects_v2(Bucket=where)


def test_headers_that_do_not_fit_are_refused(scene: Scene, where: str) -> None:
    at = {"Bucket": where, "Key": "k", "Body": b"x"}
    assert code_of(scene.s3.put_object, **at, SSEKMSKeyId="alias/mine") == ("InvalidArgument", 400)
    aes = {"ServerSideEncryption": "AES256", "SSEKMSKeyId": "alias/mine"}
    assert code_of(scene.s3.put_object, **at, **aes) == ("InvalidArgument", 400)
    half = base64.b64encode(b'{"a": "\\ud800"}').decode()
    for context in ("{", half, base64.b64encode(b"[]").decode(), base64.b64encode(b'{"a": 1}').decode()):
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": context}
        assert code_of(scene.s3.put_object, **at, **kms) == ("InvalidArgument", 400)
    context = base64.b64encode(json.dumps({"team": "blue"}).encode()).decode()
    scene.s3.put_object(**at, ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=context)
    assert read(scene, where, "k") == b"x"


def test_checksums_are_told_to_who_may_read(scene: Scene, where: str) -> None:
    key = scene.new_key()
    at, digest = {"Bucket": where, "Key": "k"}, base64.b64encode(hashlib.sha256(MARKS).digest()).decode()
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key.id}
    put = scene.s3.put_object(**at, Body=MARKS, ChecksumSHA256=digest, **kms)
    assert put["ChecksumSHA256"] == digest
    assert scene.s3.head_object(**at, ChecksumMode="ENABLED")["ChecksumSHA256"] == digest
    assert scene.s3.get_object(**at, ChecksumMode="ENABLED")["Body"].read() == MARKS
    assert scene.found_on_disk(digest.encode()) == []
    scene.change(key, state=DISABLED)
    assert code_of(scene.s3.head_object, **at, ChecksumMode="ENABLED")[1] == 400
    assert scene.s3.head_object(**at)["ContentLength"] == len(MARKS)


# Hands on the disk


def test_a_changed_cut_or_swapped_file_is_never_served(scene: Scene, where: str) -> None:
    kms = {"Bucket": where, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": scene.key.id}
    for key in ("a", "b"):
        scene.s3.put_object(Key=key, Body=MARKS + key.encode(), **kms)
    path, other = scene.object_file(where, "a"), scene.object_file(where, "b")
    held, times = path.read_bytes(), path.stat()
    for place in (33, len(held) // 2, len(held) - 1):
        changed = bytearray(held)
        changed[place] ^= 1
        path.write_bytes(changed)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert code_of(scene.s3.get_object, Bucket=where, Key="a") == ("InternalError", 500)
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert code_of(scene.s3.get_object, Bucket=where, Key="a") == ("InternalError", 500)
    path.write_bytes(held[:-1])  # its record is of another version now, and what it is cannot be told
    assert code_of(scene.s3.get_object, Bucket=where, Key="a") == ("InternalError", 500)
    path.write_bytes(held)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read(scene, where, "a") == MARKS + b"a"


def test_a_backup_may_lose_the_times_of_files(scene: Scene, where: str) -> None:
    """tar keeps whole seconds."""
    kms = {"Bucket": where, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": scene.key.id}
    etag = scene.s3.put_object(Key="a", Body=MARKS, Metadata={"of": "a"}, **kms)["ETag"]
    scene.s3.put_object(Key="b", Body=MARKS, **kms)
    os.utime(scene.object_file(where, "a"), (1_700_000_000, 1_700_000_000))
    assert read(scene, where, "a") == MARKS
    told = scene.s3.head_object(Bucket=where, Key="a")
    assert (told["ETag"], told["Metadata"], told["SSEKMSKeyId"]) == (etag, {"of": "a"}, scene.arn)
    scene.object_file(where, "b").write_bytes(scene.object_file(where, "a").read_bytes())
    assert code_of(scene.s3.get_object, Bucket=where, Key="b") == ("InternalError", 500)


def test_a_record_that_is_changed_or_moved_opens_nothing(scene: Scene, where: str) -> None:
    kms = {"Bucket": where, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": scene.key.id}
    scene.s3.put_object(Key="a", Body=MARKS, **kms)
    (record,) = (scene.server.paths.objects / "records" / where).rglob("*.json")
    held = json.loads(record.read_bytes())
    version = next(iter(held["versions"]))

    def with_(**members: Any) -> dict[str, Any]:
        whole = held["versions"][version]
        return {**held, "versions": {version: {**whole, "encryption": {**whole["encryption"], **members}}}}

    segments = held["versions"][version]["encryption"]["segments"]
    wrong = [
        with_(segments=[[segments[0][0] - 1, segments[0][1]]]),
        with_(segments=[]),
        with_(segments=segments * 2),
        with_(proof="0" * 64),
        with_(checksums=base64.b64encode(b"x" * 40).decode()),
        with_(context={"aws:s3:arn": "arn:aws:s3:::elsewhere/a"}),
        with_(sealed_key=base64.b64encode(b"\x01" * 80).decode()),
    ]
    for document in wrong:
        record.write_text(json.dumps(document))
        assert code_of(scene.s3.get_object, Bucket=where, Key="a")[1] in (400, 403, 500)
    record.unlink()
    assert code_of(scene.s3.get_object, Bucket=where, Key="a") == ("InternalError", 500)
    record.write_text(json.dumps(held))
    assert read(scene, where, "a") == MARKS


def test_damage_behind_the_first_chunk_breaks_the_answer_off(scene: Scene, where: str) -> None:
    content = os.urandom(3 * CHUNK_BYTES)
    scene.s3.put_object(Bucket=where, Key="a", Body=content, ServerSideEncryption="AES256")
    path = scene.object_file(where, "a")
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(2 * CHUNK_BYTES + 500)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(Exception, match="(?i)(incomplete|read)"):
        read(scene, where, "a")
    assert read(scene, where, "a", Range=f"bytes=0-{CHUNK_BYTES - 1}") == content[:CHUNK_BYTES]


# Faults


def test_while_control_is_away_only_plain_objects_are_served(own_server: ObjectsServer) -> None:
    s3 = own_server.client()
    s3.create_bucket(Bucket="bkt")
    with own_server.ask_keys():
        s3.put_object(Bucket="bkt", Key="sealed", Body=MARKS, ServerSideEncryption="aws:kms")
    s3.put_object(Bucket="bkt", Key="plain", Body=b"plain")
    assert s3.get_object(Bucket="bkt", Key="plain")["Body"].read() == b"plain"
    assert code_of(s3.get_object, Bucket="bkt", Key="sealed") == ("ServiceUnavailable", 503)
    with own_server.ask_keys():
        assert s3.get_object(Bucket="bkt", Key="sealed")["Body"].read() == MARKS


def test_an_upload_that_is_killed_leaves_no_plaintext_anywhere(own_server: ObjectsServer) -> None:
    s3 = own_server.client()
    s3.create_bucket(Bucket="bkt")
    with own_server.ask_keys() as control:
        scene = make_scene(own_server, control)
        s3.put_object(Bucket="bkt", Key="k", Body=MARKS * 1000, ServerSideEncryption="aws:kms")
        at = {"Bucket": "bkt", "Key": "m"}
        upload = {**at, "UploadId": s3.create_multipart_upload(**at, ServerSideEncryption="AES256")["UploadId"]}
        s3.upload_part(**upload, PartNumber=1, Body=MARKS * 1000)
        half_way = [
            sending(own_server, f"/bkt/half?{query}") for query in ("", f"partNumber=2&uploadId={upload['UploadId']}")
        ]
        staging = own_server.paths.objects / "staging"
        deadline = time.monotonic() + 10
        while sum(path.stat().st_size for path in staging.iterdir()) < 2 * CHUNK_BYTES:
            assert time.monotonic() < deadline, "the front does not write what it is sent"
            time.sleep(0.01)
        own_server.process.kill()
        own_server.process.wait(10)
        assert [path for path in scene.files() if path.parent == staging]
        assert scene.found_on_disk(MARKS) == []
        for connection in half_way:
            connection.close()
        own_server.restart()
        assert s3.get_object(Bucket="bkt", Key="k")["Body"].read() == MARKS * 1000
        assert code_of(s3.get_object, Bucket="bkt", Key="half") == ("NoSuchKey", 404)
        assert scene.found_on_disk(MARKS) == []


def sending(server: ObjectsServer, path: str) -> socket.socket:
    """An upload that stands still half way through."""
    key = "m" if "partNumber" in path else "half"
    connection = server.connect()
    head = f"PUT {path.replace('half', key)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {4 * CHUNK_BYTES}\r\n"
    if key == "half":
        head += "x-amz-server-side-encryption: aws:kms\r\n"
    connection.sendall(f"{head}\r\n".encode() + (MARKS * (2 * CHUNK_BYTES // len(MARKS) + 1000)))
    return connection


def test_the_disk_does_not_fill_with_what_was_replaced(scene: Scene, where: str) -> None:
    for number in range(5):
        body = os.urandom(CHUNK_BYTES)
        scene.s3.put_object(
            Bucket=where, Key="k", Body=body, ServerSideEncryption="AES256", Metadata={"n": str(number)}
        )
    assert read(scene, where, "k") == body
    assert list((scene.server.paths.objects / "staging").iterdir()) == []
    shutil.rmtree(scene.server.paths.objects / "buckets" / where)
