"""The control plane: calls a second beside moto's server, and whether they depend on how much there is.

    python bench/control.py [--rounds 5] [--seconds 2] [--connections 16]

Three servers at once, each loaded in turn within a round: a Mooring with 10 endpoint configs and one endpoint, one with
10,000 configs and 1,000 endpoints (both written into the store before it starts), and moto's server, which keeps
everything in memory and is fetched by `uv tool run`. All get the same requests, signed beforehand and sent over raw
sockets, so that the client costs little. A write of Mooring is answered when it is on the disk; how long this machine's
disk takes for that is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import boto3
from calling import REGION, Seen, load, signed
from candidates import ACCOUNT, Candidate, free_port, running
from figures import IMAGE, MOORING
from machine import described_machine

MOTO = "moto[server]==5.2.5"
VARIANT = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
SMALL, LARGE, OTHER = "mooring, 10 configs", "mooring, 10,000 configs", "moto"
READS = {
    "DescribeEndpoint": {"EndpointName": "e-0"},
    "DescribeEndpointConfig": {"EndpointConfigName": "c-0"},
    "ListEndpoints": {"MaxResults": 10},
}


@dataclass(frozen=True)
class Sample:
    """One kind of call to one server in one round."""

    seen: Seen
    cpu_us: float


async def seed(state: Path, configs: int, endpoints_: int) -> None:
    """Write a store with a model, so many configs, and endpoints in service that run nothing."""
    from mooring.hosting.config_rules import completed_config
    from mooring.hosting.endpoints import EndpointStatus
    from mooring.hosting.naming import Scope
    from mooring.hosting.resources import Resource
    from mooring.hosting.transitions import created
    from mooring.store import Connection, Store, endpoint_configs, endpoints, models

    scope, began = Scope(ACCOUNT, REGION), time.time() - 100_000
    model: dict[str, Any] = {"ModelName": "m", "PrimaryContainer": {"Image": IMAGE, "Mode": "SingleModel"}}

    def write(conn: Connection) -> None:
        models.insert(conn, Resource("model", scope, "m", model, began))
        for number in range(configs):
            document = completed_config({"EndpointConfigName": f"c-{number}", "ProductionVariants": [VARIANT]})
            config = Resource("endpoint-config", scope, f"c-{number}", document, began + number)
            endpoint_configs.insert(conn, config)
            if number < endpoints_:
                request = {"EndpointName": f"e-{number}", "EndpointConfigName": config.name}
                record = created(f"{number:032x}", scope, request, document, {"m": model}, began + number)
                idle = tuple(replace(variant, desired_count=0) for variant in record.variants)
                endpoints.insert(conn, replace(record, status=EndpointStatus.IN_SERVICE, variants=idle))

    store = await Store.open(state)
    await store.write(write)
    await store.close()


@contextlib.contextmanager
def mooring(name: str, configs: int, endpoints: int) -> Iterator[Candidate]:
    """A `mooring serve` over a store with so much in it."""
    data = Path(tempfile.mkdtemp(prefix="mooring-bench-"))
    port = free_port()
    environment = {**os.environ, "MOORING_ACCOUNT_ID": ACCOUNT}
    try:
        asyncio.run(seed(data / "state.db", configs, endpoints))
        command = [str(MOORING), "serve", "--port", str(port), "--data-dir", str(data), "--log-level", "error"]
        with running(command, port, env=environment, stdout=subprocess.DEVNULL) as process:
            while load(port, itertools.repeat(signed(port, "ListModels", "{}")), 0.1, 1).calls_per_s == 0:
                pass
            status = subprocess.run(
                [MOORING, "status", "--json", "--data-dir", data], capture_output=True, text=True, check=True
            )
            pids = tuple(each["pid"] for each in json.loads(status.stdout)["processes"])
            yield Candidate(name, port, (process.pid, *(pid for pid in pids if pid != process.pid)))
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def moto() -> Iterator[Candidate]:
    """moto's server with the same model, configs and an endpoint."""
    port = free_port()
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "tool", "run", "--quiet", "--python", sys.executable, "--from", MOTO, "moto_server"]
    subprocess.run([*command, "--help"], check=True, stdout=subprocess.DEVNULL)
    with running([*command, "-p", str(port)], port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        client = boto3.client(
            "sagemaker", endpoint_url=f"http://127.0.0.1:{port}", region_name=REGION,
            aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret",
        )  # fmt: skip
        role = f"arn:aws:iam::{ACCOUNT}:role/r"
        client.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=role)
        for number in range(10):
            client.create_endpoint_config(EndpointConfigName=f"c-{number}", ProductionVariants=[VARIANT])
        client.create_endpoint(EndpointName="e-0", EndpointConfigName="c-0")
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")  # each thread has its own
        below = tuple(int(pid) for children in tasks for pid in children.read_text().split())
        yield Candidate(OTHER, port, (process.pid, *below))


