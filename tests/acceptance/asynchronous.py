"""Asynchronous endpoints for the tests, and what is seen of their jobs from outside."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, wait_until

BUCKET = "async-bucket"
INPUT = "s3://async-bucket/in.csv"
COUNTING = """
import json, os, time
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return body, content_type
def predict_fn(data, model):
    return data
def output_fn(data, accept, context=None):
    body, content_type = data
    text = body.decode() if isinstance(body, bytes) else body
    with open({calls!r}, "a") as calls:
        calls.write(text + "\\n")
    if text.startswith("sleep "):
        time.sleep(float(text.split()[1]))
    if text == "die":
        os._exit(9)
    return json.dumps({{"echo": text, "type": content_type, "pid": os.getpid()}}), "application/json"
"""
"""Notes every call in a file, and does what its input says."""


class Asynchronous:
    """One deployment with a bucket for inputs and outputs."""

    def __init__(self, own: Deployment) -> None:
        self.own = own
        self.s3 = own.s3
        self.runtime = own.runtime
        self.calls_file = own.server.data.parent / "calls.txt"
        self.s3.create_bucket(Bucket=BUCKET)
        self.put("in.csv", b"1,2,3", ContentType="text/csv")

    def put(self, key: str, body: Any, **members: Any) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, **members)
        return f"s3://{BUCKET}/{key}"

    def endpoint(
        self,
        name: str = "jobs",
        *,
        output: dict[str, Any] | None = None,
        concurrency: int | None = None,
        script: str | None = None,
        count: int = 1,
        wait: bool = True,
        **container: Any,
    ) -> str:
        own = self.own
        own.model(name, script or COUNTING.format(calls=str(self.calls_file)), **container)
        own.config(f"{name}-config", own.variant(name, InitialInstanceCount=count), **self.config(output, concurrency))
        own.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")
        if wait:
            own.wait(name)
        return name

    @staticmethod
    def config(output: dict[str, Any] | None = None, concurrency: int | None = None) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "OutputConfig": {
                "S3OutputPath": f"s3://{BUCKET}/out",
                "S3FailurePath": f"s3://{BUCKET}/fail",
                **(output or {}),
            }
        }
        if concurrency is not None:
            wanted["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": concurrency}
        return {"AsyncInferenceConfig": wanted}

    def invoke(self, location: str | None = INPUT, endpoint: str = "jobs", **members: Any) -> dict[str, Any]:
        if location is not None:
            members["InputLocation"] = location
        answer: dict[str, Any] = self.runtime.invoke_endpoint_async(EndpointName=endpoint, **members)
        return answer

    def found(self, location: str) -> dict[str, Any] | None:
        """The object there, with its body read."""
        bucket, _, key = location.removeprefix("s3://").partition("/")
        try:
            answer: dict[str, Any] = self.s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404"):
                return None
            raise
        return {**answer, "Body": answer["Body"].read()}

    def object(self, location: str, timeout: float = 20) -> dict[str, Any]:
        """The object, once it is there."""
        deadline = time.monotonic() + timeout
        while (found := self.found(location)) is None:
            assert time.monotonic() < deadline, f"{location} is not there; {self.own.server.log.read_text()[-3000:]}"
            time.sleep(0.02)
        return found

    def result(self, answer: dict[str, Any], timeout: float = 20) -> dict[str, Any]:
        """What the model answered to a job, once it is there."""
        found: dict[str, Any] = json.loads(self.object(answer["OutputLocation"], timeout)["Body"])
        return found

    def failure(self, answer: dict[str, Any], timeout: float = 20) -> dict[str, Any]:
        """The failure object of a job, once it is there."""
        return self.object(answer["FailureLocation"], timeout)

    def calls(self) -> list[str]:
        """The inputs that models were called with, in order."""
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    def wait_for_calls(self, count: int, timeout: float = 20) -> None:
        wait_until(lambda: len(self.calls()) >= count, timeout, what=f"{count} calls")

    def topic(self, name: str, region: str = "us-east-1") -> tuple[str, Listener]:
        """A topic, and who hears it."""
        server = self.own.server
        sns, sqs = server.client("sns", retries=3), server.client("sqs", retries=3)
        arn: str = sns.create_topic(Name=name)["TopicArn"]
        url = sqs.create_queue(QueueName=f"{name}-heard")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
        return arn, Listener(sqs, url)


class Listener:
    """What a topic told."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url
        self.heard: list[dict[str, Any]] = []

    def listen(self) -> list[dict[str, Any]]:
        """Everything so far."""
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for each in messages:
                self.heard.append(json.loads(json.loads(each["Body"])["Message"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])
        return self.heard

    def of(self, inference_id: str, timeout: float = 20) -> dict[str, Any]:
        """The one message about a job."""
        found: list[dict[str, Any]] = []

        def is_told() -> bool:
            found[:] = [each for each in self.listen() if each.get("inferenceId") == inference_id]
            return bool(found)

        wait_until(is_told, timeout, what=f"a message about {inference_id}")
        assert len(found) == 1, found
        return found[0]
