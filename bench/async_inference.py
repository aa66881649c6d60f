"""Asynchronous inference: jobs a second beside Celery, how soon an idle queue calls the model, a backlog of a million.

    python bench/async_inference.py [--rounds 5] [--jobs 2000] [--sections throughput,idle,backlog]

`throughput`: one `mooring serve` with one gateway holds the objects and the model, which does nothing. In turn, round
by round, Mooring's queue and Celery (Redis with AOF everysec, acks_late, no result backend; installed into an
environment of its own) do the same work: read an input of S3, call the model on its Unix socket, write the output to
S3. All jobs are queued before the work begins, and the clock runs from the first output to the last, so neither is
timed while it starts, nor with the client that queues. Celery has as many processes as the model's endpoint has calls
at a time.

`idle`: from the answer 202 to the moment at which the model is called, with nothing else in the queue.

`backlog`: the same endpoint with a million jobs waiting, and with none: how fast jobs are accepted, memory, and how
long it takes to find the next jobs and claim them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from async_backlog import Seen, accepted_per_s, claim_ms, memory_mb, seed, uid_of
from figures import ROLE, create_model
from killing import Server
from machine import busy, commit, described_machine, versions

BUCKET, ENDPOINT = "bench", "queued"
CONCURRENCY = 4
INPUTS = 200
INPUT = b"1.5,2.5,3.5\n" * 80
SCRIPT = b"""
import time
def model_fn(d): return None
def transform_fn(model, body, content_type, accept): return repr(time.time()), "text/plain"
"""
ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mooring-bench"
CELERY = ("celery[redis]", "boto3")
DRAINED_WITHIN_S = 300.0


class Queue:
    """The asynchronous endpoint of a server; its instances are there or not."""

    def __init__(self, at: Server) -> None:
        self.at = at
        self._sagemaker, self._s3 = at.client("sagemaker"), at.client("s3")
        self._runtime = at.client("sagemaker-runtime")

    def deploy(self) -> None:
        """Objects, model and endpoint."""
        self._s3.create_bucket(Bucket=BUCKET)
        for number in range(INPUTS):
            self._s3.put_object(Bucket=BUCKET, Key=f"in/{number}", Body=INPUT, ContentType="text/csv")
        create_model(self.at, "noop", {"code/inference.py": SCRIPT})
        self._sagemaker.create_endpoint_config(
            EndpointConfigName=ENDPOINT,
            ExecutionRoleArn=ROLE,
            ProductionVariants=[
                {"VariantName": "all", "ModelName": "noop", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
            ],
            AsyncInferenceConfig={
                "OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
                "ClientConfig": {"MaxConcurrentInvocationsPerInstance": CONCURRENCY},
            },
        )
        self._sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
        self._wait()

    def instances(self, count: int) -> None:
        """So many from now on."""
        self._sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=ENDPOINT, DesiredWeightsAndCapacities=[{"VariantName": "all", "DesiredInstanceCount": count}]
        )
        self._wait()

    def _wait(self) -> None:
        waiter = self._sagemaker.get_waiter("endpoint_in_service")
        waiter.wait(EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 120})

    def accept(self, folder: str, number: int) -> str:
        """One job, whose output goes under `out/folder`; its key."""
        answer = self._runtime.invoke_endpoint_async(
            EndpointName=ENDPOINT, InputLocation=f"s3://{BUCKET}/in/{number % INPUTS}", S3OutputPathExtension=folder
        )
        return str(answer["OutputLocation"]).removeprefix(f"s3://{BUCKET}/")

    def accept_inline(self) -> str:
        answer = self._runtime.invoke_endpoint_async(EndpointName=ENDPOINT, Body=INPUT, ContentType="text/csv")
        return str(answer["OutputLocation"]).removeprefix(f"s3://{BUCKET}/")

    def outputs(self, prefix: str) -> int:
        """How many there are."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(len(page.get("Contents", ())) for page in pages)

    def first(self, prefix: str) -> bool:
        """Whether there is an output at all; cheap to ask."""
        return "Contents" in self._s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix, MaxKeys=1)

    def read(self, key: str) -> bytes | None:
        with contextlib.suppress(self._s3.exceptions.NoSuchKey):
            found: bytes = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            return found
        return None

    def model_socket(self) -> str:
        """Of its one replica."""
        (path,) = (self.at.data / "run" / "sockets").glob("i-*.sock")
        return str(path)


