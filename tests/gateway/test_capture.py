"""Data capture in a real gateway: what is on disk when the caller has its answer, and what happens when disk is not."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.data_capture.streams import Stream
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.routes import RouteReplica, RouteVariant, Version
from mooring.journal.sealing import name_of, seal, sealed
from mooring.journal.segments import OPEN
from tests.gateway.running import Seen, Stage, answer, eventually, invocation, route

BOTH = CaptureRoute("bucket", "captured", 100, True, True, ("text/csv",), ("application/json",))
PATIENT = {"MOORING_CAPTURE_DISK_LIMIT_PERCENT": "100"}


def echo(seen: Seen, _: socket.socket) -> bytes:
    return answer(seen.body, content_type="text/csv; charset=utf-8")


def serving(stage: Stage, capture: CaptureRoute | None = BOTH, script: Any = echo, **environment: str) -> None:
    """An endpoint `ep` of one variant `v` that captures, at a gateway that runs."""
    named = {f"MOORING_CAPTURE_{name.upper()}": value for name, value in environment.items()}
    stage.environment.update({**PATIENT, **named})
    stage.served(script, variants=(captured(stage, capture),))


def captured(stage: Stage, capture: CaptureRoute | None, name: str = "v") -> RouteVariant:
    replica = RouteReplica("replica-1", str(stage.paths.replica_socket("replica-1")))
    return RouteVariant(name, 1.0, (replica,), capture=capture)


def records(stage: Stage) -> list[dict[str, Any]]:
    """What lies in the spool, oldest segment first."""
    paths = sorted(stage.paths.capture.glob("*/*-*"), key=lambda path: path.name)
    lines = [line for path in paths for line in path.read_bytes().split(b"\n")[:-1]]
    return [json.loads(line) for line in lines]


def test_the_record_is_there_when_the_answer_is(stage: Stage) -> None:
    serving(stage)
    client = stage.client()
    for number in range(20):
        inference_id = f"call {number}"
        found = client.call(invocation(body=b"1,%d" % number, content_type="text/csv", inference_id=inference_id))
        assert found.status == 200
        newest = records(stage)[-1]
        assert newest["eventMetadata"]["inferenceId"] == inference_id
        assert newest["captureData"] == {
            "endpointInput": {
                "observedContentType": "text/csv", "mode": "INPUT", "data": f"1,{number}", "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "text/csv; charset=utf-8", "mode": "OUTPUT", "data": f"1,{number}",
                "encoding": "CSV",
            },
        }  # fmt: skip
    assert len({each["eventMetadata"]["eventId"] for each in records(stage)}) == 20


def test_the_place_says_the_key(stage: Stage) -> None:
    serving(stage)
    stage.client().call(invocation())
    (directory,) = stage.paths.capture.iterdir()
    (segment,) = directory.glob(f"*{OPEN}")
    key = Stream.read(directory).key_of(name_of(segment))
    assert re.fullmatch(
        r"captured/ep/v/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
        r"[0-9a-f]{12}\.jsonl",
        key,
    )
    second = records(stage)[0]["eventMetadata"]["inferenceTime"]
    parts = key.removesuffix(".jsonl").split("/")
    assert second == f"{parts[3]}-{parts[4]}-{parts[5]}T{parts[6]}:{parts[7][:2]}:{parts[7][3:5]}Z"


@pytest.mark.parametrize("size", [100, 70_000, 3_000_000])
def test_bodies_of_any_size(stage: Stage, size: int) -> None:
    serving(stage)
    body = b"0123456789" * (size // 10)
    assert stage.client().call(invocation(body=body, content_type="text/csv")).body == body
    (record,) = records(stage)
    assert [side["data"].encode() for side in record["captureData"].values()] == [body, body]


def test_small_and_large_ones_side_by_side(stage: Stage) -> None:
    serving(stage)
    failures = []

    def call(turn: int) -> None:
        client = stage.client()
        for number in range(15):
            body = b"%d,%d" % (turn, number) + b",1" * (200_000 if turn % 2 else 10)
            if (
                client.call(invocation(body=body, content_type="text/csv", inference_id=f"{turn}-{number}")).body
                != body
            ):
                failures.append((turn, number))

    threads = [threading.Thread(target=call, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    found = {each["eventMetadata"]["inferenceId"]: each["captureData"] for each in records(stage)}
    assert len(found) == 60
    for inference_id, data in found.items():
        assert data["endpointInput"]["data"].startswith(inference_id.replace("-", ","))
        assert data["endpointInput"]["data"] == data["endpointOutput"]["data"]


def test_a_streamed_answer_is_captured_whole_up_to_its_limit(stage: Stage) -> None:
    body = b"abcdefghij" * 200_000

    def chunked(seen: Seen, _: socket.socket) -> bytes:
        pieces = [body[begin : begin + 50_000] for begin in range(0, len(body), 50_000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + framed + b"0\r\n\r\n"

    serving(stage, script=chunked, payload_limit_bytes="1000000")
    assert stage.client().call(invocation(content_type="text/csv")).body == body
    (record,) = records(stage)
    assert record["captureData"]["endpointOutput"]["data"].encode() == body[:1_000_000]


def test_failed_invocations_are_not_captured(stage: Stage) -> None:
    serving(stage, script=lambda seen, _: answer(b"no", 500))
    assert stage.client().call(invocation()).status == 424
    assert records(stage) == []


def test_failed_invocations_by_setting(stage: Stage) -> None:
    serving(stage, script=lambda seen, _: answer(b"no", 500), failed_invocations="on")
    assert stage.client().call(invocation(body=b"in", content_type="text/csv")).status == 424
    eventually(lambda: len(records(stage)) == 1)
    assert [list(each["captureData"]) for each in records(stage)] == [["endpointInput"]]


def test_half_are_sampled(stage: Stage) -> None:
    serving(stage, CaptureRoute("b", "", 50, True, True))
    client = stage.client()
    for _ in range(400):
        client.call(invocation())
    # Five standard deviations: once in two million runs.
    assert 150 <= len(records(stage)) <= 250
    assert all(len(each["captureData"]) == 2 for each in records(stage))


def test_capture_follows_the_route(stage: Stage) -> None:
    serving(stage, None)
    client = stage.client()
    for generation, capture, expected in ((2, None, 0), (3, BOTH, 1), (4, None, 1), (5, BOTH, 2)):
        stage.control.publish(route(variants=(captured(stage, capture),), version=Version(1, generation)))
        assert client.call(invocation()).status == 200
        assert len(records(stage)) == expected
    assert len(list(stage.paths.capture.glob("*/*-*"))) == 1  # a change of the route goes on with its segment


def test_variants_are_captured_apart(stage: Stage) -> None:
    serving(stage)
    variants = (captured(stage, BOTH), captured(stage, replace(BOTH, output=False), "w"))
    stage.control.publish(route(variants=variants, version=Version(1, 2)))
    client = stage.client()
    for _ in range(3):
        client.call(invocation(target_variant="v"))
        client.call(invocation(target_variant="w"))
    found = {Stream.read(each).variant: each for each in stage.paths.capture.iterdir()}
    for name, sides in (("v", 2), ("w", 1)):
        lines = next(found[name].glob("*-*")).read_bytes().splitlines()
        assert [len(json.loads(line)["captureData"]) for line in lines] == [sides] * 3


def test_a_segment_ends_in_time_and_another_begins(stage: Stage) -> None:
    serving(stage, flush_interval_s="0.2")
    client = stage.client()
    client.call(invocation())
    (directory,) = stage.paths.capture.iterdir()
    eventually(lambda: seal(directory) == 1)
    client.call(invocation())
    client.call(invocation())
    eventually(lambda: seal(directory) == 1)
    assert [path.read_bytes().count(b"\n") for path in sealed(directory)] == [1, 2]


def test_a_segment_ends_when_it_is_large(stage: Stage) -> None:
    serving(stage, segment_limit_bytes="10000")
    client = stage.client()
    for _ in range(20):
        client.call(invocation(body=b"x" * 1000))
    (directory,) = stage.paths.capture.iterdir()
    assert seal(directory) >= 3
    assert len(records(stage)) == 20
    assert all(path.stat().st_size < 15_000 for path in directory.glob("*-*"))


def test_what_is_acknowledged_outlives_the_gateway(stage: Stage) -> None:
    serving(stage)
    acknowledged: list[str] = []

    def call(turn: int) -> None:
        client = stage.client()
        for number in range(10_000):
            body = b"x" * (200_000 if number % 3 == 0 else 10)
            try:
                found = client.call(invocation(body=body, inference_id=f"{turn}-{number}"))
            except OSError:
                return
            except Exception:  # noqa: BLE001 - half an answer, in whichever way http.client says that
                return
            assert found.status == 200
            acknowledged.append(f"{turn}-{number}")

    threads = [threading.Thread(target=call, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(acknowledged) > 50)
    (directory,) = stage.paths.capture.iterdir()
    assert seal(directory) == 0
    stage.kill()
    for thread in threads:
        thread.join(30)
    assert seal(directory) == 1
    found = [each["eventMetadata"]["inferenceId"] for each in records(stage)]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)


def test_a_gateway_that_stops_lets_go_of_its_segments(stage: Stage) -> None:
    serving(stage)
    client = stage.client()
    client.call(invocation())
    client.close()
    stage.terminate()
    assert stage.wait() == 0
    (directory,) = stage.paths.capture.iterdir()
    assert seal(directory) == 1


def reported(stage: Stage, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the gateway says of `v`, once that is `wanted`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        said = stage.control.reported.get(timeout=20)
        if "capture" in said:
            (variants,) = said["capture"].values()
            if wanted(variants["v"]):
                return dict(variants["v"])
    raise AssertionError("it was not said")


def test_a_full_spool_stops_capture_and_no_call(stage: Stage) -> None:
    serving(stage, spool_limit_bytes="5000", flush_interval_s="0.2")
    client = stage.client()
    for _ in range(40):
        assert client.call(invocation(body=b"x" * 1000)).status == 200
    taken = len(records(stage))
    assert 1 <= taken <= 6
    found = reported(stage, lambda numbers: numbers["not_taken"] == 40 - taken)
    assert found["taken"] == taken
    assert "as much waits for S3 as may" in found["problem"]
    for path in stage.paths.capture.glob("*/*-*"):  # what shipping does
        path.unlink()
    assert reported(stage, lambda numbers: numbers["problem"] is None)["taken"] == taken
    assert client.call(invocation()).status == 200
    eventually(lambda: len(records(stage)) == 1)


FULL_DISK = """
import os, resource, sys
if "mooring.gateway" in sys.orig_argv:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""


def test_a_write_that_fails_is_counted_and_tried_again(stage: Stage, tmp_path: Path) -> None:
    """A file that may not grow stands for a full disk: writes that do not fit fail, in the middle of a record too."""
    (tmp_path / "sitecustomize.py").write_text(FULL_DISK)
    stage.environment["PYTHONPATH"] = str(tmp_path)
    serving(stage)
    client = stage.client()
    for _ in range(30):
        assert client.call(invocation(body=b"x" * 500)).status == 200
    found = reported(stage, lambda numbers: numbers["taken"] + numbers["not_taken"] == 30)
    assert 1 <= found["taken"] <= 4
    assert "cannot be written" in found["problem"]
    assert len(records(stage)) == found["taken"]
    (directory,) = stage.paths.capture.iterdir()
    stage.kill()
    assert seal(directory) == 1
    assert len(records(stage)) == found["taken"]
