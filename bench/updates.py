"""Invocations that fail while an endpoint is updated: 20 updates of every kind under constant load.

    python bench/updates.py [--updates 20] [--threads 4]

One `mooring serve` on a free loopback port, one endpoint of three replicas that is invoked without pause by clients
that never try again. Kinds follow one another in turn: all at once, canary, linear, rolling, weights and capacities,
and one whose new model does not load, which is rolled back. Prints a row a kind; ends with an error if any invocation
failed.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parent))

from botocore.config import Config
from figures import NAMED, Server, create_model, server
from machine import described_machine

BREAKS = b"def model_fn(d): raise RuntimeError('this one never loads')\n"
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}
ROUTINGS: dict[str, dict[str, Any] | None] = {
    "all at once": None,
    "canary": {"Type": "CANARY", "CanarySize": HALF, "WaitIntervalInSeconds": 1},
    "linear": {"Type": "LINEAR", "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 1},
}
KINDS = (*ROUTINGS, "rolling", "weights and capacities", "rolled back")
COUNT = 3


class Load:
    """Threads that invoke an endpoint without pause and without trying again."""

    def __init__(self, at: Server, endpoint: str, threads: int) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._at, self._endpoint = at, endpoint
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._invoke, daemon=True) for _ in range(threads)]

    def _invoke(self) -> None:
        import boto3

        client = boto3.client(
            "sagemaker-runtime", endpoint_url=self._at.url, region_name="us-east-1", aws_access_key_id="b",
            aws_secret_access_key="b", config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        while not self._ended.is_set():
            try:
                client.invoke_endpoint(EndpointName=self._endpoint, ContentType="text/csv", Body=b"1,2")["Body"].read()
                self.answered += 1
            except Exception as error:  # noqa: BLE001 - what fails is what is counted
                self.failures.append(str(error))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def config(at: Server, name: str, model: str) -> str:
    at.client("sagemaker").create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {"VariantName": "all", "ModelName": model, "InitialInstanceCount": COUNT, "InstanceType": "ml.m5.large"}
        ],
    )
    return name


def update(at: Server, kind: str, number: int) -> float:
    """One update of that kind, until the endpoint is in service again; seconds."""
    sagemaker = at.client("sagemaker")
    began = time.perf_counter()
    if kind == "weights and capacities":
        wished = {"VariantName": "all", "DesiredWeight": float(number + 1), "DesiredInstanceCount": COUNT - number % 2}
        sagemaker.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=[wished])
    else:
        model = "broken" if kind == "rolled back" else "ab"[number % 2]
        sagemaker.update_endpoint(
            EndpointName="e", EndpointConfigName=config(at, f"c{number}", model), **deployment(kind)
        )
    while (found := sagemaker.describe_endpoint(EndpointName="e"))["EndpointStatus"] != "InService":
        if found["EndpointStatus"] not in ("Updating", "RollingBack"):
            raise SystemExit(f"{kind}: {found['EndpointStatus']}: {found.get('FailureReason')}")
        time.sleep(0.02)
    if kind != "weights and capacities":
        is_new = found["EndpointConfigName"] == f"c{number}"
        if is_new is (kind == "rolled back"):
            raise SystemExit(f"{kind}: ended on {found['EndpointConfigName']}: {found.get('FailureReason')}")
    return time.perf_counter() - began


def deployment(kind: str) -> dict[str, Any]:
    """The DeploymentConfig of a kind; none for the plain update."""
    if kind == "rolling":
        policy = {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0}
        return {"DeploymentConfig": {"RollingUpdatePolicy": policy}}
    routing = ROUTINGS.get(kind)
    if routing is None:
        return {}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}
    return {"DeploymentConfig": {"BlueGreenUpdatePolicy": policy}}


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--updates", type=int, default=20, help="of each kind")
    options.add_argument("--threads", type=int, default=4)
    chosen = options.parse_args()
    print(described_machine())
    took: dict[str, list[float]] = defaultdict(list)
    answered: dict[str, int] = defaultdict(int)
    failed: dict[str, list[str]] = defaultdict(list)
    numbers = itertools.count(1)
    with server() as at:
        at.client("s3").create_bucket(Bucket="bench")
        for name in "ab":
            create_model(at, name, {"code/inference.py": NAMED.format(name=name).encode()})
        create_model(at, "broken", {"code/inference.py": BREAKS})
        at.client("sagemaker").create_endpoint(EndpointName="e", EndpointConfigName=config(at, "c0", "a"))
        at.client("sagemaker").get_waiter("endpoint_in_service").wait(EndpointName="e")
        with Load(at, "e", chosen.threads) as load:
            for _ in range(chosen.updates):
                for kind in KINDS:
                    before, bad = load.answered, len(load.failures)
                    took[kind].append(update(at, kind, next(numbers)))
                    answered[kind] += load.answered - before
                    failed[kind] += load.failures[bad:]
    print("\n| kind of update | updates | s, median | most | invocations meanwhile | failed |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in KINDS:
        row = (kind, len(took[kind]), f"{statistics.median(took[kind]):.2f}", f"{max(took[kind]):.2f}", answered[kind])
        print("| " + " | ".join(map(str, (*row, len(failed[kind])))) + " |")
    for reason in sorted({reason for reasons in failed.values() for reason in reasons}):
        print(f"failed: {reason}", file=sys.stderr)
    return 1 if any(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
