"""Asynchronous inference from the call to the output in S3, and to the topic that hears of it."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.asynchronous import BUCKET, INPUT, Asynchronous
from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.test_access import keyed

FAILING = """
import time
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    raise ValueError("no such luck")
def output_fn(data, accept):
    return data, accept
"""
SIZED = """
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return len(body)
def predict_fn(data, model):
    return data
def output_fn(data, accept):
    return b"x" * data, "application/octet-stream"
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asynchronous]:
    server = Server(tmp_path_factory.mktemp("async") / "data", MOORING_ASYNC_INFERENCE_PAYLOAD_LIMIT_BYTES="1000000")
    try:
        yield Asynchronous(Deployment(server.start()))
    finally:
        server.end()


@pytest.fixture
def jobs(own: Deployment) -> Asynchronous:
    return Asynchronous(own)


@pytest.fixture(scope="module")
def echo(shared: Asynchronous) -> Asynchronous:
    shared.endpoint("jobs")
    return shared


def test_a_round_trip(echo: Asynchronous) -> None:
    answer = echo.invoke(ContentType="text/plain", Accept="application/json", InferenceId="mine")
    assert answer["InferenceId"] == "mine"
    found = echo.object(answer["OutputLocation"])
    assert found["ContentType"] == "application/json"
    told = json.loads(found["Body"])
    assert (told["echo"], told["type"]) == ("1,2,3", "text/plain")
    assert echo.found(answer["FailureLocation"]) is None


def test_the_objects_type_stands_in_for_the_callers_as_in_the_sdk(echo: Asynchronous) -> None:
    location = echo.put("sdk.npy", b"4", ContentType="application/x-npy", Metadata={"a": "b"})
    told = echo.result(echo.invoke(location, Accept="application/json, text/csv"))
    assert told["type"] == "application/x-npy"


def test_keys_beyond_ascii(echo: Asynchronous) -> None:
    for key in ("in put/ä+%", "日本"):
        location = echo.put(key, key.encode())
        assert echo.result(echo.invoke(location))["echo"] == key
    reason = json.loads(echo.failure(echo.invoke(f"s3://{BUCKET}/ü"))["Body"])["failureReason"]
    assert f"s3://{BUCKET}/ü" in reason


def test_a_key_may_begin_with_a_slash(echo: Asynchronous) -> None:
    """Only one slash ends the bucket: the object is where its location says."""
    echo.put("/in", b"behind a slash")
    echo.put("in", b"another")
    answer = echo.invoke(f"s3://{BUCKET}//in", S3OutputPathExtension="a//b")
    assert echo.result(answer)["echo"] == "behind a slash"
    assert "/a//b/" in answer["OutputLocation"]


def test_an_inline_body(echo: Asynchronous) -> None:
    told = echo.result(echo.invoke(None, Body=b"inline", ContentType="text/x-mine"))
    assert (told["echo"], told["type"]) == ("inline", "text/x-mine")


def test_inputs_that_cannot_be_read(echo: Asynchronous) -> None:
    for location, why in (
        (f"s3://{BUCKET}/none", "there is no such object"),
        ("s3://no-such-bucket-here/none", "there is no such bucket"),
    ):
        found = echo.failure(echo.invoke(location))
        assert found["ContentType"] == "application/json"
        reason = json.loads(found["Body"])["failureReason"]
        assert reason.startswith(f"ClientError: Failed to download the input from {location}: {why}"), reason


def test_an_input_that_is_too_large(echo: Asynchronous) -> None:
    before = len(echo.calls())
    reason = json.loads(echo.failure(echo.invoke(echo.put("large", b"x" * 1_000_001)))["Body"])["failureReason"]
    assert "it has 1000001 bytes, and 1000000 are the most" in reason
    assert len(echo.calls()) == before


def test_a_model_that_takes_too_long(echo: Asynchronous) -> None:
    answer = echo.invoke(echo.put("slow", b"sleep 3"), InvocationTimeoutSeconds=1)
    reason = json.loads(echo.failure(answer)["Body"])["failureReason"]
    assert "more than 1 seconds (InvocationTimeoutSeconds)" in reason
    assert echo.found(answer["OutputLocation"]) is None


def test_a_models_error_is_the_failure_object(shared: Asynchronous) -> None:
    shared.endpoint("failing", script=FAILING)
    answer = shared.invoke(endpoint="failing")
    found = shared.failure(answer)
    assert b"no such luck" in found["Body"]
    assert found["ContentType"].startswith("text/plain")
    assert shared.found(answer["OutputLocation"]) is None


