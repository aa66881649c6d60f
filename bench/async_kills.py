"""Asynchronous jobs that are lost, or answered twice, while processes are killed: both must be 0.

    python bench/async_kills.py [--jobs 20000] [--kills 50] [--workers 2] [--seed N] [--capture]

One `mooring serve` on a free loopback port with an asynchronous endpoint of two replicas, whose answers go to the
embedded store and whose notifications go to a topic of an SNS that this program plays and nobody kills. Clients that
never try again accept jobs, half with their input inline and half with it in S3. Meanwhile processes are killed with
SIGKILL: a gateway, control, a replica, the objects front, the supervisor, or all of them at once. The model answers
each call with something new, so that an output that was written twice differs from what was announced.

At the end, each job that was accepted must have one output, which is the one that its notifications tell of, and at
least one notification. With `--capture` its output must be in one record of data capture. Ends with an error otherwise.
More than one notification is counted, and is no error: whether SNS has taken one cannot be told when control dies
before its answer. Nor are records of answers that nobody got, as control died before it had kept them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

sys.path.insert(0, str(Path(__file__).parent))

from botocore.exceptions import BotoCoreError, ClientError
from figures import ROLE, create_model, described_machine
from killing import KINDS, Server

SCRIPT = b"""
import os, uuid
def model_fn(d): return None
def transform_fn(model, body, content_type, accept):
    return (body if isinstance(body, str) else body.decode()) + " " + uuid.uuid4().hex, "text/plain"