def drained_per_s(queue: Queue, prefix: str, jobs: int) -> float:
    """Jobs a second from the first output to the last."""
    until = time.monotonic() + DRAINED_WITHIN_S
    while not queue.first(prefix):
        if time.monotonic() > until:
            raise SystemExit(f"no output under {prefix}: {queue.at.log.read_text()[-2000:]}")
        time.sleep(0.005)
    began = time.perf_counter()
    pause = 0.5
    while (there := queue.outputs(prefix)) < jobs:
        if time.monotonic() > until:
            raise SystemExit(f"{there} of {jobs} outputs under {prefix}: {queue.at.log.read_text()[-2000:]}")
        # Listing costs the store something: look rarely, and often only at the end.
        rate = max(there, 1) / (time.perf_counter() - began)
        pause = min(max((jobs - there) / rate / 2, 0.02), 1.0)
        time.sleep(pause)
    return jobs / (time.perf_counter() - began)


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[str]:
    """A Redis that writes its log each second, as its documentation advises for queues."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec"]
    with (directory / "redis.log").open("wb") as sink:
        process = subprocess.Popen(["redis-server", "--port", str(port), *options], stdout=sink, stderr=sink)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


def celery_python() -> Path:
    """Of an environment with Celery in it, made at the first use."""
    environment = ENVIRONMENTS / "celery"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", environment], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *CELERY], check=True)
        (environment / "complete").touch()
    return python


class Celery:
    """Queues jobs for a worker that is started when all of them are there."""

    def __init__(self, queue: Queue, broker: str, directory: Path) -> None:
        self._python = celery_python()
        self._log = directory / "celery.log"
        self._environment = {
            **os.environ,
            "BENCH_BROKER": broker,
            "BENCH_S3": queue.at.url,
            "BENCH_MODEL": queue.model_socket(),
            "PYTHONPATH": str(Path(__file__).parent),
        }

    def accept(self, folder: str, jobs: int) -> None:
        program = (
            "from celery_jobs import infer\n"
            f"for number in range({jobs}):\n"
            f"    infer.delay(f'in/{{number % {INPUTS}}}', f'out/{folder}/{{number}}')\n"
        )
        subprocess.run([self._python, "-c", program], env=self._environment, check=True)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        command = [self._python, "-m", "celery", "-A", "celery_jobs", "worker", "--loglevel", "warning"]
        with self._log.open("ab") as sink:
            process = subprocess.Popen(
                [*command, "--concurrency", str(CONCURRENCY), "--without-gossip", "--without-mingle"],
                env=self._environment,
                stdout=sink,
                stderr=sink,
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def throughput(rounds: int, jobs: int) -> None:
    """Both in turn; the first round does not count."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as name, redis(Path(name)) as broker, serving() as queue:
        queue.deploy()
        for turn in range(rounds + 1):
            queue.instances(0)
            for number in range(jobs):
                queue.accept(f"mooring{turn}", number)
            queue.instances(1)
            mine = drained_per_s(queue, f"out/mooring{turn}/", jobs)
            celery = Celery(queue, broker, Path(name))
            celery.accept(f"celery{turn}", jobs)
            with celery.working():
                other = drained_per_s(queue, f"out/celery{turn}/", jobs)
            print(f"  round {turn}: {mine:.0f} jobs/s, Celery {other:.0f}", flush=True)
            if turn:
                ours.append(mine)
                theirs.append(other)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(f"\n{jobs} jobs a round, {rounds} rounds, {CONCURRENCY} calls at a time; inputs of {len(INPUT)} B\n")
    print("| | jobs/s, median (least to most) |\n| --- | --- |")
    print(f"| Mooring | {spread(ours)} |\n| Celery and Redis | {spread(theirs)} |")
    print(f"| Mooring x Celery, by rounds | {spread(ratios, 2)} |\n")