def test_an_answer_that_is_too_large(shared: Asynchronous) -> None:
    shared.endpoint("sized", script=SIZED.replace('b"x" * data', 'b"x" * 1_000_001'))
    reason = json.loads(shared.failure(shared.invoke(endpoint="sized"))["Body"])["failureReason"]
    assert "larger than 1000000 bytes" in reason


def test_an_encrypted_output(shared: Asynchronous) -> None:
    key = shared.own.server.client("kms").create_key()["KeyMetadata"]["Arn"]
    shared.endpoint("sealed", output={"KmsKeyId": key})
    for answer, location in (
        (good := shared.invoke(endpoint="sealed"), good["OutputLocation"]),
        (bad := shared.invoke(f"s3://{BUCKET}/none", "sealed"), bad["FailureLocation"]),
    ):
        found = shared.object(location)
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key), answer


def test_an_output_that_s3_refuses_is_a_failure(shared: Asynchronous) -> None:
    shared.endpoint("nowhere", output={"S3OutputPath": "s3://no-such-bucket-here/out"})
    reason = json.loads(shared.failure(shared.invoke(endpoint="nowhere"))["Body"])["failureReason"]
    assert reason.startswith("ClientError: Failed to upload the response of the model to s3://no-such-bucket-here/out")
    shared.failure(shared.invoke(endpoint="nowhere"))

    def told() -> str:
        said: str = shared.own.server.command("endpoints", "events", "nowhere").stdout
        return said if "cannot be written" in said else ""

    wait_until(told, what="the history to tell of it")
    assert " ".join(told().split()).count("cannot be written to s3://no-such-bucket-here: there is no such bucket") == 1


def test_a_failure_that_s3_refuses_too_is_told_with_its_reason(shared: Asynchronous) -> None:
    topic, failed = shared.topic("lost")
    shared.endpoint(
        "lost", output={"S3FailurePath": "s3://no-such-bucket-here/f", "NotificationConfig": {"ErrorTopic": topic}}
    )
    message = failed.of(shared.invoke(f"s3://{BUCKET}/none", "lost")["InferenceId"])
    assert "there is no such object" in message["failureReason"]
    assert "This failure could not be written to s3://no-such-bucket-here/f/" in message["failureReason"]
    assert "there is no such bucket" in message["failureReason"]
    assert "failureLocation" not in message


def test_topics_hear_of_every_end(shared: Asynchronous) -> None:
    success, succeeded = shared.topic("success")
    error, failed = shared.topic("error")
    told = {
        "SuccessTopic": success,
        "ErrorTopic": error,
        "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC", "ERROR_NOTIFICATION_TOPIC"],
    }
    shared.endpoint("told", output={"NotificationConfig": told})
    wait_until(lambda: succeeded.listen() and failed.listen(), what="test notifications")
    test = {"eventVersion": "1.0", "eventSource": "aws:sagemaker", "eventName": "TestNotification"}
    assert succeeded.heard == failed.heard == [test]

    answer = shared.invoke(endpoint="told", ContentType="text/csv", Accept="application/json")
    message = succeeded.of(answer["InferenceId"])
    assert message["invocationStatus"] == "Completed"
    assert message["requestParameters"] == {
        "accept": "application/json",
        "contentType": "text/csv",
        "endpointName": "told",
        "inputLocation": INPUT,
    }
    location = answer["OutputLocation"]
    assert message["responseParameters"] == {"contentType": "application/json", "outputLocation": location}
    assert json.loads(b64decode(message["responseBody"]["content"])) == shared.result(answer)

    answer = shared.invoke(f"s3://{BUCKET}/none", "told")
    message = failed.of(answer["InferenceId"])
    assert message["invocationStatus"] == "Failed"
    assert "there is no such object" in message["failureReason"]
    assert message["failureLocation"] == answer["FailureLocation"]
    assert "contentType" not in message["requestParameters"]


def test_a_topic_that_is_not_there_fails_the_endpoint(shared: Asynchronous) -> None:
    topic = "arn:aws:sns:us-east-1:000000000000:nobody"
    shared.endpoint("untold", output={"NotificationConfig": {"ErrorTopic": topic}}, wait=False)
    found = shared.own.wait("untold", status="Failed")
    assert found["FailureReason"].startswith('The provided role "')
    assert f'permissions for topic "{topic}". (there is no such topic (' in found["FailureReason"]


