"""Serverless variants: how fast one comes up, what many that sleep cost, and whether a limit is one.

    python bench/serverless.py [--colds 20] [--asleep 200] [--calls 500] [--concurrency 20]

One `mooring serve` on a free loopback port whose replicas sleep after a second without calls. Cold starts: an endpoint
with a forest of 100 trees is called over a kept connection each time that it has no replica; the model tells how long
`model_fn` alone took. Asleep: so many endpoints without a replica, and what the server's processes have of each (PSS).
Many at once: so many calls are sent at the same moment over connections that stand already, the first time without a
replica; the model tells when it began and ended with each, so that the most at a time is counted where it matters.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import joblib
from figures import Caller, Server, create_model, proportional_kb, server
from machine import described_machine
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

IDLE_S = "1"
MEMORY_MB = 2048
PATIENCE_S = 60.0
BATCH = 10
"""Endpoints that are created before one waits for them."""
PARTS = ("gateway 0", "control", "supervisor")
FOREST = b"""
import os, time, joblib
def model_fn(d):
    began = time.perf_counter()
    model = joblib.load(os.path.join(d, "model.joblib"))
    return model, time.perf_counter() - began
def transform_fn(model, body, content_type, accept):
    return str(model[1]), "text/plain"
"""
SLOW = b"""
import json, time
def model_fn(d): return 1
def transform_fn(model, body, content_type, accept):
    began = time.monotonic()
    time.sleep(0.05)
    return json.dumps([began, time.monotonic()]), "application/json"
"""


class Answered(NamedTuple):
    """What became of calls that were sent at once."""

    by_status: Counter[str]
    most: int
    took_s: float


def replicas(at: Server) -> int:
    return len(list((at.data / "run" / "replicas").glob("i-*")))


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {patience_s:g} s for {what}")
        time.sleep(0.02)


def create_endpoint(at: Server, name: str, model: str, concurrency: int) -> None:
    serverless = {"MemorySizeInMB": MEMORY_MB, "MaxConcurrency": concurrency}
    variant = {"VariantName": "all", "ModelName": model, "ServerlessConfig": serverless}
    sagemaker = at.client("sagemaker")
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def wait_in_service(at: Server, names: Sequence[str]) -> None:
    sagemaker = at.client("sagemaker")
    for name in names:
        found: dict[str, Any] = {}

        def up(name: str = name, found: dict[str, Any] = found) -> bool:
            found.update(sagemaker.describe_endpoint(EndpointName=name))
            return bool(found["EndpointStatus"] != "Creating")

        wait_until(up, f"{name} to be in service")
        if found["EndpointStatus"] != "InService":
            raise SystemExit(found.get("FailureReason"))


def cold_starts(at: Server, count: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of calls that found no replica, of `model_fn` in each, and of the call that follows."""
    create_endpoint(at, "cold", "forest", 1)
    wait_in_service(at, ["cold"])
    whole, own, warm = [], [], []
    for _ in range(count):
        wait_until(lambda: replicas(at) == 0, "the replica to go")
        time.sleep(0.5)  # whoever stopped it has nothing left to do
        caller = Caller(at.port, "cold")
        began = time.perf_counter()
        answer = caller.call()
        whole.append((time.perf_counter() - began) * 1000)
        own.append(float(answer.rpartition(b"\r\n\r\n")[2]) * 1000)
        began = time.perf_counter()
        caller.call()
        warm.append((time.perf_counter() - began) * 1000)
        caller.close()
    return whole, own, warm


def memory_kb(at: Server) -> dict[str, int]:
    found = {each["name"]: proportional_kb(each["pid"]) for each in at.status()["processes"]}
    return {name: found[name] for name in PARTS}


def asleep(at: Server, count: int) -> tuple[int, int, dict[str, float]]:
    """Processes before and with `count` endpoints that have no replica, and what each costs in kB."""
    wait_until(lambda: replicas(at) == 0, "no replica")
    before, processes = memory_kb(at), len(at.status()["processes"])
    for first in range(0, count, BATCH):
        names = [f"asleep-{number}" for number in range(first, min(first + BATCH, count))]
        for name in names:
            create_endpoint(at, name, "forest", 5)
        wait_in_service(at, names)
    wait_until(lambda: replicas(at) == 0, "all to sleep")
    time.sleep(2.0)
    after = memory_kb(at)
    return processes, len(at.status()["processes"]), {name: (after[name] - before[name]) / count for name in PARTS}


