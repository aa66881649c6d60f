"""What an unmodified client waits: create_endpoint until boto3's own waiter returns, for a model that loads in 1 s.

    python bench/clients.py [--rounds 5] [--endpoints 5]

Each round starts a `mooring serve` on a free loopback port with a data directory of its own. Its first endpoint also
waits for the import of the framework; the others find it warm. Prints one row a figure: median, least and most.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from figures import Server, create_model, server

LOADS_IN_1_S = b"""
import time
def model_fn(d): time.sleep(1)
def transform_fn(model, body, content_type, accept): return body, "text/plain"
"""


def waited(at: Server, endpoint: str) -> tuple[float, float]:
    """Seconds until `endpoint_in_service` returns, from the call of create_endpoint and from InService."""
    sagemaker = at.client("sagemaker")
    sagemaker.create_endpoint_config(
        EndpointConfigName=endpoint,
        ProductionVariants=[
            {"VariantName": "all", "ModelName": "slow", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        ],
    )
    waiter = sagemaker.get_waiter("endpoint_in_service")
    began = time.perf_counter()
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)
    waiter.wait(EndpointName=endpoint)
    took, now = time.perf_counter() - began, time.time()
    late = now - sagemaker.describe_endpoint(EndpointName=endpoint)["LastModifiedTime"].timestamp()
    sagemaker.delete_endpoint(EndpointName=endpoint)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint)
    return took, late


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--endpoints", type=int, default=5)
    chosen = options.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, "
          f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")  # fmt: skip
    first, warm = [], []
    for number in range(chosen.rounds):
        print(f"round {number + 1} of {chosen.rounds}", flush=True)
        with server() as at:
            at.client("s3").create_bucket(Bucket="bench")
            create_model(at, "slow", {"code/inference.py": LOADS_IN_1_S})
            first.append(waited(at, "first"))
            warm += [waited(at, f"warm{turn}") for turn in range(chosen.endpoints)]
    figures = {
        "create_endpoint -> waiter returns, first of its framework, s": [took for took, _ in first],
        "create_endpoint -> waiter returns, framework warm, s": [took for took, _ in warm],
        "InService -> waiter returns, ms": [late * 1000 for _, late in first + warm],
    }
    print("\n| figure | median | least | most |\n| --- | --- | --- | --- |")
    for name, values in figures.items():
        print(f"| {name} | {statistics.median(values):.3g} | {min(values):.3g} | {max(values):.3g} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
