"""KMS and encrypted objects as users meet them: boto3, `kill -9`, access keys, and what lies on the disk."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import ECHO, IMAGE, ROLE, Deployment, Server, archive, wait_until
from tests.acceptance.test_access import allow, keyed, new_key

SECRET = b"a payload that nobody may read on the disk "
KMS = "aws:kms"


def code(call: Callable[..., Any], **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**members)
    told: str = caught.value.response["Error"]["Code"]
    return told


def new(kms: Any, alias: str = "", **members: Any) -> str:
    key_id: str = kms.create_key(**members)["KeyMetadata"]["KeyId"]
    if alias:
        kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    return key_id


def on_disk(server: Server, text: bytes) -> list[Path]:
    """Every file of the data directory that holds a text."""
    found = []
    for path in server.data.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and text in path.read_bytes():
                found.append(path)
    return found


def read(s3: Any, bucket: str, key: str) -> bytes:
    with contextlib.closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        content: bytes = body.read()
        return content


def test_keys_and_what_they_encrypt_outlive_kill_minus_nine(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    kms, s3 = server.client("kms"), server.client("s3", retries=3)
    key = new(kms, "alias/mine", Description="kept")
    blob = kms.encrypt(KeyId="alias/mine", Plaintext=SECRET, EncryptionContext={"a": "b"})["CiphertextBlob"]
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=SECRET * 10_000, ServerSideEncryption=KMS, SSEKMSKeyId="alias/mine")
    os.kill(server.process("control"), signal.SIGKILL)
    assert read(s3, "kept", "k") == SECRET * 10_000
    os.kill(server.process("objects"), signal.SIGKILL)
    assert read(s3, "kept", "k") == SECRET * 10_000
    server.kill_supervisor()
    server.start()
    kms, s3 = server.client("kms", retries=3), server.client("s3", retries=3)
    assert kms.describe_key(KeyId="alias/mine")["KeyMetadata"]["KeyId"] == key
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == SECRET
    assert read(s3, "kept", "k") == SECRET * 10_000
    server.stop()
    assert on_disk(server, SECRET) == []


def test_a_deleted_key_makes_its_data_unreadable_for_ever(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    kms, s3 = server.client("kms"), server.client("s3", retries=3)
    key, other = new(kms), new(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=SECRET)["CiphertextBlob"]
    s3.create_bucket(Bucket="doomed")
    for each in (key, other):
        s3.put_object(Bucket="doomed", Key=each, Body=SECRET, ServerSideEncryption=KMS, SSEKMSKeyId=each)
    kms.disable_key(KeyId=key)
    assert code(s3.get_object, Bucket="doomed", Key=key) == "KMS.DisabledException"
    kms.enable_key(KeyId=key)
    assert read(s3, "doomed", key) == SECRET
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert code(s3.get_object, Bucket="doomed", Key=key) == "KMS.KMSInvalidStateException"
    server.stop()
    with contextlib.closing(sqlite3.connect(server.data / "state.db")) as state, state:  # a week later
        state.execute("UPDATE kms_keys SET delete_at=? WHERE id=?", (time.time() - 1, key))
        (sealed,) = state.execute("SELECT sealed FROM kms_materials WHERE key_id=?", (key,)).fetchone()
    server.start()
    kms, s3 = server.client("kms"), server.client("s3", retries=3)
    assert code(kms.describe_key, KeyId=key) == "NotFoundException"
    assert code(kms.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    assert code(s3.get_object, Bucket="doomed", Key=key) == "AccessDenied"
    assert read(s3, "doomed", other) == SECRET
    assert [path for path in on_disk(server, sealed) if path.name.startswith("state.db")] == []


def sending(server: Server, path: str, body: bytes, length: int, *headers: str) -> socket.socket:
    """An upload that stands still before its end."""
    parts = urlsplit(server.url)
    connection = socket.create_connection((parts.hostname, parts.port))
    lines = [f"PUT {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {length}", *headers]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return connection


def test_a_scan_of_the_disk_finds_no_plaintext_whatever_is_killed(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    kms, s3 = server.client("kms"), server.client("s3", retries=3)
    new(kms, "alias/mine")
    s3.create_bucket(Bucket="scan")
    body = SECRET * (1024 * 1024 // len(SECRET))
    sealed = {"ServerSideEncryption": KMS, "SSEKMSKeyId": "alias/mine"}
    s3.put_object(Bucket="scan", Key="whole", Body=body, **sealed)
    s3.put_object(Bucket="scan", Key="own", Body=body, ServerSideEncryption="AES256")
    upload = s3.create_multipart_upload(Bucket="scan", Key="parts", **sealed)["UploadId"]
    s3.upload_part(Bucket="scan", Key="parts", UploadId=upload, PartNumber=1, Body=body)
    s3.copy_object(Bucket="scan", Key="copy", CopySource="scan/own", **sealed)
    kms.encrypt(KeyId="alias/mine", Plaintext=SECRET)
    header = "x-amz-server-side-encryption: aws:kms"
    connections = [
        sending(server, "/scan/half", body, 2 * len(body), header),
        sending(server, f"/scan/parts?partNumber=2&uploadId={upload}", body, 2 * len(body)),
    ]
    staging = server.data / "objects" / "staging"
    wait_until(lambda: sum(each.stat().st_size for each in staging.iterdir()) > len(body), what="half of two uploads")
    victims = [server.process("objects"), server.process("control"), server.pid]
    server.note_processes()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.survivors(), what="everything to be gone")
    assert len(list(staging.iterdir())) == 2
    assert on_disk(server, SECRET) == []
    assert [path.name for path in server.data.rglob("*") if path.is_file() and b"alias/mine" in path.read_bytes()]
    for connection in connections:
        connection.close()
    server.start()
    s3 = server.client("s3", retries=3)
    assert {read(s3, "scan", key) for key in ("whole", "own", "copy")} == {body}
    assert {each["Key"] for each in s3.list_objects_v2(Bucket="scan")["Contents"]} == {"whole", "own", "copy"}
    assert list(staging.iterdir()) == []
    assert on_disk(server, SECRET) == []


def test_an_endpoint_serves_a_model_that_is_stored_encrypted(own: Deployment) -> None:
    kms = own.server.client("kms")
    key = new(kms, "alias/models")
    packed = archive({"code/inference.py": ECHO.format(name="sealed")})
    own.s3.put_object(
        Bucket=own.bucket, Key="sealed.tar.gz", Body=packed, ServerSideEncryption=KMS, SSEKMSKeyId="alias/models"
    )
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{own.bucket}/sealed.tar.gz"}
    own.sagemaker.create_model(ModelName="sealed", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    own.endpoint("sealed", own.variant("sealed"))
    own.wait("sealed")
    assert own.invoke("sealed")["model"] == "sealed"
    kms.disable_key(KeyId=key)
    own.endpoint("late", own.variant("sealed"))
    reason = own.wait("late", status="Failed")["FailureReason"]
    assert "KMS.DisabledException" in reason
    assert key in reason


# Access keys and policies


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("kms") / "data", MOORING_ACCESS_MODE="keys")
    try:
        keyed(server.start())
        server.client("s3", retries=3).create_bucket(Bucket="guarded")
        yield server
    finally:
        server.end()


def test_who_may_not_use_the_key_does_not_read_the_object(guarded: Server) -> None:
    admin, kms = guarded.client("s3"), guarded.client("kms")
    key = new(kms, "alias/guarded")
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    files = allow("s3:*")
    reader = guarded.client("s3", key=new_key(guarded, "reader", files, allow("kms:Decrypt", resource=arn)))
    writer = guarded.client("s3", key=new_key(guarded, "writer", files, allow("kms:GenerateDataKey", resource=arn)))
    stranger = guarded.client("s3", key=new_key(guarded, "stranger", files))
    sealed = {"Bucket": "guarded", "Key": "k", "ServerSideEncryption": KMS, "SSEKMSKeyId": "alias/guarded"}
    writer.put_object(Body=SECRET, **sealed)
    at = {"Bucket": "guarded", "Key": "k"}
    assert reader.get_object(**at)["Body"].read() == SECRET
    assert admin.get_object(**at)["Body"].read() == SECRET
    for client in (writer, stranger):
        assert code(client.get_object, **at) == "AccessDenied"
        assert client.head_object(**at)["ContentLength"] == len(SECRET)
    for client in (reader, stranger):
        assert code(client.put_object, Body=b"x", **sealed) == "AccessDenied"
        assert code(client.create_multipart_upload, **sealed) == "AccessDenied"
    assert code(stranger.copy_object, Bucket="guarded", Key="c", CopySource="guarded/k") == "AccessDenied"
    assert code(writer.copy_object, Bucket="guarded", Key="c", CopySource="guarded/k") == "AccessDenied"
    stranger.put_object(Bucket="guarded", Key="default", Body=SECRET, ServerSideEncryption=KMS)
    assert stranger.get_object(Bucket="guarded", Key="default")["Body"].read() == SECRET
    session = guarded.client("sts", key=reader_key(guarded)).get_session_token()["Credentials"]
    given = session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    assert code(guarded.client("s3", key=given).get_object, **at) == "AccessDenied"
    assert on_disk(guarded, SECRET) == []


def reader_key(server: Server) -> tuple[str, str]:
    return new_key(server, "no-kms", allow("s3:*", "sts:*"))


def test_a_keys_policy_opens_an_object_for_one_caller_and_shuts_it_for_another(guarded: Server) -> None:
    kms, admin = guarded.client("kms"), guarded.client("s3")
    friend = new_key(guarded, "friend", allow("s3:*"))
    rival = new_key(guarded, "rival", allow("s3:*", "kms:*"))
    root, session = "arn:aws:iam::000000000000:root", "arn:aws:sts::000000000000:assumed-role/mooring/"

    def statement(effect: str, principal: str, *actions: str, **more: Any) -> dict[str, Any]:
        return {"Effect": effect, "Principal": {"AWS": principal}, "Action": list(actions), "Resource": "*", **more}

    policy = [
        statement("Allow", root, "kms:*"),
        statement("Allow", f"{session}friend", "kms:Decrypt"),
        statement("Deny", f"{session}rival", "kms:Decrypt"),
    ]
    key = new(kms, Policy=json.dumps({"Version": "2012-10-17", "Statement": policy}))
    at = {"Bucket": "guarded", "Key": "policy"}
    admin.put_object(**at, Body=SECRET, ServerSideEncryption=KMS, SSEKMSKeyId=key)
    assert guarded.client("s3", key=friend).get_object(**at)["Body"].read() == SECRET
    assert code(guarded.client("s3", key=rival).get_object, **at) == "AccessDenied"
    assert code(guarded.client("kms", key=friend).describe_key, KeyId=key) == "AccessDeniedException"
    policy[1]["Condition"] = {"StringEquals": {"kms:EncryptionContext:team": "blue"}}
    kms.put_key_policy(KeyId=key, Policy=json.dumps({"Version": "2012-10-17", "Statement": policy}))
    assert code(guarded.client("s3", key=friend).get_object, **at) == "AccessDenied"
    context = base64.b64encode(b'{"team": "blue"}').decode()
    admin.put_object(**at, Body=SECRET, ServerSideEncryption=KMS, SSEKMSKeyId=key, SSEKMSEncryptionContext=context)
    assert guarded.client("s3", key=friend).get_object(**at)["Body"].read() == SECRET


def test_every_use_of_a_key_is_in_the_audit_log(guarded: Server) -> None:
    kms, s3 = guarded.client("kms"), guarded.client("s3")
    key = new(kms)
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    s3.put_object(Bucket="guarded", Key="audited", Body=b"x", ServerSideEncryption=KMS, SSEKMSKeyId=key)
    got = s3.get_object(Bucket="guarded", Key="audited")
    assert got["Body"].read() == b"x"
    kms.disable_key(KeyId=key)
    assert code(s3.get_object, Bucket="guarded", Key="audited") == "KMS.DisabledException"
    lines = [json.loads(line) for line in (guarded.data / "logs" / "audit.jsonl").read_text().splitlines()]
    told = [line for line in lines if line["service"] == "kms" and arn == line.get("resource")]
    assert [line["operation"] for line in told] == [
        "DescribeKey",
        "GenerateDataKey",
        "Decrypt",
        "DisableKey",
        "Decrypt",
    ]
    assert {line["key_id"] for line in told} == {guarded.key[0]}
    assert told[2]["request_id"] == got["ResponseMetadata"]["RequestId"]
    assert (told[-1]["error"], told[-1]["source"]) == ("DisabledException", "s3")


# Where the master key is


def test_the_master_key_may_be_in_the_environment(make_server: Callable[..., Server]) -> None:
    secret = base64.b64encode(os.urandom(32)).decode()
    server = make_server(MOORING_ACCESS_MASTER_KEY=secret).start()
    key = new(server.client("kms"))
    blob = server.client("kms").encrypt(KeyId=key, Plaintext=SECRET)["CiphertextBlob"]
    for name in ("gateway 0", "objects"):
        assert secret.encode() not in Path(f"/proc/{server.process(name)}/environ").read_bytes()
    server.stop()
    assert not (server.data / "master.key").exists()
    assert on_disk(server, secret.encode()) == on_disk(server, base64.b64decode(secret)) == []
    server.start()
    assert server.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == SECRET


def test_the_master_key_may_be_kept_by_another_kms(make_server: Callable[..., Server]) -> None:
    keeper = make_server("keeper").start()
    key = new(keeper.client("kms"))
    environment = {
        "MOORING_ACCESS_MASTER_KEY_KMS_KEY_ID": key,
        "MOORING_ACCESS_MASTER_KEY_KMS_URL": keeper.url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "thing",
    }
    server = make_server("kept", **environment).start()
    own = new(server.client("kms"))
    blob = server.client("kms").encrypt(KeyId=own, Plaintext=SECRET)["CiphertextBlob"]
    server.stop()
    assert not (server.data / "master.key").exists()
    assert (server.data / "master.key.kms").stat().st_mode & 0o077 == 0
    server.start()
    assert server.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == SECRET
    server.stop()
    keeper.client("kms").disable_key(KeyId=key)
    with pytest.raises(AssertionError, match="DisabledException"):
        server.start()


# Together


def test_many_at_once_get_what_is_theirs(own: Deployment) -> None:
    kms = own.server.client("kms")
    keys = [new(kms) for _ in range(3)]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            s3 = own.server.client("s3", retries=3)
            for turn in range(10):
                body, at = f"{number} {turn} ".encode() * 50_000, {"Bucket": own.bucket, "Key": f"{number}/{turn}"}
                s3.put_object(**at, Body=body, ServerSideEncryption=KMS, SSEKMSKeyId=keys[turn % 3])
                assert s3.get_object(**at)["Body"].read() == body
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    os.kill(own.server.process("control"), signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    assert failures == []
