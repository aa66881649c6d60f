"""InvokeEndpointAsync at a real gateway: 202 means on disk, and what control does not acknowledge it finds there."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mooring.async_inference.lines import job_of
from mooring.hosting.async_inference import AsyncRoute, Job
from mooring.journal.sealing import seal, sealed
from tests.gateway.running import FakeControl, Response, Stage, eventually, invocation, route, signed

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
QUEUE = AsyncRoute("uid-1", "s3://out/answers", "s3://out/failures")


def call(body: bytes = b"", **headers: str) -> bytes:
    """The bytes of one InvokeEndpointAsync; by default of an input in S3."""
    if not body and "inputlocation" not in headers:
        headers["inputlocation"] = "s3://in/put.csv"
    names = {name: headers.pop(name) for name in list(headers)}
    lines = "".join(f"X-Amzn-SageMaker-{name.replace('_', '-')}: {value}\r\n" for name, value in names.items() if value)
    head = (
        f"POST /endpoints/ep/async-invocations HTTP/1.1\r\nHost: localhost\r\nAuthorization: {signed()}\r\n"
        f"Content-Length: {len(body)}\r\n{lines}\r\n"
    )
    return head.encode() + body


@pytest.fixture
def queued(stage: Stage) -> Stage:
    """Endpoint `ep` has a queue, and no instance."""
    control = stage.control
    stage.start()
    control.accept()
    control.publish(route(async_inference=QUEUE))
    return stage


def told(control: FakeControl) -> tuple[str, int, list[Job]]:
    """The next message about jobs: the segment, how many lines it has with these, and the jobs."""
    word = control.next()["jobs"]
    return word["segment"], word["upto"], [job_of(line) for line in word["lines"]]


def left_on_disk(stage: Stage) -> list[Job]:
    """Every job in segments that nobody writes any more."""
    seal(stage.paths.async_jobs)
    return [job_of(line) for path in sealed(stage.paths.async_jobs) for line in path.read_bytes().splitlines()]


def files(stage: Stage) -> list[Path]:
    return sorted(stage.paths.async_jobs.iterdir())


def test_a_call_is_answered_with_where_its_answer_will_be(queued: Stage) -> None:
    response = queued.client().call(
        call(
            inputlocation="s3://in/a b/put.csv",
            content_type="text/csv",
            accept="application/json",
            custom_attributes="a=b;c",
            inference_id="my id, 1",
            requestttlseconds="60",
            invocationtimeoutseconds="3600",
        )
    )
    assert response.status == 202
    assert response.document == {"InferenceId": "my id, 1"}
    assert response.headers["x-amzn-sagemaker-inference-id"] == "my id, 1"
    output = response.headers["x-amzn-sagemaker-outputlocation"]
    failure = response.headers["x-amzn-sagemaker-failurelocation"]
    name = re.fullmatch(f"s3://out/answers/({UUID})\\.out", output)
    assert name is not None
    assert failure == f"s3://out/failures/{name[1]}-error.out"
    _, _, [job] = told(queued.control)
    assert (job.uid, job.input_location, job.body) == ("uid-1", "s3://in/a b/put.csv", None)
    assert (job.content_type, job.accept, job.custom_attributes) == ("text/csv", "application/json", "a=b;c")
    assert (job.inference_id, job.inference_id_given, job.ttl_s, job.timeout_s) == ("my id, 1", True, 60, 3600)
    assert (job.output_location, job.failure_location) == (output, failure)
    assert abs(job.accepted_at - time.time()) < 60


def test_what_is_not_given_has_its_default(queued: Stage) -> None:
    response = queued.client().call(call(b"1,2,3"))
    _, _, [job] = told(queued.control)
    assert (job.input_location, job.body) == (None, b"1,2,3")
    assert (job.ttl_s, job.timeout_s, job.content_type, job.accept, job.trace) == (21_600, 900, None, None, None)
    assert re.fullmatch(UUID, job.id)
    assert response.document == {"InferenceId": job.inference_id}
    assert not job.inference_id_given


@pytest.mark.parametrize(
    ("headers", "output"),
    [
        ({"filename": "mine.json"}, "s3://out/answers/mine.json"),
        ({"filename": "mine", "S3OutputPathExtension": "2026/11"}, "s3://out/answers/2026/11/mine"),
        ({"filename": "mine", "S3OutputPathExtension": "/a/"}, "s3://out/answers/a/mine"),
        ({"S3OutputPathExtension": "a"}, f"s3://out/answers/a/{UUID}\\.out"),
    ],
    ids=["file", "both", "slashes", "extension"],
)
def test_the_caller_may_name_the_answer(queued: Stage, headers: dict[str, str], output: str) -> None:
    found = queued.client().call(call(**headers)).headers["x-amzn-sagemaker-outputlocation"]
    assert re.fullmatch(output, found)


TOO_LONG = (
    "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or "
    "equal to 128000"
)
FAILED = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must "


@pytest.mark.parametrize(
    ("request_bytes", "message"),
    [
        (call(inputlocation=""), "Either InputLocation or Body is required."),
        (
            call(b"x", inputlocation="s3://in/put"),
            "InputLocation and Body are mutually exclusive: the input is either in S3 or in the request.",
        ),
        (
            call(inputlocation="https://example.com/in/put"),
            "InputLocation https://example.com/in/put is not the location of an object in S3.",
        ),
        (call(inputlocation="s3://bucket"), "InputLocation s3://bucket is not the location of an object in S3."),
        (
            call(inputlocation="file:///etc/passwd"),
            FAILED.format("file:///etc/passwd", "inputLocation")
            + "satisfy regular expression pattern: ^(https|s3)://([^/]+)/?(.*)$",
        ),
        (
            call(requestttlseconds="59"),
            FAILED.format("59", "requestTTLSeconds") + "have value greater than or equal to 60",
        ),
        (
            call(requestttlseconds="21601"),
            FAILED.format("21601", "requestTTLSeconds") + "have value less than or equal to 21600",
        ),
        (
            call(invocationtimeoutseconds="4000"),
            FAILED.format("4000", "invocationTimeoutSeconds") + "have value less than or equal to 3600",
        ),
        (
            call(invocationtimeoutseconds="soon"),
            FAILED.format("soon", "invocationTimeoutSeconds") + "be a number",
        ),
        (call(inference_id="x" * 65), FAILED.format("x" * 65, "inferenceId") + "have length less than or equal to 64"),
        (
            call(b"x" * 128_001),
            TOO_LONG,
        ),
        (invocation(), "Endpoint ep has an AsyncInferenceConfig and is invoked by InvokeEndpointAsync only."),
        (
            invocation(api="invocations-response-stream"),
            "Endpoint ep has an AsyncInferenceConfig and is invoked by InvokeEndpointAsync only.",
        ),
    ],
    ids=[
        "no input", "two inputs", "elsewhere", "no key", "scheme", "short", "long", "slow", "word", "id", "large",
        "at once", "stream",
    ],
)  # fmt: skip
def test_refusals_are_validation_errors(queued: Stage, request_bytes: bytes, message: str) -> None:
    client = queued.client()
    response = client.call(request_bytes)
    assert (response.status, response.headers["x-amzn-errortype"]) == (400, "ValidationError")
    assert response.document == {"Message": message}
    assert client.call(call()).status == 202


def test_no_failure_path_means_no_failure_location(stage: Stage) -> None:
    control = stage.control
    stage.start()
    control.accept()
    control.publish(route(async_inference=AsyncRoute("u", "s3://out", None)))
    response = stage.client().call(call())
    assert "x-amzn-sagemaker-failurelocation" not in response.headers
    assert told(control)[2][0].failure_location is None


def test_a_stopped_endpoint_takes_none(queued: Stage) -> None:
    queued.control.publish(route(async_inference=QUEUE, status="OutOfService", version=(1, 2)))
    response = queued.client().call(call())
    assert response.status == 400
    assert response.document["Message"].startswith("Endpoint ep is OutOfService")


def test_an_endpoint_may_change_its_kind(queued: Stage) -> None:
    control, client = queued.control, queued.client()
    control.publish(route(version=(1, 2)))
    assert client.call(call()).status == 400
    assert client.call(invocation()).status == 503
    control.publish(route(async_inference=QUEUE, version=(1, 3)))
    assert client.call(invocation()).status == 400
    assert client.call(call()).status == 202


def test_what_control_has_is_removed_and_never_read_again(queued: Stage) -> None:
    control, client = queued.control, queued.client()
    segments = set()
    for number in range(1, 4):
        assert client.call(call()).status == 202
        segment, upto, _ = told(control)
        assert upto == number
        segments.add(segment)
        control.tell({"jobs_taken": {"segment": segment, "upto": upto}})
    assert len(segments) == 1
    assert [path.suffix for path in files(queued)] == [".open"]
    control.reported.get(timeout=5)  # the gateway has heard what came before it told this
    queued.terminate()
    assert queued.wait() == 0
    assert files(queued) == []


def test_what_control_does_not_acknowledge_stays_for_the_next(queued: Stage) -> None:
    control, client = queued.control, queued.client()
    accepted = []
    for _ in range(3):
        client.call(call())
        accepted += told(control)[2]
    control.hang_up()
    eventually(lambda: [path.suffix for path in files(queued)] == [".open"])
    control.accept()
    eventually(lambda: left_on_disk(queued) == accepted)
    assert client.call(call()).status == 202
    assert told(control)[1] == 1, "a new segment has begun"


def test_calls_are_accepted_while_control_is_away(queued: Stage) -> None:
    client = queued.client()
    queued.control.close()
    queued.paths.routes_socket.unlink()
    answers = [client.call(call(b"body %d" % number)) for number in range(20)]
    assert {answer.status for answer in answers} == {202}
    with contextlib.closing(FakeControl(queued.paths)) as control:
        control.accept()
        eventually(lambda: [job.body for job in left_on_disk(queued)] == [b"body %d" % number for number in range(20)])


def test_what_control_says_it_cannot_take_is_left_on_disk(queued: Stage) -> None:
    control, client = queued.control, queued.client()
    client.call(call())
    segment, upto, jobs = told(control)
    control.tell({"jobs_taken": {"segment": segment, "upto": upto, "left": True}})
    eventually(lambda: left_on_disk(queued) == jobs)


def test_a_control_that_is_frozen_gets_no_more_than_it_may_and_the_rest_from_disk(queued: Stage) -> None:
    control, client = queued.control, queued.client()
    body = b"x" * 120_000
    for _ in range(100):  # 16 MB of lines; 8 MiB may be outstanding
        assert client.call(call(body)).status == 202
    words = []
    while True:
        with contextlib.suppress(Exception):
            words.append(control.said.get(timeout=1)["jobs"])
            continue
        break
    assert 10 < sum(len(word["lines"]) for word in words) < 100
    for word in words:
        control.tell({"jobs_taken": {"segment": word["segment"], "upto": word["upto"]}})
    eventually(lambda: len(left_on_disk(queued)) == 100)


def test_nothing_accepted_is_lost_by_kill_9(queued: Stage) -> None:
    accepted: list[str] = []
    stop = threading.Event()

    def keep_calling() -> None:
        with contextlib.suppress(OSError, ValueError, Exception):
            client = queued.client()
            while not stop.is_set():
                response = client.call(call(b"x" * 1000))
                assert response.status == 202
                accepted.append(response.document["InferenceId"])

    threads = [threading.Thread(target=keep_calling) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(accepted) > 100)
    assert queued.process is not None
    queued.process.send_signal(signal.SIGKILL)
    queued.wait()
    stop.set()
    for thread in threads:
        thread.join(10)
    kept = [job.inference_id for job in left_on_disk(queued)]
    assert len(set(kept)) == len(kept)
    assert set(accepted) <= set(kept)


def test_a_disk_that_takes_no_more_is_told_and_nothing_half_is_kept(stage: Stage) -> None:
    control = stage.control
    stage.start()
    control.accept()
    control.publish(route(async_inference=QUEUE))
    client = stage.client()
    assert client.call(call(b"small")).status == 202
    assert stage.process is not None
    # A limit on file sizes stands in for a full disk: the write comes back short, then with an error.
    resource.prlimit(stage.process.pid, resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    refused: Response = client.call(call(b"x" * 100_000))
    assert (refused.status, refused.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
    assert refused.document["Message"].startswith("The request cannot be kept: ")
    assert client.call(call(b"small again")).status == 202
    resource.prlimit(stage.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert client.call(call(b"y" * 100_000)).status == 202
    stage.kill()
    assert [job.body for job in left_on_disk(stage)] == [b"small", b"small again", b"y" * 100_000]


def test_a_directory_that_is_gone_refuses_until_it_is_back(queued: Stage) -> None:
    client = queued.client()
    queued.paths.async_jobs.rmdir()
    assert client.call(call()).status == 503
    queued.paths.async_jobs.mkdir()
    assert client.call(call()).status == 202


def test_a_trace_goes_with_the_job(queued: Stage) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    lines = call().replace(b"Content-Length", f"traceparent: {parent}\r\nContent-Length".encode(), 1)
    queued.client().call(lines)
    assert told(queued.control)[2][0].trace == parent
    broken = call().replace(b"Content-Length", b"traceparent: 00-0-0-0\r\nContent-Length", 1)
    queued.client().call(broken)
    assert told(queued.control)[2][0].trace is None


def test_calls_come_through_boto3(queued: Stage) -> None:
    import boto3
    from botocore.exceptions import ClientError

    runtime: Any = boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{queued.port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    try:
        found = runtime.invoke_endpoint_async(EndpointName="ep", InputLocation="s3://in/put", InferenceId="one")
        assert found["InferenceId"] == "one"
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert found["OutputLocation"].startswith("s3://out/answers/")
        assert found["FailureLocation"].endswith("-error.out")
        assert runtime.invoke_endpoint_async(EndpointName="ep", Body=b"1,2")["InferenceId"]
        with pytest.raises(runtime.exceptions.ValidationError, match="invoked by InvokeEndpointAsync only"):
            runtime.invoke_endpoint(EndpointName="ep", Body=b"1,2")
        with pytest.raises(ClientError, match="Endpoint nope of account"):
            runtime.invoke_endpoint_async(EndpointName="nope", InputLocation="s3://in/put")
    finally:
        runtime.close()


def test_the_audit_log_has_them(stage: Stage) -> None:
    stage.environment["MOORING_AUDIT_LEVEL"] = "all"
    control = stage.control
    stage.start()
    control.accept()
    control.publish(route(async_inference=QUEUE))
    stage.client().call(call())
    stage.client().call(call(inputlocation=""))

    def lines() -> list[dict[str, Any]]:
        with contextlib.suppress(OSError):
            return [json.loads(line) for line in stage.paths.audit_log.read_text().splitlines()]
        return []

    eventually(lambda: len(lines()) == 2)
    assert [(each["operation"], each["status"]) for each in lines()] == [
        ("InvokeEndpointAsync", 202),
        ("InvokeEndpointAsync", 400),
    ]