def idle(jobs: int) -> None:
    """The model says when it was called; the same machine's clock says when the answer was there."""
    rows = {}
    with serving() as queue:
        queue.deploy()
        for kind in ("inline", "in S3"):
            added = []
            for number in range(jobs + 10):
                key = queue.accept_inline() if kind == "inline" else queue.accept("idle", number)
                accepted = time.time()
                until = time.monotonic() + 30
                while (output := queue.read(key)) is None:
                    if time.monotonic() > until:
                        raise SystemExit(f"no output: {queue.at.log.read_text()[-2000:]}")
                    time.sleep(0.01)
                if number >= 10:
                    added.append((float(output) - accepted) * 1000)
            rows[kind] = sorted(added)
    print(
        f"\nIdle queue, {jobs} jobs one after the other; negative: the model was called before the client had its 202\n"
    )
    print("| input | ms from 202 to the model's call, median | p90 | most |\n| --- | --- | --- | --- |")
    for kind, added in rows.items():
        print(f"| {kind} | {statistics.median(added):.1f} | {added[int(len(added) * 0.9)]:.1f} | {added[-1]:.1f} |")
    print()


def backlog(jobs: int) -> None:
    """The endpoint has no instance, so that what waits stays."""
    rows = {}
    with serving() as queue:
        at = queue.at
        queue.deploy()
        queue.instances(0)
        uid = uid_of(at.data)
        for waiting in (0, jobs):
            at.stop()
            if waiting:
                seed(at.data, uid, waiting)
            at.start_again(1)
            accepted_per_s(at.port, ENDPOINT, 500)  # the first round does not count
            rates = [accepted_per_s(at.port, ENDPOINT) for _ in range(3)]
            pids = at.pids()
            control, gateway = (memory_mb(pids[kind][0]) for kind in ("control", "gateway"))
            at.stop()
            rows[waiting] = Seen(statistics.median(rates), control, gateway, claim_ms(at.data, uid))
        at.start_again(1)
    print("\n| jobs waiting | accepted/s | control MB | gateway MB | 4 jobs found and claimed, ms |")
    print("| --- | --- | --- | --- | --- |")
    for waiting, seen in rows.items():
        print(
            f"| {waiting:,} | {seen.accepted_per_s:.0f} | {seen.control_mb:.0f} | {seen.gateway_mb:.0f} "
            f"| {seen.found_and_claimed_ms:.2f} |"
        )
    empty, full = rows.values()
    beside = [b / a for a, b in zip(empty, full, strict=True)]
    print(f"| beside none | {beside[0]:.2f} | {beside[1]:.2f} | {beside[2]:.2f} | {beside[3]:.2f} |\n")


def spread(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


@contextlib.contextmanager
def serving() -> Iterator[Queue]:
    at = Server()
    try:
        yield Queue(at)
    finally:
        with contextlib.suppress(Exception):
            at.client("sagemaker").delete_endpoint(EndpointName=ENDPOINT)
        at.close()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--jobs", type=int, default=2000)
    options.add_argument("--idle-jobs", type=int, default=200)
    options.add_argument("--backlog", type=int, default=1_000_000)
    options.add_argument("--sections", default="throughput,idle,backlog")
    chosen = options.parse_args()
    print(
        f"{described_machine()}; {commit()}; {versions(['boto3', 'uvloop'], [['redis-server', '--version']])}; {busy()}"
    )
    os.environ["MOORING_WORKERS"] = "1"
    sections: dict[str, Any] = {
        "throughput": lambda: throughput(chosen.rounds, chosen.jobs),
        "idle": lambda: idle(chosen.idle_jobs),
        "backlog": lambda: backlog(chosen.backlog),
    }
    for name in chosen.sections.split(","):
        sections[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
