"""The figures of the whole product: starting, deploying, memory, weights, and uploads beside invocations.

    python bench/figures.py [--rounds 5] [--upload-bytes 1000000000]

Starts a real `mooring serve` on a free loopback port with a data directory of its own, once a round, and drives it with
boto3 (deployments) and raw sockets (timed calls, uploads), so that the client costs little. Prints one row a figure:
median, least and most over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent))

from machine import described_machine

MOORING = Path(sys.executable).with_name("mooring")
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ROLE = "arn:aws:iam::000000000000:role/bench"
SCRIPT = "import os, joblib\ndef model_fn(d): return joblib.load(os.path.join(d, 'model.joblib'))\n"
NAMED = """
def model_fn(d): return "{name}"
def transform_fn(model, body, content_type, accept): return model, "text/plain"
"""
SAMPLES = 3000
SAMPLES_DURING = 15_000
"""Some seconds: long enough for gigabytes to move."""
UPLOADS = 4


class Server:
    """One `mooring serve` of this bench's own."""

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="mooring-bench-"))
        began = time.perf_counter()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = self.data / "log"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                [MOORING, "serve", "--port", str(self.port), "--data-dir", self.data, "--log-level", "warning"],
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            self.first_answer_s = self._first_answer(began)
        except BaseException:
            self.close()
            raise

    def _first_answer(self, began: float) -> float:
        request = (
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: SageMaker.ListModels\r\nConnection: close\r\n"
            b"Content-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\n\r\n{}"
        )
        while time.perf_counter() - began < 30:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(request)
                if connection.recv(65536).startswith(b"HTTP/1.1 200"):
                    return time.perf_counter() - began
            time.sleep(0.002)
        raise SystemExit(f"no answer: {self.log.read_text()}")

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="b", aws_secret_access_key="b"
        )

    def status(self) -> dict[str, Any]:
        done = subprocess.run(
            [MOORING, "status", "--json", "--data-dir", self.data], capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            shutil.rmtree(self.data, ignore_errors=True)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    running = Server()
    try:
        yield running
    finally:
        running.close()


class Caller:
    """Calls an endpoint over one kept connection."""

    def __init__(self, port: int, endpoint: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = (
            f"POST /endpoints/{endpoint}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
            f"Content-Length: 3\r\n\r\n1,2"
        ).encode()

    def call(self) -> bytes:
        """The response, which is small enough to arrive at once. Raises for another status than 200."""
        self._socket.sendall(self._request)
        answer = self._socket.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"an invocation failed: {answer!r}")
        return answer

    def p50_us(self, samples: int) -> float:
        times = []
        for _ in range(samples):
            began = time.perf_counter()
            self.call()
            times.append(time.perf_counter() - began)
        return statistics.median(times) * 1e6

    def close(self) -> None:
        self._socket.close()


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def create_model(at: Server, name: str, files: dict[str, bytes]) -> None:
    at.client("s3").put_object(Bucket="bench", Key=name, Body=packed(files))
    at.client("sagemaker").create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://bench/{name}"}
    )


def deploy(at: Server, endpoint: str, models: list[str], instances: int = 1) -> float:
    """Seconds from create_endpoint's call to InService, as polled every 2 ms."""
    sagemaker = at.client("sagemaker")
    sagemaker.create_endpoint_config(
        EndpointConfigName=endpoint,
        ProductionVariants=[
            {"VariantName": model, "ModelName": model, "InitialInstanceCount": instances, "InstanceType": "ml.m5.large"}
            for model in models
        ],
    )
    sagemaker.list_models()  # the client's connection is warm
    began = time.perf_counter()
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)
    while (found := sagemaker.describe_endpoint(EndpointName=endpoint))["EndpointStatus"] == "Creating":
        time.sleep(0.002)
    if found["EndpointStatus"] != "InService":
        raise SystemExit(found["FailureReason"])
    return time.perf_counter() - began


