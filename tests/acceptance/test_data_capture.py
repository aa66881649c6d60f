"""Data capture as a client of S3 and of SageMaker sees it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.capturing import HASTE, Capturing, calling, more, stop, waiting
from tests.acceptance.running import Server, wait_until

KEY = re.compile(
    r"(?P<prefix>.+)/(?P<endpoint>[^/]+)/(?P<variant>[^/]+)/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-(?P<uuid>[0-9a-f-]{36})\.jsonl"
)
BODIES = {
    "text/csv": b"1,2,caf\xc3\xa9\n3,4,x\n",
    "application/json": b'{"a": "\xe2\x82\xac"}',
    "application/x-npy": b"\x93\xff\x00",
}


@pytest.fixture
def own(make_server: Callable[..., Server]) -> Capturing:
    return Capturing(make_server(**HASTE).start())


def test_schema_keys_and_encodings(own: Capturing) -> None:
    name = own.captured("schema", own.capture())
    for content_type, body in BODIES.items():
        own.call(name, body, content_type, InferenceId=content_type, CustomAttributes="trace=1")
    own.call(name, b"\xff\xfe,1", InferenceId="not utf-8")
    own.call(name, b"plain")
    records = own.records(5)
    for key in own.objects():
        found = KEY.fullmatch(key)
        assert found, key
        assert (found["prefix"], found["endpoint"], found["variant"]) == ("data-capture", name, "all")
        assert uuid.UUID(found["uuid"]).version == 4
    by_id = {record["eventMetadata"].get("inferenceId"): record for record in records}
    for content_type, encoding in (("text/csv", "CSV"), ("application/json", "JSON"), ("application/x-npy", "BASE64")):
        record = by_id[content_type]
        assert list(record) == ["captureData", "eventMetadata", "eventVersion"]
        assert record["eventVersion"] == "0"
        assert record["eventMetadata"]["customAttributes"] == ["trace=1"]
        for side, mode, observed in (
            ("endpointInput", "INPUT", content_type),
            ("endpointOutput", "OUTPUT", f"{content_type}; charset=utf-8"),
        ):
            data = record["captureData"][side]
            assert list(data) == ["observedContentType", "mode", "data", "encoding"]
            assert (data["observedContentType"], data["mode"], data["encoding"]) == (observed, mode, encoding)
            kept = base64.b64decode(data["data"]) if encoding == "BASE64" else data["data"].encode()
            assert kept == BODIES[content_type]
    assert by_id["not utf-8"]["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert list(by_id[None]["eventMetadata"]) == ["eventId", "inferenceTime"]
    assert len({record["eventMetadata"]["eventId"] for record in records}) == 5
    assert own.described(name) == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": own.destination,
        "KmsKeyId": "",
    }
    assert "no effect" not in own.history(name)


def test_sides_and_variants(own: Capturing) -> None:
    own.captured("both", own.capture(100, "InputAndOutput"), "a", "b")
    own.captured("input", own.capture(100, "Input"))
    own.captured("output", own.capture(100, "Output"))
    for variant in ("a", "b", "b"):
        own.call("both", TargetVariant=variant)
    own.call("input")
    own.call("output")
    own.records(5)
    found: dict[tuple[str, str], list[Any]] = {}
    for key, records in own.objects().items():
        place = KEY.fullmatch(key)
        assert place
        sides = [list(record["captureData"]) for record in records]
        found.setdefault((place["endpoint"], place["variant"]), []).extend(sides)
    both = ["endpointInput", "endpointOutput"]
    assert found == {
        ("both", "a"): [both],
        ("both", "b"): [both, both],
        ("input", "all"): [["endpointInput"]],
        ("output", "all"): [["endpointOutput"]],
    }


def test_capture_changes_live(own: Capturing) -> None:
    """Off, on, and other rates, under load that never fails; each call is captured by what its fleet was told."""
    name = own.captured("live", own.capture(0))
    own.call(name)
    assert own.described(name)["CurrentSamplingPercentage"] == 0
    with calling(own, name) as calls:
        for config, members in (
            ("on", own.capture(100)),
            ("off", own.capture(100, EnableCapture=False)),
            ("half", own.capture(50)),
        ):
            own.config(config, own.variant("echo", "all"), DataCaptureConfig=members)
            own.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
            own.wait(name)
            before = own.taken(name)
            if config == "off":
                assert own.described(name)["CaptureStatus"] == "Stopped"
            more(calls, 30)
            if config == "off":
                time.sleep(2)  # longer than until the gateway reports
                assert own.taken(name) == before
            else:
                wait_until(lambda before=before: own.taken(name) > before, what="records to be taken")
    assert not [failure for each in calls for failure in each.failures]
    assert own.described(name)["CurrentSamplingPercentage"] == 50


def test_an_update_may_keep_what_is_captured(own: Capturing) -> None:
    name = own.captured("kept", own.capture(100))
    own.config("other", own.variant("echo", "all"), DataCaptureConfig=own.capture(7))
    own.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName="other", RetainAllVariantProperties=True)
    own.wait(name)
    assert own.described(name)["CurrentSamplingPercentage"] == 100
    own.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName="other",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DataCaptureConfig"}],
    )
    own.wait(name)
    assert own.described(name)["CurrentSamplingPercentage"] == 7


def test_failed_invocations(make_server: Callable[..., Server]) -> None:
    own = Capturing(make_server(**HASTE, MOORING_CAPTURE_FAILED_INVOCATIONS="on").start())
    name = own.captured("failing", own.capture())
    with pytest.raises(ClientError):
        own.call(name, b"fail", InferenceId="failed")
    own.call(name, b"fine", InferenceId="fine")
    sides = {each["eventMetadata"]["inferenceId"]: list(each["captureData"]) for each in own.records(2)}
    assert sides == {"failed": ["endpointInput"], "fine": ["endpointInput", "endpointOutput"]}


def test_a_destination_outside_of_s3_is_refused(own: Capturing) -> None:
    with pytest.raises(ClientError, match="no address of S3"):
        own.config("bad", own.variant("echo"), DataCaptureConfig=own.capture(DestinationS3Uri="https://example.com/x"))


def test_a_bucket_that_comes_later(own: Capturing) -> None:
    """Nothing is lost while the bucket is not there; it is told, and shipped when it is, of a deleted endpoint too."""
    name = own.captured("early", own.capture(DestinationS3Uri="s3://comes-later/x"))
    ids = [f"early-{number}" for number in range(5)]
    for inference_id in ids:
        own.call(name, InferenceId=inference_id)
    wait_until(lambda: "records wait" in own.history(name), timeout=40, what="the history to tell")
    assert "no such bucket" in own.state(name)["undelivered"]
    assert own.state(name)["waiting_segments"] >= 1
    assert "no such bucket" in own.server.command("status").stdout
    assert own.described(name)["CaptureStatus"] == "Started"
    own.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: not own.sagemaker.list_endpoints()["Endpoints"], what="the endpoint to be gone")
    own.s3.create_bucket(Bucket="comes-later")
    found = own.records(5, bucket="comes-later", prefix="x")
    assert sorted(each["eventMetadata"]["inferenceId"] for each in found) == ids
    wait_until(lambda: not waiting(own))


def test_s3_is_away_until_the_spool_is_full(make_server: Callable[..., Server]) -> None:
    own = Capturing(make_server(**HASTE, MOORING_CAPTURE_SPOOL_LIMIT_BYTES="20000").start())
    name = own.captured("full", own.capture(DestinationS3Uri="s3://comes-later/x"))
    for _ in range(60):
        assert own.call(name, b"x" * 500) == b"x" * 500
    wait_until(lambda: own.described(name)["CaptureStatus"] == "Stopped", what="capture to be stopped")
    state = own.state(name)
    assert state["taken"] + state["not_taken"] == 60
    assert state["not_taken"] > 20
    assert "no records are taken" in own.history(name)
    shown = own.server.command("status").stdout
    assert f"{state['not_taken']} not taken" in shown
    assert "as much waits for S3 as may" in shown
    own.s3.create_bucket(Bucket="comes-later")
    wait_until(lambda: own.described(name)["CaptureStatus"] == "Started", timeout=40, what="capture to go on")
    assert "records are taken again" in own.history(name)
    own.call(name, InferenceId="after")
    found = own.records(state["taken"] + 1, bucket="comes-later", prefix="x")
    assert len(found) == state["taken"] + 1


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size; skips where none can be mounted."""
    place.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_stops_capture_and_no_invocation(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """The spool is on a real disk of 4 MB that something else fills to the last byte."""
    server = make_server("disk", **HASTE)
    with small_disk(server.data / "capture", 4) as disk:
        own = Capturing(server.start())
        name = own.captured("disk", own.capture())
        own.call(name, b"before", InferenceId="before")
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
            while True:
                file.write(b"x" * 4096)
        for _ in range(20):
            assert own.call(name, b"x" * 5000) == b"x" * 5000
        wait_until(lambda: own.described(name)["CaptureStatus"] == "Stopped", what="capture to be stopped")
        wait_until(lambda: own.state(name)["not_taken"] > 0)
        ballast.unlink()
        wait_until(lambda: own.described(name)["CaptureStatus"] == "Started", what="capture to go on")
        own.call(name, b"after", InferenceId="after")

        def ids() -> set[str | None]:
            return {each["eventMetadata"].get("inferenceId") for each in own.records(1)}

        wait_until(lambda: {"before", "after"} <= ids(), what="the records of before and after")
        assert server.stop() == 0


def test_a_disk_that_others_use(make_server: Callable[..., Server]) -> None:
    own = Capturing(make_server(**{**HASTE, "MOORING_CAPTURE_DISK_LIMIT_PERCENT": "0"}).start())
    name = own.captured("shared-disk", own.capture())
    own.call(name)
    wait_until(lambda: own.described(name)["CaptureStatus"] == "Stopped", what="capture to be stopped")
    assert "the disk is more than 0 % full" in own.state(name)["stopped"]


VICTIMS = ("gateway 0", "control", "objects", "supervisor", "everything")


@pytest.mark.parametrize("victim", VICTIMS)
def test_what_is_acknowledged_is_in_s3_once(own: Capturing, victim: str) -> None:
    name, server = own.captured("killed", own.capture()), own.server
    with calling(own, name) as calls:
        server.note_processes()
        pids = {each["name"]: each["pid"] for each in server.status()["processes"]}
        if victim == "everything":
            doomed = [*pids.values(), *(replica["pid"] for replica in server.replicas(name))]
        else:
            doomed = [pids[victim]]
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        if victim in ("supervisor", "everything"):
            stop(calls)
            server.start()
        else:
            more(calls, 20)
    again = own.again()
    acknowledged = {inference_id for each in calls for inference_id in each.acknowledged}
    wait_until(lambda: not waiting(own), what="everything to be shipped")
    records = [record for found in again.objects().values() for record in found]
    times = Counter(record["eventMetadata"]["inferenceId"] for record in records)
    assert not acknowledged - times.keys()
    assert set(times.values()) == {1}
    assert len({record["eventMetadata"]["eventId"] for record in records}) == len(records)
