"""What log groups tell of the jobs of asynchronous endpoints: a `data-log` beside each instance's own stream."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.asynchronous import BUCKET, COUNTING, Asynchronous
from tests.acceptance.running import Deployment, Server, wait_until

GROUP = "/aws/sagemaker/Endpoints/"
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}):\[sagemaker logs\] \[(.*?)\] (.*)")
FAILING = COUNTING.replace(
    'if text == "die":', 'if text == "fail":\n        raise ValueError("no")\n    if text == "die":'
)
CHUNKED = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\\r\\nabc\\r\\n0\\r\\n\\r\\n")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asynchronous]:
    directory = tmp_path_factory.mktemp("logs")
    (directory / "chunked.py").write_text(CHUNKED)
    command = [sys.executable, str(directory / "chunked.py"), "{port}"]
    (directory / "commands.json").write_text(json.dumps({"*/chunked:*": command}))
    server = Server(directory / "data", MOORING_IMAGES_COMMANDS=str(directory / "commands.json"))
    try:
        shared = Asynchronous(Deployment(server.start()))
        shared.endpoint(script=FAILING.format(calls=str(shared.calls_file)))
        yield shared
    finally:
        server.end()


def streams(jobs: Asynchronous, endpoint: str = "jobs") -> list[str]:
    logs = jobs.own.server.client("logs", retries=3)
    found = logs.describe_log_streams(logGroupName=GROUP + endpoint)["logStreams"]
    return [each["logStreamName"] for each in found]


def told(jobs: Asynchronous, endpoint: str = "jobs") -> list[tuple[str, str, str]]:
    """Stream, inference id and text of every line of the data-logs."""
    logs = jobs.own.server.client("logs", retries=3)
    found = []
    for stream in streams(jobs, endpoint):
        if not stream.endswith("/data-log"):
            continue
        pages, token = [], None
        while True:
            asked = {} if token is None else {"nextToken": token}
            page = logs.get_log_events(logGroupName=GROUP + endpoint, logStreamName=stream, startFromHead=True, **asked)
            pages += page["events"]
            if page["nextForwardToken"] == token:
                break
            token = page["nextForwardToken"]
        for event in pages:
            line = LINE.fullmatch(event["message"])
            assert line is not None, event
            found.append((stream, line[2], line[3]))
    return found


def of(jobs: Asynchronous, inference_id: str, count: int = 1, endpoint: str = "jobs") -> list[tuple[str, str]]:
    """The lines about one job, once they are there."""
    found: list[tuple[str, str]] = []

    def is_told() -> bool:
        found[:] = [(stream, text) for stream, name, text in told(jobs, endpoint) if name == inference_id]
        return len(found) >= count

    wait_until(is_told, what=f"lines about {inference_id}")
    assert len(found) == count, found
    return found


def instance(jobs: Asynchronous, endpoint: str = "jobs") -> str:
    [replica] = jobs.own.server.replicas(endpoint)
    return f"{endpoint}/{replica['id']}"


def test_a_job_that_is_done(jobs: Asynchronous) -> None:
    before = time.time()
    answer = jobs.invoke(jobs.put("five", b"12345"), InferenceId="done")
    length = len(jobs.object(answer["OutputLocation"])["Body"])
    [(stream, text)] = of(jobs, "done")
    assert stream == f"{instance(jobs)}/data-log"
    said = re.fullmatch(
        rf"Completed: read 5 bytes from s3://{BUCKET}/five, the model answered 200 with {length} bytes in (\d+) ms,"
        rf" wrote {answer['OutputLocation']}; (\d+) ms since the call",
        text,
    )
    assert said is not None, text
    assert int(said[1]) <= int(said[2]) <= (time.time() - before) * 1e3 + 1000


def test_an_input_in_the_call(jobs: Asynchronous) -> None:
    jobs.invoke(None, Body=b"inline", InferenceId="inline")
    [(_, text)] = of(jobs, "inline")
    assert text.startswith("Completed: read 6 bytes from the body of the call, the model answered 200 with")


def test_jobs_that_fail_have_the_reason_of_their_notification(jobs: Asynchronous) -> None:
    topic, heard = jobs.topic("failed")
    jobs.endpoint("telling", script=FAILING.format(calls=str(jobs.calls_file)),
                  output={"NotificationConfig": {"ErrorTopic": topic}})  # fmt: skip
    for name, location in (("raises", jobs.put("bad", b"fail")), ("nothing", f"s3://{BUCKET}/no\N{LINE SEPARATOR}ne")):
        jobs.invoke(location, "telling", InferenceId=name)
        reason = heard.of(name)["failureReason"]
        [(stream, text)] = of(jobs, name, endpoint="telling")
        assert text == reason.replace("\N{LINE SEPARATOR}", " ")
        assert stream.endswith("/data-log")
    assert [stream for stream, _ in of(jobs, "raises", endpoint="telling")] == [f"{instance(jobs, 'telling')}/data-log"]


def test_hostile_names_stay_within_their_line(jobs: Asynchronous) -> None:
    for inference_id in ("\x1b[31mred", "\x85next", "a\x0bb", "\x9b2J", "tab\there", "x" * 65):
        with pytest.raises(ClientError, match="400|validation error"):
            jobs.invoke(InferenceId=inference_id)
    for inference_id in ("x" * 64, "] x [y"):
        jobs.object(jobs.invoke(InferenceId=inference_id)["OutputLocation"])
    # Keys of S3 may hold what steers a terminal or ends a line for some readers.
    for number, key in enumerate(("\x9b2J", "tab\there", "line\N{LINE SEPARATOR}end")):
        jobs.failure(jobs.invoke(f"s3://{BUCKET}/{key}", InferenceId=f"hostile-{number}"))
    for number, key in enumerate((" 2J", "tab here", "line end")):
        [(_, text)] = of(jobs, f"hostile-{number}")
        assert text.startswith(f"ClientError: Failed to download the input from s3://{BUCKET}/{key}: there is no such")
    found = told(jobs)
    assert [name for _, name, _ in found if name.startswith("x")] == ["x" * 64]
    shown = jobs.own.server.command("logs", "jobs").stdout
    about = [line for line in shown.splitlines() if "/data-log | " in line]
    assert all(LINE.search(line) and line.isprintable() for line in about)
    assert len(about) == len(found)


def test_an_answer_in_chunks_is_warned_of(jobs: Asynchronous) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/chunked:latest"
    jobs.endpoint("chunked", Image=image)
    answer = jobs.invoke(endpoint="chunked", InferenceId="chunks")
    assert jobs.object(answer["OutputLocation"])["Body"] == b"abc"
    (_, warning), (_, text) = of(jobs, "chunks", 2, "chunked")
    assert warning.startswith("The response from container primary did not specify the required Content-Length header")
    assert text.startswith("Completed: ")


@pytest.mark.timeout(120)
def test_a_job_that_expires_is_told_of_in_the_log_of_its_variant(jobs: Asynchronous) -> None:
    jobs.endpoint("late", concurrency=1, script=COUNTING.format(calls=str(jobs.calls_file)))
    blocking = jobs.invoke(jobs.put("block", b"sleep 62"), "late")
    wait_until(lambda: "sleep 62" in jobs.calls(), what="the call")
    jobs.invoke(endpoint="late", InferenceId="expires", RequestTTLSeconds=60)
    assert jobs.result(blocking, timeout=80)
    [(stream, text)] = of(jobs, "expires", endpoint="late")
    assert stream == "late/data-log"
    assert text == "ClientError: The request was not processed within 60 seconds (RequestTTLSeconds) and has expired."


@pytest.mark.timeout(120)
def test_no_kill_breaks_a_line_or_tells_it_twice(own: Deployment) -> None:
    jobs = Asynchronous(own)
    jobs.endpoint(concurrency=2, count=2)
    locations = [jobs.put(f"in/{number}", b"sleep 0.02") for number in range(60)]
    answers = []
    for number, location in enumerate(locations):
        answers.append(jobs.invoke(location))
        if number % 20 == 10:
            os.kill(own.server.process("control"), signal.SIGKILL)
    for answer in answers:
        jobs.object(answer["OutputLocation"], timeout=60)
    last = jobs.invoke()
    of(jobs, last["InferenceId"])
    found = told(jobs)
    counted = Counter(name for _, name, _ in found)
    ids = {answer["InferenceId"] for answer in answers}
    assert set(counted) <= ids | {last["InferenceId"]}
    assert set(counted.values()) == {1}
    known = {f"jobs/{replica['id']}/data-log" for replica in own.server.replicas("jobs")}
    assert {stream for stream, _, _ in found} <= known
    assert set(streams(jobs)) >= known


@pytest.mark.timeout(120)
def test_an_answer_of_before_is_told_of_where_it_was_given(own: Deployment) -> None:
    """S3 is away when the model has answered; then control dies, and another one ends the job."""
    jobs = Asynchronous(own)
    own.model("jobs", COUNTING.format(calls=str(jobs.calls_file)))
    variants = (own.variant("jobs", "Idle", InitialVariantWeight=0), own.variant("jobs", "Called"))
    own.config("jobs-config", *variants, **jobs.config())
    own.sagemaker.create_endpoint(EndpointName="jobs", EndpointConfigName="jobs-config")
    own.wait("jobs")
    answer = jobs.invoke(None, Body=b"sleep 6" + b" " * 40_000, InferenceId="before")
    jobs.wait_for_calls(1)
    with own.server.frozen("objects"):
        wait_until(lambda: list((own.server.data / "async-spool").glob("*-*")), what="an answer in the spool")
        time.sleep(0.5)
        os.kill(own.server.process("control"), signal.SIGKILL)
        wait_until(lambda: own.server.command("status").returncode == 0, what="another control")
    jobs.object(answer["OutputLocation"], timeout=60)
    [(stream, text)] = of(jobs, "before")
    [log] = own.server.data.glob("logs/*/Called/i-*.data-log.log")
    assert stream == f"Called/{log.name.partition('.')[0]}/data-log"
    assert text.startswith("Completed: read the body of the call, the model answered 200")
    assert len(jobs.calls()) == 1


def test_a_log_that_cannot_be_written_fails_no_job(make_server: Callable[..., Server], tmp_path: Path) -> None:
    jobs = Asynchronous(Deployment(make_server().start()))
    jobs.endpoint()
    [log] = jobs.own.server.data.glob("logs/*/jobs/i-*.log")
    place: Any = log.with_suffix(".data-log.log")
    os.mkfifo(place)
    for _ in range(3):
        assert jobs.result(jobs.invoke())["echo"] == "1,2,3"
    place.unlink()
    jobs.invoke(InferenceId="again")
    of(jobs, "again")
