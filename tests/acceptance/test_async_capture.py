"""Data capture of asynchronous endpoints: what their jobs were asked and answered, in S3."""

from __future__ import annotations

import base64
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.asynchronous import BUCKET, Asynchronous
from tests.acceptance.capturing import HASTE
from tests.acceptance.capturing import Capturing as Captured
from tests.acceptance.running import Deployment, Server, wait_until

KEY = re.compile(r"data-capture/jobs/jobs/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl")
ANSWERING = """
import time, uuid
def model_fn(d): return None
def transform_fn(model, body, content_type, accept):
    text = body if isinstance(body, str) else body.decode()
    if text == "fail": raise ValueError("as asked")
    if text.startswith("sleep"): time.sleep(float(text.split()[1]))
    if text.startswith("large"): return text.upper(), "text/csv"
    return text + " " + uuid.uuid4().hex, "text/csv; charset=utf-8"
"""
"""Answers each call with something new."""


class Capturing(Captured):
    """One asynchronous endpoint that captures."""

    def __init__(self, server: Server, percentage: int = 100, *modes: str, **members: Any) -> None:
        Deployment.__init__(self, server)
        self.destination = f"s3://{self.bucket}/data-capture"
        self.jobs = Asynchronous(self)
        self.model("jobs", ANSWERING)
        capture = self.capture(percentage, *modes, **members)
        self.config("jobs", self.variant("jobs"), DataCaptureConfig=capture, **self.jobs.config(concurrency=2))
        self.sagemaker.create_endpoint(EndpointName="jobs", EndpointConfigName="jobs")
        self.wait("jobs")

    def by_id(self, count: int) -> dict[str, dict[str, Any]]:
        """By InferenceId, of jobs that have one record each."""
        found = {record["eventMetadata"]["inferenceId"]: record for record in self.records(count)}
        assert len(found) == count
        return found


def data(record: dict[str, Any], side: str) -> bytes:
    found = record["captureData"][side]
    kept = found["data"]
    return base64.b64decode(kept) if found["encoding"] == "BASE64" else kept.encode()


def test_what_jobs_were_asked_and_answered(make_server: Callable[..., Server]) -> None:
    own = Capturing(make_server(**HASTE).start())
    stored = own.jobs.put("in.json", b'{"a": 1}', ContentType="application/json")
    answers = {
        "inline": own.jobs.invoke(None, Body=b"1,caf\xc3\xa9", ContentType="text/csv", CustomAttributes="trace=1"),
        "stored": own.jobs.invoke(stored),
        "named": own.jobs.invoke(stored, InferenceId="mine", ContentType="application/x-npy"),
    }
    outputs = {name: own.jobs.object(answer["OutputLocation"])["Body"] for name, answer in answers.items()}
    records = own.by_id(3)
    for key in own.objects():
        assert KEY.fullmatch(key), key
    for name, asked, observed, encoding in (
        ("inline", b"1,caf\xc3\xa9", "text/csv", "CSV"),
        ("stored", b'{"a": 1}', "application/json", "JSON"),
        ("named", b'{"a": 1}', "application/x-npy", "BASE64"),
    ):
        record = records[answers[name]["InferenceId"]]
        assert list(record) == ["captureData", "eventMetadata", "eventVersion"]
        assert data(record, "endpointInput") == asked
        assert data(record, "endpointOutput") == outputs[name]
        found = record["captureData"]["endpointInput"]
        assert (found["observedContentType"], found["mode"], found["encoding"]) == (observed, "INPUT", encoding)
        assert record["captureData"]["endpointOutput"]["observedContentType"] == "text/csv; charset=utf-8"
    assert records[answers["inline"]["InferenceId"]]["eventMetadata"]["customAttributes"] == ["trace=1"]
    assert "mine" in records
    assert own.described("jobs")["CaptureStatus"] == "Started"
    assert own.taken("jobs") == 3
    assert "captured" not in own.history("jobs")  # as something that is not


def test_large_bodies_are_cut_and_never_fail_a_job(make_server: Callable[..., Server]) -> None:
    limit = 700_001
    own = Capturing(make_server(**HASTE, MOORING_CAPTURE_PAYLOAD_LIMIT_BYTES=str(limit)).start())
    asked = b"large," + "é".encode() * 1_000_000
    answered = asked.decode().upper().encode()
    answers = [
        own.jobs.invoke(own.jobs.put(str(len(body)), body), ContentType="text/csv") for body in (asked, asked[:400_000])
    ]
    small = own.jobs.invoke(own.jobs.put("small", b"1,2"), ContentType="text/csv")
    for answer, output in zip(answers, (answered, answered[:400_000]), strict=True):
        assert own.jobs.object(answer["OutputLocation"])["Body"] == output
    records = own.by_id(3)
    whole = records[answers[1]["InferenceId"]]
    assert (data(whole, "endpointInput"), data(whole, "endpointOutput")) == (asked[:400_000], answered[:400_000])
    cut = records[answers[0]["InferenceId"]]
    assert {side["encoding"] for side in cut["captureData"].values()} == {"CSV"}
    # Text is cut before a character.
    assert (data(cut, "endpointInput"), data(cut, "endpointOutput")) == (asked[: limit - 1], answered[: limit - 1])
    assert data(records[small["InferenceId"]], "endpointInput") == b"1,2"
    wait_until(lambda: not list((own.server.data / "async-spool").iterdir()), what="what was put aside to go")