def test_an_update_to_a_topic_that_is_not_there_is_rolled_back(shared: Asynchronous) -> None:
    own, topic = shared.own, "arn:aws:sns:us-east-1:000000000000:nobody"
    shared.endpoint("updated")
    own.config("updated-2", own.variant("updated"), **shared.config({"NotificationConfig": {"SuccessTopic": topic}}))
    own.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="updated-2")
    found = own.wait("updated")
    assert found["EndpointConfigName"] == "updated-config"
    assert topic in found["FailureReason"]
    shared.result(shared.invoke(endpoint="updated"))


def test_weights_and_capacities_try_the_topics_out_too(shared: Asynchronous) -> None:
    success, heard = shared.topic("scaled")
    shared.endpoint("scaled", output={"NotificationConfig": {"SuccessTopic": success}})
    wait_until(lambda: len(heard.listen()) == 1, what="the test notification")
    scale = [{"VariantName": "scaled", "DesiredInstanceCount": 0}]
    shared.own.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="scaled", DesiredWeightsAndCapacities=scale
    )
    shared.own.wait("scaled")
    wait_until(lambda: len(heard.listen()) == 2, what="another test notification")


def test_weights_split_the_jobs(shared: Asynchronous) -> None:
    own = shared.own
    names = ("heavy", "light")
    for name in names:
        own.model(name)
    variants = [own.variant("heavy", InitialVariantWeight=3), own.variant("light", InitialVariantWeight=1)]
    own.config("split-config", *variants, **shared.config())
    own.sagemaker.create_endpoint(EndpointName="split", EndpointConfigName="split-config")
    own.wait("split")
    answers = [shared.invoke(endpoint="split") for _ in range(40)]
    models = [shared.result(answer)["model"] for answer in answers]
    assert {name: models.count(name) for name in names} == {"heavy": 30, "light": 10}


def test_no_instance_has_more_calls_than_it_may(shared: Asynchronous) -> None:
    shared.endpoint("narrow", concurrency=2, Environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "4"})
    location = shared.put("nap", b"sleep 0.5")
    began = time.monotonic()
    answers = [shared.invoke(location, "narrow") for _ in range(6)]
    for answer in answers:
        shared.result(answer)
    assert time.monotonic() - began >= 1.5, "six naps of half a second, two at a time"


def test_jobs_wait_for_an_instance(shared: Asynchronous) -> None:
    own = shared.own
    shared.endpoint("asleep")

    def scale(count: int) -> None:
        change = [{"VariantName": "asleep", "DesiredInstanceCount": count}]
        own.sagemaker.update_endpoint_weights_and_capacities(EndpointName="asleep", DesiredWeightsAndCapacities=change)
        own.wait("asleep")

    scale(0)
    answers = [shared.invoke(endpoint="asleep") for _ in range(3)]
    time.sleep(1)
    assert all(shared.found(answer["OutputLocation"]) is None for answer in answers)
    (held,) = [each["asynchronous"] for each in own.server.status()["endpoints"] if each["name"] == "asleep"]
    assert held == {"waiting": 3, "in_process": 0}
    cloudwatch = own.server.client("cloudwatch")

    def value(name: str, endpoint: str = "asleep", **dimensions: str) -> list[float]:
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=[{"Name": "EndpointName", "Value": endpoint}]
            + [{"Name": key, "Value": each} for key, each in dimensions.items()],
            StartTime=time.time() - 600,
            EndTime=time.time() + 60,
            Period=60,
            Statistics=["Maximum"],
        )
        return [point["Maximum"] for point in found["Datapoints"]]

    wait_until(lambda: 1.0 in value("HasBacklogWithoutCapacity"), what="a backlog without capacity")
    wait_until(lambda: 3.0 in value("ApproximateBacklogSize"), what="three in the backlog")
    assert max(value("ApproximateAgeOfOldestRequest")) > 0
    scale(1)
    for answer in answers:
        shared.result(answer)
    wait_until(lambda: value("InvocationsProcesssed", VariantName="asleep"), what="processed invocations")
    for name in ("TimeInBacklog", "TotalProcessingTime", "ModelLatency", "RequestDownloadLatency"):
        assert max(value(name, VariantName="asleep")) > 0, name
    assert value("Invocations", VariantName="asleep") == []


