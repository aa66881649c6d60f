"""Endpoints that capture, calls that remember what was acknowledged, and what of it is in S3."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.acceptance.running import Deployment, Server, wait_until

HASTE = {
    "MOORING_CAPTURE_FLUSH_INTERVAL_S": "0.3",
    "MOORING_CAPTURE_DISK_LIMIT_PERCENT": "100",
    "MOORING_CAPTURE_RETRY_MAX_S": "1",
}
ECHO = """
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    if body == "fail" or body == b"fail": raise ValueError("as asked")
    return body, content_type + "; charset=utf-8"
"""


class Capturing(Deployment):
    """A deployment with short ways to capture."""

    def __init__(self, server: Server, s3: Server | None = None) -> None:
        """`s3`: the server whose S3 it is, if not its own."""
        super().__init__(s3 or server)
        self.server = server
        self.sagemaker = server.client("sagemaker", retries=3)
        self.runtime = server.client("sagemaker-runtime")
        self.model("echo", ECHO)
        self.destination = f"s3://{self.bucket}/data-capture"

    def capture(self, percentage: int = 100, *modes: str, **members: Any) -> dict[str, Any]:
        types = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}
        return {
            "InitialSamplingPercentage": percentage,
            "DestinationS3Uri": self.destination,
            "CaptureOptions": [{"CaptureMode": mode} for mode in modes or ("Input", "Output")],
            "CaptureContentTypeHeader": types,
            **members,
        }

    def captured(self, name: str, capture: dict[str, Any], *variants: str) -> str:
        """An endpoint in service that captures."""
        made = [self.variant("echo", variant) for variant in variants or ("all",)]
        self.config(name, *made, DataCaptureConfig=capture)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.wait(name)
        return name

    def call(self, endpoint: str, body: bytes = b"1,2", content_type: str = "text/csv", **members: Any) -> bytes:
        response = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type, **members)
        answer: bytes = response["Body"].read()
        return answer

    def objects(self, bucket: str | None = None, prefix: str = "data-capture") -> dict[str, list[dict[str, Any]]]:
        """The records of every object, by its key."""
        found = {}
        bucket = bucket or self.bucket
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for each in page.get("Contents", []):
                body = self.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read().decode()
                assert body.endswith("\n")
                found[each["Key"]] = [json.loads(line) for line in body.split("\n")[:-1]]
        return found

    def records(self, count: int, **where: str) -> list[dict[str, Any]]:
        """All records, once there are so many."""
        wait_until(lambda: sum(map(len, self.objects(**where).values())) >= count, what=f"{count} records")
        return [record for records in self.objects(**where).values() for record in records]

    def state(self, endpoint: str) -> dict[str, Any]:
        """Of capture, in `mooring status`."""
        found = next(each for each in self.server.status()["endpoints"] if each["name"] == endpoint)
        return dict(found["capture"])

    def again(self) -> Capturing:
        """The same after a start at another port."""
        self.s3 = self.server.client("s3", retries=3)
        self.sagemaker = self.server.client("sagemaker", retries=3)
        self.runtime = self.server.client("sagemaker-runtime")
        return self

    def described(self, endpoint: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_endpoint(EndpointName=endpoint)["DataCaptureConfig"])

    def taken(self, endpoint: str) -> int:
        """Once the gateway has reported what it holds by now."""
        time.sleep(1.5)
        return int(self.state(endpoint)["taken"])

    def history(self, endpoint: str) -> str:
        return self.server.command("endpoints", "events", endpoint).stdout


class Calls(threading.Thread):
    """Calls with an InferenceId each, never tried again; what was answered is remembered."""

    def __init__(self, own: Capturing, name: str, number: int) -> None:
        super().__init__(name=f"calls {number}", daemon=True)
        self.acknowledged: list[str] = []
        self.failures: list[Exception] = []
        self.ended = threading.Event()
        self._own, self._endpoint, self._number = own, name, number

    def run(self) -> None:
        client = self._own.server.client("sagemaker-runtime", connect_timeout=5, read_timeout=20)
        turn = 0
        while not self.ended.is_set():
            turn += 1
            inference_id = f"{self._number}-{turn}"
            body = b"1," * (100_000 if turn % 5 == 0 else 10)
            try:
                response = client.invoke_endpoint(
                    EndpointName=self._endpoint, Body=body, ContentType="text/csv", InferenceId=inference_id
                )
                assert response["Body"].read() == body
            except Exception as error:  # noqa: BLE001 - what fails was not acknowledged
                self.failures.append(error)
                time.sleep(0.01)
                continue
            self.acknowledged.append(inference_id)


@contextlib.contextmanager
def calling(own: Capturing, name: str, threads: int = 2) -> Iterator[list[Calls]]:
    calls = [Calls(own, name, number) for number in range(threads)]
    for each in calls:
        each.start()
    try:
        more(calls, 10)
        yield calls
    finally:
        stop(calls)


def stop(calls: list[Calls]) -> None:
    for each in calls:
        each.ended.set()
    for each in calls:
        each.join(30)
        assert not each.is_alive(), "an invocation hangs"


def more(calls: list[Calls], count: int) -> None:
    """Until each has had so many more answers."""
    before = [len(each.acknowledged) for each in calls]

    def answered() -> bool:
        return all(len(each.acknowledged) >= least + count for each, least in zip(calls, before, strict=True))

    wait_until(answered, timeout=40, what="calls to be answered")


def waiting(own: Capturing) -> list[Path]:
    return [path for path in own.server.data.glob("capture/*/*-*") if path.suffix in (".open", ".sealed", ".new")]