def at_once(at: Server, endpoint: str, calls: int) -> Answered:
    """Send so many calls at the same moment, each over a connection of its own."""
    return asyncio.run(_at_once(at.port, endpoint, calls))


async def _at_once(port: int, endpoint: str, calls: int) -> Answered:
    request = (
        f"POST /endpoints/{endpoint}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
        f"Connection: close\r\nContent-Length: 1\r\n\r\n1"
    ).encode()
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(calls)]
    began = time.perf_counter()
    for _, writer in streams:
        writer.write(request)
    answers = await asyncio.gather(*(reader.read() for reader, _ in streams))
    took_s = time.perf_counter() - began
    for _, writer in streams:
        writer.close()
    return Answered(Counter(map(_status, answers)), _most(answers), took_s)


def _status(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12].decode()
    return (
        "answered" if status == "200" else "throttled" if b"Throttling" in head + body else f"{status}: {body[:80]!r}"
    )


def _most(answers: Sequence[bytes]) -> int:
    """The most calls that the models worked on at a time, by the models' own clocks, which are one."""
    spans = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers if answer[9:12] == b"200"]
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return max(itertools.accumulate((change for _, change in changes)), default=0)


def packed_forest() -> bytes:
    model = RandomForestClassifier(100, random_state=0).fit(*load_breast_cancer(return_X_y=True))
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


def measure(colds: int, sleepers: int, calls: int, concurrency: int) -> None:
    with server() as at:
        at.client("s3").create_bucket(Bucket="bench")
        create_model(at, "forest", {"model.joblib": packed_forest(), "code/inference.py": FOREST})
        create_model(at, "slow", {"code/inference.py": SLOW})
        print(f"limits by {at.status()['limits']['way']}, {MEMORY_MB} MB a replica\n")
        print("| cold start, ms | median | p90 | most |\n| --- | --- | --- | --- |")
        whole, own, warm = cold_starts(at, colds)
        rest = [each - load for each, load in zip(whole, own, strict=True)]
        rows = {"the first call, whole": whole, "of it `model_fn`": own, "all but that": rest, "the next call": warm}
        for name, values in rows.items():
            p90 = statistics.quantiles(values, n=10)[-1]
            print(f"| {name} | {statistics.median(values):.1f} | {p90:.1f} | {max(values):.1f} |", flush=True)
        if calls:
            create_endpoint(at, "many", "slow", concurrency)
            wait_in_service(at, ["many"])
            wait_until(lambda: replicas(at) == 0, "the replica to go")
            print(f"\n| {calls} calls at once, at most {concurrency} | became | most at the model | s |")
            print("| --- | --- | --- | --- |")
            for name in ("without a replica", "once more"):
                found = at_once(at, "many", calls)
                became = ", ".join(f"{count} {status}" for status, count in found.by_status.most_common())
                print(f"| {name} | {became} | {found.most} | {found.took_s:.2f} |", flush=True)
        if sleepers:
            before, after, each = asleep(at, sleepers)
            print(f"\n{sleepers} endpoints asleep: {after} processes (before: {before}); kB each: ", end="")
            print(", ".join(f"{name} {size:.1f}" for name, size in each.items()))


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--colds", type=int, default=20)
    options.add_argument("--asleep", type=int, default=200)
    options.add_argument("--calls", type=int, default=500)
    options.add_argument("--concurrency", type=int, default=20)
    chosen = options.parse_args()
    os.environ["MOORING_SERVERLESS_IDLE_S"] = IDLE_S
    for quota in ("ENDPOINTS", "CONCURRENCY"):
        os.environ[f"MOORING_QUOTAS_SERVERLESS_{quota}"] = str(10 * chosen.asleep + chosen.concurrency + 10)
    print(described_machine())
    measure(chosen.colds, chosen.asleep, chosen.calls, chosen.concurrency)
    return 0


if __name__ == "__main__":
    sys.exit(main())
