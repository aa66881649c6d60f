"""Captured records that are lost, or there twice, while processes are killed under load: both must be 0.

    python bench/capture_kills.py [--invocations 100000] [--kills 20] [--workers 2] [--seed N]

One `mooring serve` on a free loopback port with an endpoint that captures everything to the embedded store. Clients
that never try again give each call an InferenceId of its own and remember those that were answered with 200 to the last
byte. Meanwhile processes are killed with SIGKILL: a gateway, control, the objects front, a replica, the supervisor, or
all of them at once. At last everything is killed and started again, and when nothing waits for S3 any more the records
there are counted: each answered call must have exactly one. Ends with an error otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from figures import create_model, described_machine
from killing import KINDS, Server

SCRIPT = b"""
def model_fn(d): return None
def transform_fn(model, body, content_type, accept): return str(len(body)), "text/csv"
"""
ENDPOINT, BUCKET = "captured", "bench"
SMALL, LARGE, LARGE_ONE_IN = 200, 300_000, 50
UP_WITHIN_S = 120.0


class Client(threading.Thread):
    """Calls over one connection at a time, never twice with the same InferenceId."""

    def __init__(self, port: int, number: int, ended: threading.Event) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.acknowledged: list[str] = []
        self.failures: Counter[str] = Counter()
        self._port, self._number, self._ended = port, number, ended
        self._connection: socket.socket | None = None

    def run(self) -> None:
        turn = 0
        while not self._ended.is_set():
            turn += 1
            inference_id = f"{self._number}-{turn}"
            body = b"1," * ((LARGE if turn % LARGE_ONE_IN == 0 else SMALL) // 2)
            try:
                status = self._call(inference_id, body)
            except OSError as error:
                self.failures[type(error).__name__] += 1
                self._hang_up()
                time.sleep(0.02)
                continue
            if status == 200:
                self.acknowledged.append(inference_id)
            else:
                self.failures[str(status)] += 1
                time.sleep(0.02)
        self._hang_up()

    def _call(self, inference_id: str, body: bytes) -> int:
        """The status of a whole answer. Raises OSError for anything less."""
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), 60)
        self._connection.sendall(
            f"POST /endpoints/{ENDPOINT}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
            f"X-Amzn-SageMaker-Inference-Id: {inference_id}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._more()
        head = answer[:end].lower()
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        while len(answer) < end + 4 + length:
            answer += self._more()
        if b"\r\nconnection: close" in head:
            self._hang_up()
        return int(head[9:12])

    def _more(self) -> bytes:
        assert self._connection is not None
        data = self._connection.recv(65536)
        if not data:
            raise ConnectionResetError
        return data

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def deploy(at: Server) -> None:
    at.client("s3").create_bucket(Bucket=BUCKET)
    create_model(at, "model", {"code/inference.py": SCRIPT})
    sagemaker = at.client("sagemaker")
    variant = {"VariantName": "all", "ModelName": "model", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[variant],
        DataCaptureConfig={
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        },
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )


def killed(at: Server, clients: list[Client], invocations: int, kills: int, workers: int) -> Counter[str]:
    """Let the clients have `invocations` answers, with `kills` kills in between; returns how many of which kind."""
    done: Counter[str] = Counter()

    def answered() -> int:
        return sum(len(client.acknowledged) for client in clients)

    for turn in range(kills + 1):
        before, until = answered(), time.monotonic() + UP_WITHIN_S
        # After each kill the same number again; at the end the rest.
        wanted = before + -(-invocations // (kills + 1)) if turn < kills else invocations
        while (now := answered()) < wanted:
            if now != before:
                before, until = now, time.monotonic() + UP_WITHIN_S
            if time.monotonic() > until:
                raise SystemExit(f"no call was answered for {UP_WITHIN_S} s: {at.log.read_text()[-2000:]}")
            time.sleep(0.01)
        if turn == kills:
            break
        time.sleep(random.random() / 2)
        kind = random.choice(KINDS)
        while not at.kill(kind):
            kind = random.choice(KINDS)
        done[kind] += 1
        print(f"  {now} answered: {kind} killed", flush=True)
        if kind in ("supervisor", "everything"):
            at.start_again(workers)
    return done


def wait_until_shipped(at: Server) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while any(path.suffix in (".open", ".sealed") for path in (at.data / "capture").glob("*/*")):
        if time.monotonic() > deadline:
            raise SystemExit(f"records still wait for S3: {at.log.read_text()[-2000:]}")
        time.sleep(0.2)


def records(at: Server) -> tuple[Counter[str], Counter[str], int]:
    """How often every InferenceId and every eventId is in S3, and in how many objects."""
    s3 = at.client("s3")
    by_call: Counter[str] = Counter()
    by_event: Counter[str] = Counter()
    objects = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"captured/{ENDPOINT}/all/"):
        for each in page.get("Contents", []):
            objects += 1
            for line in s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read().splitlines():
                metadata = json.loads(line)["eventMetadata"]
                by_call[metadata["inferenceId"]] += 1
                by_event[metadata["eventId"]] += 1
    return by_call, by_event, objects


def measure(at: Server, chosen: argparse.Namespace) -> dict[str, object]:
    deploy(at)
    ended = threading.Event()
    clients = [Client(at.port, number, ended) for number in range(chosen.clients)]
    began = time.monotonic()
    for client in clients:
        client.start()
    try:
        kinds = killed(at, clients, chosen.invocations, chosen.kills, chosen.workers)
    finally:
        ended.set()
    at.kill("everything")
    for client in clients:
        client.join(timeout=70)
    took = time.monotonic() - began
    at.start_again(chosen.workers)
    wait_until_shipped(at)
    by_call, by_event, objects = records(at)
    acknowledged = [each for client in clients for each in client.acknowledged]
    failures = sum((client.failures for client in clients), Counter())
    return {
        "answered": len(acknowledged),
        "failed": sum(failures.values()),
        "kills": ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none",
        "objects in S3": objects,
        "records of calls that were not answered": len(by_call.keys() - set(acknowledged)),
        "seconds": round(took),
        "lost": sum(each not in by_call for each in acknowledged),
        "twice": sum(count > 1 for count in by_call.values()) + sum(count > 1 for count in by_event.values()),
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--invocations", type=int, default=100_000)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--seed", type=int, default=None)
    chosen = options.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1 << 32)
    random.seed(seed)
    print(f"{described_machine()}; seed {seed}", flush=True)
    os.environ |= {
        "MOORING_CAPTURE_FLUSH_INTERVAL_S": "1",
        "MOORING_CAPTURE_DISK_LIMIT_PERCENT": "100",
        "MOORING_WORKERS": str(chosen.workers),
    }
    at = Server()
    try:
        found = measure(at, chosen)
    finally:
        with contextlib.suppress(Exception):
            at.client("sagemaker").delete_endpoint(EndpointName=ENDPOINT)
        at.close()
    print("\n| figure | |\n| --- | --- |")
    for name, value in found.items():
        print(f"| {name} | {value} |")
    return int(bool(found["lost"] or found["twice"]))


if __name__ == "__main__":
    sys.exit(main())