@pytest.mark.parametrize("failed_too", [False, True])
def test_jobs_that_fail(make_server: Callable[..., Server], *, failed_too: bool) -> None:
    own = Capturing(make_server(**HASTE, MOORING_CAPTURE_FAILED_INVOCATIONS="on" if failed_too else "off").start())
    failing = {
        b"fail": own.jobs.invoke(own.jobs.put("fail", b"fail"), InferenceId="fail"),
        b"sleep 3": own.jobs.invoke(None, Body=b"sleep 3", InvocationTimeoutSeconds=1, InferenceId="slow"),
    }
    missing = own.jobs.invoke(f"s3://{BUCKET}/none")  # which reaches no model
    for answer in (*failing.values(), missing):
        own.jobs.failure(answer)
    good = own.jobs.invoke(InferenceId="good")
    own.jobs.object(good["OutputLocation"])
    records = own.by_id(3 if failed_too else 1)
    assert "endpointOutput" in records.pop("good")["captureData"]
    assert {data(record, "endpointInput") for record in records.values()} == (set(failing) if failed_too else set())
    assert not any("endpointOutput" in record["captureData"] for record in records.values())


def test_one_side_and_a_sample(make_server: Callable[..., Server]) -> None:
    own = Capturing(make_server(**HASTE).start(), 50, "Output")
    answers = [own.jobs.invoke(None, Body=b"1") for _ in range(60)]
    for answer in answers:
        own.jobs.object(answer["OutputLocation"])
    assert 0 < own.taken("jobs") < 60
    records = own.by_id(own.taken("jobs"))
    assert all(list(record["captureData"]) == ["endpointOutput"] for record in records.values())


def test_records_are_sealed_with_their_key(make_server: Callable[..., Server]) -> None:
    server = make_server(**{**HASTE, "MOORING_CAPTURE_FLUSH_INTERVAL_S": "600"}).start()
    key = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    own = Capturing(server, KmsKeyId=key)
    answer = own.jobs.invoke(None, Body=b"a secret", ContentType="text/csv")
    own.jobs.object(answer["OutputLocation"])
    (waiting,) = server.data.glob("capture/*/*.open")
    assert waiting.stat().st_size
    assert b"captureData" not in waiting.read_bytes()
    os.kill(server.process("control"), signal.SIGKILL)  # the next one ships what its predecessor wrote
    record = own.by_id(1)[answer["InferenceId"]]
    assert data(record, "endpointInput") == b"a secret"
    (name,) = own.objects()
    found = own.s3.head_object(Bucket=own.bucket, Key=name)
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)
    again = own.jobs.invoke(None, Body=b"another", ContentType="text/csv")
    own.jobs.object(again["OutputLocation"])
    assert own.taken("jobs") == 1  # by the next control, which has made a key of its own


@pytest.mark.timeout(240)
def test_a_job_that_was_answered_has_its_record_once_whoever_dies(make_server: Callable[..., Server]) -> None:
    own = Capturing(make_server(**HASTE).start())
    large = own.jobs.put("large-ish", b"1," * 200_000)
    answers, kills = [], 0
    while len(answers) < 240:
        where: dict[str, Any] = {"InputLocation": large} if len(answers) % 10 == 0 else {"Body": b"sleep 0.02"}
        answers.append(own.runtime.invoke_endpoint_async(EndpointName="jobs", ContentType="text/csv", **where))
        if len(answers) % 40 == 39:
            time.sleep(random.uniform(0.1, 0.8))
            os.kill(own.server.process("control"), signal.SIGKILL)
            kills += 1
    assert own.server.stop() == 0  # in the middle of it too
    own.server.start()
    own.again()
    own.jobs.s3 = own.s3
    outputs = {each["InferenceId"]: own.jobs.object(each["OutputLocation"], 90)["Body"] for each in answers}
    wait_until(lambda: own.state("jobs")["waiting_segments"] == 0, what="all records to be in S3")
    seen = Counter(
        (record["eventMetadata"]["inferenceId"], data(record, "endpointOutput")) for record in own.records(len(answers))
    )
    assert {pair: seen[pair] for pair in outputs.items() if seen[pair] != 1} == {}
    # Other records are of answers that nobody got, since control died before it had kept them.
    assert sum(seen.values()) - len(answers) <= 2 * 2 * (kills + 1)
