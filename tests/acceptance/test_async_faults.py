"""Asynchronous inference while things die: every job once, every answer kept, every end told."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.asynchronous import BUCKET, Asynchronous
from tests.acceptance.running import Deployment, Server, wait_until


@pytest.fixture
def jobs(own: Deployment) -> Asynchronous:
    return Asynchronous(own)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def inputs(jobs: Asynchronous, count: int, text: str = "job {}") -> list[str]:
    return [jobs.put(f"in/{number}", text.format(number).encode()) for number in range(count)]


@pytest.mark.timeout(180)
def test_control_is_killed_again_and_again(jobs: Asynchronous) -> None:
    topic, heard = jobs.topic("done")
    jobs.endpoint(output={"NotificationConfig": {"SuccessTopic": topic}}, concurrency=2, count=2)
    locations = inputs(jobs, 100, "sleep 0.05 job {}")
    answers = []
    kills = 0
    for number, location in enumerate(locations):
        answers.append(jobs.invoke(location))
        if number % 30 == 20:
            kill(jobs.own.server.process("control"))
            kills += 1
    while len(jobs.calls()) < len(locations) and kills < 6:
        time.sleep(random.uniform(0.2, 1.5))
        kill(jobs.own.server.process("control"))
        kills += 1
    for answer, location in zip(answers, locations, strict=True):
        number = location.rpartition("/")[2]
        assert jobs.result(answer, timeout=60)["echo"] == f"sleep 0.05 job {number}"
    # What a topic had not handed on yet goes with control's neighbours, so that a job was told shows here only.
    owed = "SELECT count(*), count(given_up_at) FROM outbox"
    wait_until(lambda: _rows(jobs, owed) == [(0, 0)], 30, what="every job to be told")
    last = jobs.invoke()
    assert heard.of(last["InferenceId"])["invocationStatus"] == "Completed"
    repeated = {text: times for text, times in Counter(jobs.calls()).items() if times > 1}
    assert sum(repeated.values()) <= 8 * kills, "only what was being called when control died is called again"


def _rows(jobs: Asynchronous, question: str) -> list[tuple[int, ...]]:
    with contextlib.closing(sqlite3.connect(jobs.own.server.data / "queue.db")) as database:
        return database.execute(question).fetchall()


def test_a_call_that_outlives_control_is_waited_for(jobs: Asynchronous) -> None:
    """The replica goes on with it, so another call of the same job would be a second model at work."""
    script = """
import os, time
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    with open({file!r}, "a") as file:
        file.write(f"begin {{time.monotonic()}}\\n")
    time.sleep(3)
    with open({file!r}, "a") as file:
        file.write(f"end {{time.monotonic()}}\\n")
    return "done"
def output_fn(data, accept):
    return data, "text/plain"
