"""InvokeEndpointAsync through boto3 on a whole server: what was accepted is done, whoever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance.running import Deployment, Server, wait_until

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

    def listed(self, *flags: str) -> dict[str, Any]:
        """What `mooring async list` says."""
        told = self.server.command("async", "list", self.name, "--json", *flags)
        assert told.returncode == 0, told.stderr
        page: dict[str, Any] = json.loads(told.stdout)
        return page

    def jobs(self) -> int:
        """How many the queue knows."""
        count, after = 0, 0
        while after is not None:
            page = self.listed("--limit", "1000", "--after", str(after))
            count += len(page["invocations"])
            after = page["next"]
        return count

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


class Callers:
    """Threads that call, each an input of its own, and note what was accepted."""

    def __init__(self, queued: Queued, threads: int = 3) -> None:
        self.accepted: dict[str, str] = {}
        """The output location, by the input."""
        self.failures: list[Exception] = []
        self._stop = threading.Event()
        self._queued = queued
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(threads)]

    def _call(self, number: int) -> None:
        client = self._queued.server.client("sagemaker-runtime", connect_timeout=5, read_timeout=20)
        count = 0
        while not self._stop.is_set():
            body = f"{number}-{count}"
            count += 1
            try:
                found = client.invoke_endpoint_async(EndpointName=self._queued.name, Body=body.encode())
                self.accepted[body] = found["OutputLocation"]
            except (ClientError, BotoCoreError) as error:
                self.failures.append(error)
            time.sleep(0.01)  # no more than is done in the seconds of a test

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(10)
        return self

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.accepted) + count
        wait_until(lambda: len(self.accepted) >= wanted, what=f"more to be accepted; {self.failures[-2:]}")

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive(), "a call hangs"

    def all_is_done(self, *, once: bool = True) -> None:
        """Every input that was accepted is one job, was given to the model, and its answer is where it was said to be.

        What control is calling when it dies it has to call again: then the model may have had some `once` more.
        """
        prefix = f"s3://{self._queued.name}-data/"
        wanted = {location.removeprefix(prefix) for location in self.accepted.values()}
        wait_until(lambda: wanted <= self._queued.keys("out/"), timeout=40, what="the answers")
        calls = self._queued.called()
        assert set(self.accepted) <= set(calls)
        assert not once or len(set(calls)) == len(calls), "something was done twice"
        assert self._queued.jobs() == len(set(calls)), "a job was taken in twice"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_control_is_killed_and_no_caller_notices(queued: Queued) -> None:
    server = queued.server
    with Callers(queued) as callers:
        for _ in range(3):
            kill(server.process("control"))
            callers.wait_for_more(20)
    assert callers.failures == []
    callers.all_is_done(once=False)
    wait_until(lambda: len(list((server.data / "async-jobs").iterdir())) <= 2, what="segments to be read")


def test_gateways_are_killed_and_nothing_that_was_accepted_is_lost(queued: Queued) -> None:
    server = queued.server
    with Callers(queued) as callers:
        for _ in range(4):
            server.note_processes()
            kill(server.process("gateway 0"))
            callers.wait_for_more(20)
    callers.all_is_done()


def test_everything_is_killed_at_once(queued: Queued) -> None:
    server = queued.server
    with Callers(queued) as callers:
        server.kill_supervisor()
    server.start()
    queued.s3 = server.client("s3", retries=3)
    callers.all_is_done(once=False)


def test_accepting_goes_on_while_control_is_frozen(queued: Queued) -> None:
    with queued.server.frozen("control"), Callers(queued) as callers:
        callers.wait_for_more(50)
    assert callers.failures == []
    callers.all_is_done()


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


def test_a_full_disk_is_told_and_what_was_accepted_is_done(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """The segments are on a real disk of 4 MB that something else fills to the last byte."""
    server = make_server("disk")
    with small_disk(server.data / "async-jobs", 4) as disk:
        queued = Queued(Deployment(server.start()), tmp_path).create()
        runtime = queued.deployment.runtime
        accepted = [runtime.invoke_endpoint_async(EndpointName=queued.name, Body=b"before")["OutputLocation"]]
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
            while True:
                file.write(b"x" * 4096)
        with pytest.raises(ClientError, match="ServiceUnavailable.*The request cannot be kept: No space left"):
            runtime.invoke_endpoint_async(EndpointName=queued.name, Body=b"y" * 100_000)
        ballast.unlink()
        accepted.append(runtime.invoke_endpoint_async(EndpointName=queued.name, Body=b"after")["OutputLocation"])
        wait_until(lambda: all(queued.has(location) for location in accepted), what="the answers")
        assert len(queued.called()) == len(accepted)
        assert server.stop() == 0


def test_an_endpoint_without_instances_takes_calls_and_does_them_when_it_has_some(queued: Queued) -> None:
    deployment, name = queued.deployment, queued.name

    def scale(count: int) -> None:
        deployment.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": count}]
        )
        deployment.wait(name)

    scale(0)
    answers = [deployment.runtime.invoke_endpoint_async(EndpointName=name, Body=b"%d" % n) for n in range(5)]
    time.sleep(0.5)
    assert queued.called() == []
    listed = queued.listed()
    assert (listed["waiting"], listed["in_process"]) == (5, 0)
    scale(1)
    wait_until(lambda: all(queued.has(answer["OutputLocation"]) for answer in answers), what="the answers")


def test_deleting_an_endpoint_fails_what_waits_for_it(queued: Queued) -> None:
    deployment, name = queued.deployment, queued.name
    deployment.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": 0}]
    )
    deployment.wait(name)
    answers = [deployment.runtime.invoke_endpoint_async(EndpointName=name, Body=b"x") for _ in range(3)]
    deployment.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: all(queued.has(answer["FailureLocation"]) for answer in answers), what="the failures")
    listed = queued.listed("--region", "us-east-1")
    assert [each["status"] for each in listed["invocations"]] == ["Failed"] * 3
    with pytest.raises(ClientError, match=f"Endpoint {name} of account"):
        deployment.runtime.invoke_endpoint_async(EndpointName=name, Body=b"x")
    refused = queued.server.command("async", "retry", name, answers[0]["InferenceId"], "--region", "us-east-1")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "its endpoint is gone" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_commands(queued: Queued) -> None:
    deployment, name, server = queued.deployment, queued.name, queued.server
    runtime = deployment.runtime
    missing = runtime.invoke_endpoint_async(EndpointName=name, InputLocation="s3://queued-data/not there")
    given = runtime.invoke_endpoint_async(EndpointName=name, Body=b"1", InferenceId="mine [bold]")
    wait_until(lambda: queued.has(given["OutputLocation"]) and queued.has(missing["FailureLocation"]))

    def told(*arguments: str) -> Any:
        found = server.command("async", *arguments, "--json")
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    def status(identifier: str) -> str:
        return str(told("show", name, identifier)["invocations"][0]["status"])

    wait_until(lambda: (status(given["InferenceId"]), status(missing["InferenceId"])) == ("Completed", "Failed"))
    listed = told("list", name)
    assert [each["status"] for each in listed["invocations"]] == ["Failed", "Completed"]
    assert [each["inference_id"] for each in told("list", name, "--status", "failed")["invocations"]] == [
        missing["InferenceId"]
    ]
    first = told("list", name, "--limit", "1")
    rest = told("list", name, "--after", str(first["next"]))
    assert [each["status"] for each in rest["invocations"]] == ["Completed"]
    people = server.command("async", "list", name).stdout
    assert people.startswith(f"{name}: 0 waiting, 0 in process\n")
    assert "mine [bold]" in people

    queued.put("not there", b"2,3")
    assert told("retry", name, missing["InferenceId"])["status"] == "Waiting"
    wait_until(lambda: queued.has(missing["OutputLocation"]), what="the second try")
    shown = server.command("async", "show", name, missing["InferenceId"]).stdout
    assert "s3://queued-data/not there" in shown

    for arguments, sentence in (
        (("retry", name, given["InferenceId"]), "is Completed: only what is Failed or Expired can be tried again"),
        (("cancel", name, given["InferenceId"]), "is Completed: only what is Waiting can be cancelled"),
        (("show", name, "nobody's"), "has no invocation nobody's"),
        (
            ("list", name, "--status", "sleeping"),
            "Sleeping is no status of an asynchronous invocation: Waiting, Calling, ",
        ),
        (("list", "nope"), 'there is no endpoint "nope"'),
    ):
        refused = server.command("async", *arguments)
        assert refused.returncode == 1
        assert sentence in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_what_waits_can_be_cancelled(queued: Queued) -> None:
    deployment, name = queued.deployment, queued.name
    deployment.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": 0}]
    )
    deployment.wait(name)
    twice = [
        deployment.runtime.invoke_endpoint_async(EndpointName=name, Body=b"%d" % n, InferenceId="twice") for n in (1, 2)
    ]
    assert len(twice) == 2
    wait_until(lambda: queued.listed()["waiting"] == 2)
    refused = queued.server.command("async", "cancel", name, "twice")
    assert refused.returncode == 1
    several = re.search(
        r"Several invocations have the InferenceId twice. Name one by its id: (\S+), \S+", refused.stderr
    )
    assert several is not None
    cancelled = queued.server.command("async", "cancel", name, several[1])
    assert cancelled.stdout == f"{several[1]} is cancelled\n"
    deployment.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": 1}]
    )
    deployment.wait(name)
    wait_until(lambda: queued.called() != [], what="the other")
    time.sleep(0.5)
    assert len(queued.called()) == 1


def test_a_queue_outlives_its_server(queued: Queued) -> None:
    deployment, name, server = queued.deployment, queued.name, queued.server
    deployment.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": 0}]
    )
    deployment.wait(name)
    answers = [deployment.runtime.invoke_endpoint_async(EndpointName=name, Body=b"%d" % n) for n in range(3)]
    assert server.stop() == 0
    server.start()
    wait_until(lambda: queued.listed()["waiting"] == 3)
    server.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": 1}]
    )
    queued.s3 = server.client("s3", retries=3)
    wait_until(lambda: all(queued.has(answer["OutputLocation"]) for answer in answers), what="the answers")


def test_a_key_may_call_only_what_its_policy_allows(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server("keys", MOORING_ACCESS_MODE="keys").start()
    made = json.loads(server.command("keys", "create", "--json").stdout)
    server.key = (made["access_key_id"], made["secret_access_key"])
    queued = Queued(Deployment(server), tmp_path).create()
    policy = tmp_path / "policy.json"
    statement = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": "*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    limited = json.loads(server.command("keys", "create", "--policy", str(policy), "--json").stdout)
    stranger = server.client("sagemaker-runtime", key=(limited["access_key_id"], limited["secret_access_key"]))
    with pytest.raises(ClientError, match="not authorized to perform: sagemaker:InvokeEndpointAsync"):
        stranger.invoke_endpoint_async(EndpointName=queued.name, Body=b"x")
    answer = queued.deployment.runtime.invoke_endpoint_async(EndpointName=queued.name, Body=b"x")
    wait_until(lambda: queued.has(answer["OutputLocation"]), what="the answer")