def proportional_kb(pid: int) -> int:
    """PSS of a process in kB: shared pages are divided among who shares them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise SystemExit(f"no PSS of {pid}")


def memory_mb(at: Server) -> tuple[float, float, str]:
    """PSS of supervisor, control and gateway; of everything; and the parts in words."""
    parts = {each["name"]: proportional_kb(each["pid"]) / 1024 for each in at.status()["processes"]}
    core = sum(parts[name] for name in ("supervisor", "control", "gateway 0"))
    return core, sum(parts.values()), ", ".join(f"{name} {size:.0f}" for name, size in parts.items())


def weights_latency_ms(at: Server) -> float:
    """From the call that moves all weight to the other variant, until the other one answers."""
    create_model(at, "a", {"code/inference.py": NAMED.format(name="a").encode()})
    create_model(at, "b", {"code/inference.py": NAMED.format(name="b").encode()})
    deploy(at, "two", ["a", "b"])
    sagemaker, caller = at.client("sagemaker"), Caller(at.port, "two")
    times = []
    for turn in range(10):
        target = "ab"[turn % 2]
        began = time.perf_counter()
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="two",
            DesiredWeightsAndCapacities=[
                {"VariantName": name, "DesiredWeight": float(name == target)} for name in "ab"
            ],
        )
        while not caller.call().endswith(target.encode()):
            pass
        times.append((time.perf_counter() - began) * 1000)
        while sagemaker.describe_endpoint(EndpointName="two")["EndpointStatus"] != "InService":
            time.sleep(0.002)
        if any(not caller.call().endswith(target.encode()) for _ in range(20)):
            raise SystemExit("traffic went to a variant of weight 0")
    caller.close()
    return statistics.median(times[1:])


@contextlib.contextmanager
def uploads(at: Server, size: int, moved: list[float]) -> Iterator[None]:
    """Uploads going on, proven by their bytes; their sum in MB/s is appended to `moved`."""
    script = Path(__file__).with_name("uploader.py")
    command = [sys.executable, str(script), str(at.port), str(UPLOADS), str(size)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        before = int(process.stdout.readline())
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        process.stdin.close()
        sent, _, failure = process.stdout.readline().strip().partition(" ")
        if failure:
            raise SystemExit(f"an upload failed: {failure}")
        moved.append((int(sent) - before) / took / 1e6)
    finally:
        process.kill()
        process.wait()


def during_uploads(at: Server, size: int) -> tuple[float, float, float]:
    """p50 in microseconds of a small invocation, alone and during uploads by turns, and the MB/s of those."""
    caller = Caller(at.port, "warm")
    caller.p50_us(300)
    alone, beside, moved = [], [], list[float]()
    for _ in range(3):
        alone.append(caller.p50_us(SAMPLES))
        with uploads(at, size, moved):
            beside.append(caller.p50_us(SAMPLES_DURING))
        time.sleep(1.0)
    caller.close()
    return statistics.median(alone), statistics.median(beside), statistics.median(moved)


def measure(size: int) -> dict[str, float]:
    """One round of every figure."""
    found: dict[str, float] = {}
    with server() as at:
        found["mooring serve -> first API answer, s"] = at.first_answer_s
        time.sleep(1.0)
        core, whole, parts = memory_mb(at)
        found["PSS idle: supervisor, control, one gateway, MB"] = core
        found["PSS idle: the whole tree, MB"] = whole
        print(f"  idle, MB: {parts}", flush=True)
        at.client("s3").create_bucket(Bucket="bench")
        model = LogisticRegression(max_iter=5000).fit(*load_breast_cancer(return_X_y=True))
        buffer = io.BytesIO()
        joblib.dump(model, buffer)
        files = {"model.joblib": buffer.getvalue(), "code/inference.py": SCRIPT.encode()}
        create_model(at, "first", files)
        found["create_endpoint -> InService, first of its framework, s"] = deploy(at, "cold", ["first"])
        found["create_endpoint -> InService, framework warm, s"] = statistics.median(
            deploy(at, f"warm{turn}", ["first"]) for turn in range(3)
        )
        found["weights update -> traffic follows, ms"] = weights_latency_ms(at)
        create_model(at, "small", {"code/inference.py": NAMED.format(name="x").encode()})
        deploy(at, "warm", ["small"])
        alone, beside, moved = during_uploads(at, size)
        found["p50 of a small invocation, us"] = alone
        found[f"p50 during {UPLOADS} uploads of {size / 1e9:g} GB, us"] = beside
        found["p50 during uploads / alone"] = beside / alone
        found["those uploads together, MB/s"] = moved
    return found


def print_table(rounds: list[dict[str, float]]) -> None:
    """One row a figure: median, least and most over the rounds."""
    print("\n| figure | median | least | most |\n| --- | --- | --- | --- |")
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"| {name} | {statistics.median(values):.3g} | {min(values):.3g} | {max(values):.3g} |")


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--upload-bytes", type=int, default=1_000_000_000)
    chosen = options.parse_args()
    print(described_machine())
    rounds = []
    for number in range(chosen.rounds):
        print(f"round {number + 1} of {chosen.rounds}", flush=True)
        rounds.append(measure(chosen.upload_bytes))
    print_table(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