"""
    file = jobs.own.server.data.parent / "times.txt"
    jobs.endpoint(script=script.format(file=str(file)), count=2, Environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "2"})
    answer = jobs.invoke()
    wait_until(file.exists, what="the call")
    kill(jobs.own.server.process("control"))
    assert jobs.object(answer["OutputLocation"], timeout=30)["Body"] == b"done"
    words = [line.split() for line in file.read_text().splitlines()]
    assert [word for word, _ in words] == ["begin", "end", "begin", "end"]
    times = [float(at) for _, at in words]
    assert times == sorted(times)


def test_an_answer_that_is_on_disk_is_never_asked_for_again(jobs: Asynchronous) -> None:
    """S3 is away when the model has answered; then control dies."""
    jobs.endpoint()
    location = jobs.put("one", b"sleep 6" + b" " * 40_000)
    answer = jobs.invoke(location)
    jobs.wait_for_calls(1)
    server = jobs.own.server
    with server.frozen("objects"):
        wait_until(lambda: list((server.data / "async-spool").glob("*-*")), what="an answer in the spool")
        time.sleep(0.5)
        kill(server.process("control"))
        wait_until(lambda: server.command("status").returncode == 0, what="another control")
        time.sleep(1)
    assert jobs.result(answer, timeout=60)["echo"].strip() == "sleep 6"
    assert [each.strip() for each in jobs.calls()] == ["sleep 6"]
    wait_until(lambda: not list((server.data / "async-spool").iterdir()), what="an empty spool")


def test_s3_is_killed_while_jobs_finish(jobs: Asynchronous) -> None:
    jobs.endpoint()
    locations = inputs(jobs, 30, "sleep 0.1 job {}")
    answers = [jobs.invoke(each) for each in locations]
    for _ in range(3):
        kill(jobs.own.server.process("objects"))
        time.sleep(0.7)
    found = [jobs.result(answer, timeout=40)["echo"] for answer in answers]
    assert found == [f"sleep 0.1 job {number}" for number in range(30)]
    assert sorted(Counter(jobs.calls()).values()) == [1] * 30, "S3 alone is no reason to call a model again"


def test_nothing_is_written_of_what_was_cancelled_while_its_input_was_read(jobs: Asynchronous) -> None:
    server = jobs.own.server
    jobs.endpoint(concurrency=1)
    jobs.invoke(None, Body=b"sleep 8")
    jobs.wait_for_calls(1)
    with server.frozen("objects"):
        cancelled = jobs.invoke(f"s3://{BUCKET}/none", InferenceId="mine")
        time.sleep(1)
        said = server.command("async", "cancel", "jobs", "mine")
        assert said.returncode == 0, said.stderr
    jobs.result(jobs.invoke(), timeout=40)
    assert jobs.found(cancelled["FailureLocation"]) is None


@pytest.mark.timeout(120)
def test_replicas_are_killed_while_they_work(jobs: Asynchronous) -> None:
    jobs.endpoint(count=2, concurrency=2)
    locations = inputs(jobs, 40, "sleep 0.1 job {}")
    answers = [jobs.invoke(each) for each in locations]
    for calls in (5, 15, 25):
        jobs.wait_for_calls(calls)
        replicas = jobs.own.server.replicas("jobs")
        kill(random.choice([each["pid"] for each in replicas if each["pid"]]))
        time.sleep(0.5)
    found = [jobs.result(answer, timeout=60)["echo"] for answer in answers]
    assert found == [f"sleep 0.1 job {number}" for number in range(40)]


@pytest.mark.timeout(120)
def test_an_input_that_kills_every_replica_fails(jobs: Asynchronous) -> None:
    jobs.endpoint()
    answer = jobs.invoke(jobs.put("poison", b"die"))
    reason = json.loads(jobs.failure(answer, timeout=90)["Body"])["failureReason"]
    assert "The instance ended while it processed the request, 5 times" in reason
    assert jobs.calls() == ["die"] * 5


def test_a_topic_that_is_gone_holds_nothing_up(jobs: Asynchronous) -> None:
    topic, _ = jobs.topic("gone")
    jobs.endpoint(output={"NotificationConfig": {"SuccessTopic": topic}})
    jobs.own.server.client("sns").delete_topic(TopicArn=topic)
    answers = [jobs.invoke() for _ in range(20)]
    for answer in answers:
        jobs.result(answer)
    cloudwatch = jobs.own.server.client("cloudwatch")

    def failures() -> float:
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName="NotificationFailures",
            Dimensions=[{"Name": "EndpointName", "Value": "jobs"}, {"Name": "VariantName", "Value": "jobs"}],
            StartTime=time.time() - 600, EndTime=time.time() + 60, Period=60, Statistics=["Sum"],
        )  # fmt: skip
        return sum(point["Sum"] for point in found["Datapoints"])

    wait_until(lambda: failures() >= 20, what="failures to be counted")


def test_an_update_waits_for_the_calls_of_the_old_fleet(jobs: Asynchronous) -> None:
    jobs.endpoint()
    answer = jobs.invoke(jobs.put("long", b"sleep 4"))
    jobs.wait_for_calls(1)
    own = jobs.own
    own.config("jobs-2", own.variant("jobs"), **jobs.config())
    own.sagemaker.update_endpoint(EndpointName="jobs", EndpointConfigName="jobs-2")
    own.wait("jobs", timeout=40)
    assert jobs.result(answer)["echo"] == "sleep 4"
    assert jobs.result(jobs.invoke(jobs.put("later", b"later")))["pid"] != jobs.result(answer)["pid"]
    assert jobs.calls().count("sleep 4") == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data directory on 200 MiB of memory."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root mounts a disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.timeout(120)
def test_a_full_disk_makes_jobs_wait(small_disk: Path, make_server: Callable[..., Server]) -> None:
    """They are done when there is room: the spool is on the disk, and S3 is away so that it fills."""
    server = make_server("disk/data").start()
    jobs = Asynchronous(Deployment(server))
    script = """
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    return data
def output_fn(data, accept):
    return b"x" * 30_000_000, "application/octet-stream"
"""
    jobs.endpoint(script=script, concurrency=1)
    free = shutil.disk_usage(small_disk).free
    filler = small_disk / "filler"
    filler.write_bytes(bytes(free - 28_000_000))
    answer = jobs.invoke()
    time.sleep(3)
    assert jobs.found(answer["OutputLocation"]) is None
    assert jobs.found(answer["FailureLocation"]) is None
    filler.unlink()
    assert len(jobs.object(answer["OutputLocation"], timeout=40)["Body"]) == 30_000_000
    said = server.command("endpoints", "events", "jobs").stdout
    assert "No jobs of asynchronous endpoints are begun for now" in said
    assert "There is room for answers again" in said


def test_nothing_is_left_behind(jobs: Asynchronous) -> None:
    jobs.endpoint()
    answers = [jobs.invoke(f"s3://{BUCKET}/none") for _ in range(5)] + [jobs.invoke() for _ in range(5)]
    for answer in answers[:5]:
        jobs.failure(answer)
    for answer in answers[5:]:
        jobs.result(answer)
    wait_until(lambda: not list((jobs.own.server.data / "async-spool").iterdir()), what="an empty spool")
