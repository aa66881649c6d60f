"""InvokeEndpointAsync through boto3 on a whole server: what was accepted is done, whoever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Deployment, wait_until

NOTE = """
import json, os
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    with open({place!r}, "ab") as calls:
        calls.write((data.decode() if isinstance(data, bytes) else str(data)).encode() + b"\\n")
    return data
def output_fn(data, accept):
    return json.dumps({{"length": len(data)}}), "application/json"
"""


class Queued:
    """An asynchronous endpoint whose model notes each of its calls in a file."""

    def __init__(self, deployment: Deployment, place: Path, name: str = "queued") -> None:
        self.deployment = deployment
        self.server = deployment.server
        self.name = name
        self.calls = place / f"{name}.calls"
        self.s3 = deployment.s3
        deployment.s3.create_bucket(Bucket=f"{name}-data")

    def config(self, **output: Any) -> dict[str, Any]:
        """AsyncInferenceConfig."""
        there = f"s3://{self.name}-data"
        return {"OutputConfig": {"S3OutputPath": f"{there}/out", "S3FailurePath": f"{there}/failed", **output}}

    def create(self, **output: Any) -> Queued:
        deployment, name = self.deployment, self.name
        deployment.model(name, NOTE.format(place=str(self.calls)))
        variant = deployment.variant(name)
        deployment.config(f"{name}-config", variant, AsyncInferenceConfig=self.config(**output))
        deployment.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")
        deployment.wait(name)
        return self

    def put(self, key: str, body: bytes) -> str:
        self.s3.put_object(Bucket=f"{self.name}-data", Key=key, Body=body, ContentType="text/csv")
        return f"s3://{self.name}-data/{key}"

    def called(self) -> list[str]:
        """The input of each call of the model, in order."""
        with contextlib.suppress(OSError):
            return self.calls.read_text().splitlines()
        return []

    def keys(self, prefix: str) -> set[str]:
        found = self.s3.get_paginator("list_objects_v2").paginate(Bucket=f"{self.name}-data", Prefix=prefix)
        return {each["Key"] for page in found for each in page.get("Contents", ())}

    def has(self, location: str) -> bool:
        return location.removeprefix(f"s3://{self.name}-data/") in self.keys("")


@pytest.fixture
def queued(own: Deployment, tmp_path: Path) -> Queued:
    return Queued(own, tmp_path).create()


def test_an_input_in_s3_and_one_in_the_call_are_answered_in_s3(queued: Queued) -> None:
    runtime = queued.deployment.runtime
    location = queued.put("in.csv", b"1,2,3")
    answers = [
        runtime.invoke_endpoint_async(EndpointName=queued.name, InputLocation=location, InferenceId="mine, 1"),
        runtime.invoke_endpoint_async(EndpointName=queued.name, Body=b"4,5", ContentType="text/csv", Filename="x.json"),
    ]
    assert answers[0]["InferenceId"] == "mine, 1"
    assert re.fullmatch(r"s3://queued-data/out/[0-9a-f-]{36}\.out", answers[0]["OutputLocation"])
    assert answers[1]["OutputLocation"] == "s3://queued-data/out/x.json"
    for answer in answers:
        wait_until(lambda answer=answer: queued.has(answer["OutputLocation"]), what="the output")
    found = queued.s3.get_object(Bucket="queued-data", Key="out/x.json")
    assert json.loads(found["Body"].read()) == {"length": 3}
    assert sorted(queued.called()) == ["1,2,3", "4,5"]