def creations(port: int, prefix: str, count: int) -> Iterator[bytes]:
    """CreateEndpointConfig under names that no other has."""
    bodies = (
        json.dumps({"EndpointConfigName": f"{prefix}-{number}", "ProductionVariants": [VARIANT]})
        for number in range(count)
    )
    return iter([signed(port, "CreateEndpointConfig", body) for body in bodies])


def measure(
    candidates: list[Candidate], rounds: int, seconds: float, connections: int, signed_ahead: int
) -> dict[str, dict[str, list[Sample]]]:
    """Samples by kind of call and server; the first round does not count."""
    samples: dict[str, dict[str, list[Sample]]] = {}
    for turn in range(rounds + 1):
        for operation in (*READS, "CreateEndpointConfig"):
            for candidate in candidates:
                port = candidate.port
                if operation in READS:
                    messages = itertools.repeat(signed(port, operation, json.dumps(READS[operation])))
                else:
                    messages = creations(port, f"w-{connections}-{turn}", signed_ahead)
                before, began = cpu_seconds(candidate), time.perf_counter()
                seen = load(port, messages, seconds, connections)
                calls = seen.calls_per_s * (time.perf_counter() - began)
                sample = Sample(seen, (cpu_seconds(candidate) - before) / calls * 1e6)
                if turn:
                    samples.setdefault(operation, {}).setdefault(candidate.name, []).append(sample)
    return samples


def table(samples: dict[str, dict[str, list[Sample]]]) -> str:
    """Medians over the rounds; the ratios are medians of the rounds' pairs, with the least and the most."""
    lines = [f"{'call, server':<48}{'calls/s':>9}{'p50 us':>9}{'p99 us':>9}{'CPU us':>8}   calls/s x moto"]
    for operation, servers in samples.items():
        for name, found in servers.items():
            middle = [
                statistics.median(values)
                for values in zip(*((*vars(each.seen).values(), each.cpu_us) for each in found), strict=True)
            ]
            line = f"{f'{operation}, {name}':<48}" + "{:>9.0f}{:>9.0f}{:>9.0f}{:>8.0f}".format(*middle)
            if OTHER in servers:
                line += "   " + spread([a.seen.calls_per_s / b.seen.calls_per_s
                                        for a, b in zip(found, servers[OTHER], strict=True)])  # fmt: skip
            lines.append(line)
    small, large = samples["DescribeEndpoint"][SMALL], samples["DescribeEndpoint"][LARGE]
    flat = spread([a.cpu_us / b.cpu_us for a, b in zip(large, small, strict=True)])
    slower = spread([a.seen.p50_us / b.seen.p50_us for a, b in zip(large, small, strict=True)])
    lines.append(f"DescribeEndpoint with 10,000 configs and 1,000 endpoints / with 10 and 1: p50 {slower}, CPU {flat}")
    return "\n".join(lines)


def cpu_seconds(candidate: Candidate) -> float:
    """CPU time of all its processes, in ticks; with that of threads that have ended, as moto makes many."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in candidate.pids)
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f} to {max(ratios):.2f}]"


def sync_us(samples: int = 200) -> float:
    """The median time in microseconds that fdatasync takes for 4 KiB that were appended."""
    with tempfile.NamedTemporaryFile(prefix="mooring-bench-") as file:
        times = []
        for _ in range(samples):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--connections", type=int, nargs="+", default=[16, 1])
    options.add_argument("--signed", type=int, default=6000, help="writes that are signed ahead, a server and round")
    chosen = options.parse_args()
    print(f"{described_machine()}; fdatasync of 4 KiB: {sync_us():.0f} us")
    with contextlib.ExitStack() as stack:
        candidates = [
            stack.enter_context(each) for each in (mooring(SMALL, 10, 1), mooring(LARGE, 10_000, 1_000), moto())
        ]
        for connections in chosen.connections:
            print(f"{connections} connections; {chosen.rounds} rounds of {chosen.seconds:g} s", flush=True)
            print(table(measure(candidates, chosen.rounds, chosen.seconds, connections, chosen.signed)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
