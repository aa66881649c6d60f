"""Captured records of an endpoint with a KmsKeyId: encrypted wherever they lie, and whole in S3 all the same."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.capturing import HASTE, Capturing, calling, stop, waiting
from tests.acceptance.running import Server, wait_until

SECRET = "a-payload-that-nobody-may-find"


@pytest.fixture
def own(make_server: Callable[..., Server]) -> Capturing:
    return Capturing(make_server(**HASTE).start())


def made_key(own: Capturing) -> dict[str, str]:
    """A key in the four forms of a KmsKeyId."""
    kms = own.server.client("kms", retries=3)
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/captured", TargetKeyId=key["KeyId"])
    return {
        "id": key["KeyId"],
        "arn": key["Arn"],
        "alias": "alias/captured",
        "alias arn": key["Arn"].rsplit(":", 1)[0] + ":alias/captured",
    }


def where_plain(data: Path, text: str) -> list[Path]:
    """Files that hold a text as it is, or in base64 at any of its three offsets."""
    from base64 import b64encode

    forms = [text.encode()]
    forms += [b64encode(b"x" * shift + text.encode())[4:-4] for shift in range(3)]
    return [
        path
        for path in data.rglob("*")
        if path.is_file() and not path.is_symlink() and any(form in path.read_bytes() for form in forms)
    ]


def test_every_form_of_a_key(own: Capturing) -> None:
    forms = made_key(own)
    for number, key_id in enumerate(forms.values()):
        name = own.captured(f"keyed-{number}", own.capture(KmsKeyId=key_id))
        for turn in range(3):
            body = f"{SECRET},{number},{turn}".encode()
            assert own.call(name, body * (4000 if turn == 2 else 1), InferenceId=f"{number}-{turn}")
        assert own.described(name)["KmsKeyId"] == key_id
        assert own.described(name)["CaptureStatus"] == "Started"
    records = own.records(12)
    assert sorted(each["eventMetadata"]["inferenceId"] for each in records) == sorted(
        f"{number}-{turn}" for number in range(4) for turn in range(3)
    )
    for record in records:
        number, turn = record["eventMetadata"]["inferenceId"].split("-")
        whole = f"{SECRET},{number},{turn}" * (4000 if turn == "2" else 1)
        assert record["captureData"]["endpointInput"]["data"] == whole
        assert record["captureData"]["endpointOutput"]["data"] == whole
    for key in own.objects():
        head = own.s3.head_object(Bucket=own.bucket, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", forms["arn"])
    assert where_plain(own.server.data, SECRET) == []


def test_what_waits_on_disk_is_not_plain(own: Capturing) -> None:
    forms = made_key(own)
    name = own.captured("keyed", own.capture(KmsKeyId=forms["id"], DestinationS3Uri="s3://comes-later/x"))
    plain = own.captured("plain", own.capture(DestinationS3Uri="s3://comes-later/y"))
    for turn in range(5):
        own.call(name, f"{SECRET},{turn}".encode(), InferenceId=str(turn))
    assert where_plain(own.server.data, SECRET) == []
    own.call(plain, f"{SECRET},plain".encode())
    assert len(where_plain(own.server.data, SECRET)) == 1  # the search finds what is there
    own.s3.create_bucket(Bucket="comes-later")
    assert len(own.records(5, bucket="comes-later", prefix="x")) == 5


def test_a_key_that_may_not_be_used_holds_the_records(own: Capturing) -> None:
    forms, kms = made_key(own), own.server.client("kms", retries=3)
    name = own.captured("held", own.capture(KmsKeyId=forms["alias"]))
    own.call(name, InferenceId="before")
    kms.disable_key(KeyId=forms["id"])
    wait_until(lambda: "records wait" in own.history(name) or not waiting(own), timeout=40)
    own.call(name, InferenceId="while it is disabled")
    wait_until(lambda: "records wait" in own.history(name), timeout=40, what="the history to tell")
    kms.enable_key(KeyId=forms["id"])
    found = own.records(2)
    assert sorted(each["eventMetadata"]["inferenceId"] for each in found) == ["before", "while it is disabled"]


def test_all_is_killed(own: Capturing) -> None:
    forms, server = made_key(own), own.server
    name = own.captured("killed", own.capture(KmsKeyId=forms["arn"]))
    with calling(own, name) as calls:
        server.note_processes()
        pids = [each["pid"] for each in server.status()["processes"]]
        for pid in [*pids, *(replica["pid"] for replica in server.replicas(name))]:
            os.kill(pid, signal.SIGKILL)
        stop(calls)
        server.start()
    again = own.again()
    wait_until(lambda: not waiting(own), what="everything to be shipped")
    records = [record for found in again.objects().values() for record in found]
    times = Counter(record["eventMetadata"]["inferenceId"] for record in records)
    assert not {each for call in calls for each in call.acknowledged} - times.keys()
    assert set(times.values()) == {1}


def test_a_gateway_without_its_key_takes_nothing(own: Capturing) -> None:
    """It starts while control is away: calls go on, records are not written in the plain, and then they are taken."""
    forms, server = made_key(own), own.server
    name = own.captured("late", own.capture(KmsKeyId=forms["id"]))
    own.call(name, InferenceId="first")
    gateway = server.process("gateway 0")
    with server.frozen("control"):
        os.kill(gateway, signal.SIGKILL)

        def answers() -> bool:
            try:
                return own.call(name, SECRET.encode()) == SECRET.encode()
            except Exception:  # noqa: BLE001 - the successor is being started
                return False

        wait_until(answers, what="the next gateway")
    assert where_plain(server.data / "capture", SECRET) == []

    def taken() -> Any:
        own.call(name, InferenceId="again")
        return "again" in {each["eventMetadata"].get("inferenceId") for each in own.records(1)}

    wait_until(taken, timeout=40, what="records to be taken again")
    wait_until(lambda: own.described(name)["CaptureStatus"] == "Started")


def test_a_shadows_records_are_sealed_too(own: Capturing) -> None:
    """They are written by another process, which is given the key as well, again when it is started anew."""
    forms = made_key(own)
    own.config(
        "shadowed",
        own.variant("echo", "all"),
        ShadowProductionVariants=[own.variant("echo", "shadow")],
        DataCaptureConfig=own.capture(KmsKeyId=forms["id"], DestinationS3Uri="s3://comes-later/x"),
    )
    own.sagemaker.create_endpoint(EndpointName="shadowed", EndpointConfigName="shadowed")
    own.wait("shadowed")
    ids = [f"shadowed-{number}" for number in range(5)]
    for inference_id in ids:
        own.call("shadowed", SECRET.encode(), InferenceId=inference_id)
    wait_until(lambda: own.state("shadowed")["taken"] == 10, what="both sides to be taken")
    assert where_plain(own.server.data, SECRET) == []
    own.s3.create_bucket(Bucket="comes-later")
    own.records(10, bucket="comes-later", prefix="x")
    for variant in ("all", "shadow"):
        found = own.records(5, bucket="comes-later", prefix=f"x/shadowed/{variant}/")
        assert sorted(each["eventMetadata"]["inferenceId"] for each in found) == ids


def test_s3_and_its_keys_are_elsewhere(make_server: Callable[..., Server]) -> None:
    """Objects are put signed, with the KmsKeyId as it was given; what waits here is sealed all the same."""
    other = make_server("elsewhere", MOORING_ACCESS_MODE="keys").start()
    made = json.loads(other.command("keys", "create", "--name", "captor", "--json").stdout)
    other.key = made["access_key_id"], made["secret_access_key"]
    kms = other.client("kms", retries=3)
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/captured", TargetKeyId=key["KeyId"])
    access = {"MOORING_OBJECTS_ACCESS_KEY_ID": other.key[0], "MOORING_OBJECTS_SECRET_ACCESS_KEY": other.key[1]}
    server = make_server("here", **HASTE, **access, MOORING_OBJECTS_ENDPOINT_URL=other.url).start()
    own = Capturing(server, s3=other)
    name = own.captured("afar", own.capture(KmsKeyId="alias/captured", DestinationS3Uri="s3://comes-later/a b/x"))
    for turn in range(3):
        own.call(name, f"{SECRET},{turn}".encode() * 1000, InferenceId=str(turn))
    assert where_plain(server.data, SECRET) == []
    own.s3.create_bucket(Bucket="comes-later")
    found = own.records(3, bucket="comes-later", prefix="a b/x")
    assert sorted(each["eventMetadata"]["inferenceId"] for each in found) == ["0", "1", "2"]
    for place in own.objects(bucket="comes-later", prefix="a b/x"):
        assert own.s3.head_object(Bucket="comes-later", Key=place)["SSEKMSKeyId"] == key["Arn"]