"""
ENDPOINT, BUCKET = "queued", "bench"
INPUTS = 100
TOPIC = "arn:aws:sns:us-east-1:000000000000:done"
DONE_WITHIN_S = 300.0
SHIPPED_WITHIN_S = 20.0
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": f"s3://{BUCKET}/captured",
    "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/plain"]},
}


class Topic:
    """An SNS of one topic that keeps what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """By InferenceId."""
        topic = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                message = json.loads(fields["Message"][0])
                if "inferenceId" in message:
                    topic.told[message["inferenceId"]].append(message)
                answer = (
                    b'<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m'
                    b"</MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
                    b"</PublishResponse>"
                )
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A control that is killed leaves a broken connection."""

        self.server = Listening(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, name="topic", daemon=True).start()


class Client(threading.Thread):
    """Accepts jobs, each under an InferenceId of its own and once only."""

    def __init__(self, at: Server, number: int, ended: threading.Event, pause_s: float) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.accepted: dict[str, str] = {}
        """OutputLocation by InferenceId."""
        self.failures: Counter[str] = Counter()
        self._runtime = at.impatient_client("sagemaker-runtime")
        self._number, self._ended, self._pause_s = number, ended, pause_s

    def run(self) -> None:
        turn = 0
        while not self._ended.is_set():
            turn += 1
            inference_id = f"{self._number}-{turn}"
            where: dict[str, Any] = (
                {"Body": f"inline {inference_id}".encode()}
                if turn % 2
                else {"InputLocation": f"s3://{BUCKET}/in/{turn % INPUTS}"}
            )
            try:
                answer = self._runtime.invoke_endpoint_async(
                    EndpointName=ENDPOINT, InferenceId=inference_id, ContentType="text/plain", **where
                )
            except (BotoCoreError, ClientError) as error:
                self.failures[type(error).__name__] += 1
                time.sleep(0.05)
                continue
            self.accepted[inference_id] = answer["OutputLocation"]
            time.sleep(self._pause_s)


def deploy(at: Server, *, capture: bool) -> None:
    s3 = at.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for number in range(INPUTS):
        s3.put_object(Bucket=BUCKET, Key=f"in/{number}", Body=f"object {number}".encode(), ContentType="text/plain")
    create_model(at, "model", {"code/inference.py": SCRIPT})
    sagemaker = at.client("sagemaker")
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[
            {"VariantName": "all", "ModelName": "model", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large"}
        ],
        ExecutionRoleArn=ROLE,
        **({"DataCaptureConfig": CAPTURE} if capture else {}),
        AsyncInferenceConfig={
            "OutputConfig": {
                "S3OutputPath": f"s3://{BUCKET}/out",
                "S3FailurePath": f"s3://{BUCKET}/failed",
                "NotificationConfig": {
                    "SuccessTopic": TOPIC,
                    "ErrorTopic": TOPIC,
                    "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
                },
            }
        },
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )


def kill_again_and_again(at: Server, clients: list[Client], chosen: argparse.Namespace) -> Counter[str]:
    """Until there are as many jobs and kills as wanted; returns how many kills of which kind."""
    done: Counter[str] = Counter()
    heard = time.monotonic()
    before = 0
    while sum(done.values()) < chosen.kills or before < chosen.jobs:
        now = sum(len(client.accepted) for client in clients)
        if now > before:
            before, heard = now, time.monotonic()
        elif time.monotonic() - heard > DONE_WITHIN_S:
            raise SystemExit(f"no job was accepted for {DONE_WITHIN_S} s: {at.log.read_text()[-2000:]}")
        due = chosen.jobs * (sum(done.values()) + 1) / (chosen.kills + 1)
        if sum(done.values()) < chosen.kills and now >= due:
            kind = random.choice(KINDS)
            if at.kill(kind):
                done[kind] += 1
                print(f"  {now} accepted: {kind} killed", flush=True)
                if kind in ("supervisor", "everything"):
                    at.start_again(chosen.workers)
        time.sleep(0.02)
    return done


def wait_until_told(topic: Topic, accepted: dict[str, str], at: Server) -> None:
    """Until each job has been told of, or nothing has been for a long time: then what lacks is lost."""
    heard, before = time.monotonic(), -1
    while (now := sum(each in topic.told for each in accepted)) < len(accepted):
        if now > before:
            before, heard = now, time.monotonic()
        elif time.monotonic() - heard > DONE_WITHIN_S / 2:
            print(f"  {len(accepted) - now} jobs were never told of: {at.log.read_text()[-1000:]}", flush=True)
            return
        time.sleep(0.2)


def objects(at: Server, prefix: str) -> list[str]:
    pages = at.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [each["Key"] for page in pages for each in page.get("Contents", [])]


def recorded(at: Server, outputs: dict[str, bytes]) -> dict[str, int]:
    """How many jobs have not one record of their output; more records than those are of answers that nobody got."""
    s3, seen = at.client("s3"), Counter[tuple[str, bytes]]()
    known: set[str] = set()
    heard = time.monotonic()
    while time.monotonic() - heard < SHIPPED_WITHIN_S:
        for key in set(objects(at, "captured/")) - known:
            known.add(key)
            heard = time.monotonic()
            for line in s3.get_object(Bucket=BUCKET, Key=key)["Body"].iter_lines():
                record = json.loads(line)
                output = record["captureData"]["endpointOutput"]["data"].encode()
                seen[record["eventMetadata"]["inferenceId"], output] += 1
        time.sleep(1)
    return {
        "records": seen.total(),
        "outputs without a record": sum(not seen[pair] for pair in outputs.items()),
        "records that are there twice": sum(times > 1 for times in seen.values()),
    }


def counted(at: Server, topic: Topic, accepted: dict[str, str], *, capture: bool) -> dict[str, int]:
    s3 = at.client("s3")
    outputs: dict[str, bytes] = {}
    lost = differing = failed = repeated = 0
    for inference_id, location in accepted.items():
        told = topic.told.get(inference_id, [])
        completed = [each for each in told if each["invocationStatus"] == "Completed"]
        failed += any(each["invocationStatus"] != "Completed" for each in told)
        repeated += len(told) > 1
        bucket, _, key = location.removeprefix("s3://").partition("/")
        try:
            output = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError:
            lost += not any(each["invocationStatus"] != "Completed" for each in told)
            continue
        outputs[inference_id] = output
        announced = {base64.b64decode(each["responseBody"]["content"]) for each in completed}
        lost += not told
        differing += bool(announced - {output}) or len(announced) > 1
    return {
        "outputs in S3": len(objects(at, "out/")),
        "jobs that failed (an answer of the model broke, or a replica died with it)": failed,
        "told more than once": repeated,
        "lost": lost,
        "answered twice": differing,
        **(recorded(at, outputs) if capture else {}),
    }


def measure(at: Server, topic: Topic, chosen: argparse.Namespace) -> dict[str, object]:
    deploy(at, capture=chosen.capture)
    ended = threading.Event()
    clients = [Client(at, number, ended, chosen.pause) for number in range(chosen.clients)]
    began = time.monotonic()
    for client in clients:
        client.start()
    try:
        kinds = kill_again_and_again(at, clients, chosen)
    finally:
        ended.set()
    for client in clients:
        client.join(timeout=70)
    accepted = {name: where for client in clients for name, where in client.accepted.items()}
    wait_until_told(topic, accepted, at)
    took = time.monotonic() - began
    failures = sum((client.failures for client in clients), Counter())
    return {
        "accepted": len(accepted),
        "not accepted": sum(failures.values()),
        "kills": ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
        "seconds": round(took),
        **counted(at, topic, accepted, capture=chosen.capture),
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--jobs", type=int, default=20_000)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--clients", type=int, default=4)
    options.add_argument("--pause", type=float, default=0.01, help="seconds between two jobs of a client")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--capture", action="store_true", help="with data capture")
    chosen = options.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1 << 32)
    random.seed(seed)
    print(f"{described_machine()}; seed {seed}", flush=True)
    topic = Topic()
    os.environ |= {"AWS_ACCESS_KEY_ID": "b", "AWS_SECRET_ACCESS_KEY": "b"}  # with which topics are told
    os.environ |= {"MOORING_CAPTURE_FLUSH_INTERVAL_S": "1", "MOORING_CAPTURE_DISK_LIMIT_PERCENT": "100"}
    os.environ |= {"MOORING_NEIGHBOURS_SNS_URL": topic.url, "MOORING_WORKERS": str(chosen.workers)}
    at = Server()
    try:
        found = measure(at, topic, chosen)
    finally:
        with contextlib.suppress(Exception):
            at.client("sagemaker").delete_endpoint(EndpointName=ENDPOINT)
        at.close()
    print("\n| figure | |\n| --- | --- |")
    for name, value in found.items():
        print(f"| {name} | {value} |")
    wrong = ("lost", "answered twice", "outputs without a record", "records that are there twice")
    return int(any(found.get(name) for name in wrong))


if __name__ == "__main__":
    sys.exit(main())