@pytest.mark.timeout(150)
def test_a_job_that_waits_too_long_expires(shared: Asynchronous) -> None:
    """RequestTTLSeconds is a minute at the least."""
    error, failed = shared.topic("expiring")
    shared.endpoint("expiring", concurrency=1, output={"NotificationConfig": {"ErrorTopic": error}})
    blocking = shared.invoke(shared.put("block", b"sleep 64"), "expiring")
    shared.wait_for_calls(1)
    answer = shared.invoke(endpoint="expiring", RequestTTLSeconds=60)
    message = failed.of(answer["InferenceId"], timeout=90)
    assert message["invocationStatus"] == "Expired"
    assert "within 60 seconds (RequestTTLSeconds)" in message["failureReason"]
    assert "RequestTTLSeconds" in json.loads(shared.failure(answer)["Body"])["failureReason"]
    assert shared.result(blocking, timeout=30)["echo"] == "sleep 64"
    assert shared.found(answer["OutputLocation"]) is None


def test_an_endpoint_that_is_deleted_ends_its_jobs(jobs: Asynchronous) -> None:
    jobs.endpoint(concurrency=1)
    running = jobs.invoke(jobs.put("long", b"sleep 30"))
    waiting = jobs.invoke()
    jobs.wait_for_calls(1)
    jobs.own.sagemaker.delete_endpoint(EndpointName="jobs")
    for answer in (running, waiting):
        assert "does not exist any more" in json.loads(jobs.failure(answer)["Body"])["failureReason"]


@pytest.mark.timeout(120)
def test_an_endpoint_may_answer_at_once_for_a_while(jobs: Asynchronous) -> None:
    """An update ends the queue, and another one begins it anew."""
    own = jobs.own
    jobs.endpoint()
    own.config("plain", own.variant("jobs"))
    own.sagemaker.update_endpoint(EndpointName="jobs", EndpointConfigName="plain")
    own.wait("jobs")
    assert b"now" in own.runtime.invoke_endpoint(EndpointName="jobs", Body=b"now")["Body"].read()
    own.sagemaker.update_endpoint(EndpointName="jobs", EndpointConfigName="jobs-config")
    own.wait("jobs")
    assert jobs.result(jobs.invoke(jobs.put("again", b"again")))["echo"] == "again"
    os.kill(own.server.process("control"), signal.SIGKILL)
    assert jobs.result(jobs.invoke(jobs.put("later", b"later")))["echo"] == "later"


def memory_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.timeout(150)
def test_large_payloads_are_never_in_memory(make_server: Callable[..., Server]) -> None:
    size = 300 * 1024 * 1024
    jobs = Asynchronous(Deployment(make_server().start()))
    jobs.endpoint(script=SIZED)
    jobs.object(jobs.invoke()["OutputLocation"])
    server = jobs.own.server
    control = server.process("control")
    gateways = [each["pid"] for each in server.status()["processes"] if each["name"].startswith("gateway")]
    before = {pid: memory_mib(pid) for pid in (control, *gateways)}

    jobs.s3.upload_fileobj(Zeros(size), BUCKET, "large")
    answer = jobs.invoke(f"s3://{BUCKET}/large")
    bucket, _, key = answer["OutputLocation"].removeprefix("s3://").partition("/")
    wait_until(lambda: _length(jobs, bucket, key) == size, 120, what="the output")
    for pid, was in before.items():
        assert memory_mib(pid) - was < 64, f"{pid} is {server.status()['processes']}"


def _length(jobs: Asynchronous, bucket: str, key: str) -> int | None:
    found = jobs.s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
    return found[0]["Size"] if found else None


class Zeros(io.RawIOBase):
    """Many zeros."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._left)
        self._left -= count
        buffer[:count] = bytes(count)
        return count


def test_an_s3_elsewhere_that_verifies_signatures(make_server: Callable[..., Server]) -> None:
    """Another Mooring that asks for keys: small and large bodies, both ways, and what it refuses."""
    other = keyed(make_server("other", MOORING_ACCESS_MODE="keys").start())
    access = {"MOORING_OBJECTS_ACCESS_KEY_ID": other.key[0], "MOORING_OBJECTS_SECRET_ACCESS_KEY": other.key[1]}
    server = make_server("here", **access, MOORING_OBJECTS_ENDPOINT_URL=other.url).start()
    own = Deployment(other)  # its objects are there, and all else here
    own.server, own.sagemaker, own.runtime = server, server.client("sagemaker"), server.client("sagemaker-runtime")
    jobs = Asynchronous(own)
    jobs.endpoint(script=SIZED)
    for size in (10, 1_000_000):
        found = jobs.object(jobs.invoke(jobs.put(f"in put/a+%{size}", bytes(size)))["OutputLocation"])
        assert len(found["Body"]) == size
    assert b"there is no such object" in jobs.failure(jobs.invoke(f"s3://{BUCKET}/none"))["Body"]
