"""Section `backlog` of `async_inference.py`: the same endpoint with a million jobs waiting, and with none.

The jobs are put into the queue's file while no server runs. How fast jobs are accepted is seen through the gateway,
with raw requests over many connections; memory is of control and of the gateway after that; the time to find the next
jobs and claim them is taken in this process, by the code that control runs.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import threading
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from mooring.clock import SystemClock
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Claim
from mooring.paths import Paths
from mooring.processes import identity
from mooring.store.queue import Queue

CONNECTIONS = 16
ACCEPTED = 8000
CLAIMED_AT_ONCE, CLAIMS = 4, 200
SEEDED_AT_ONCE = 1000


class Seen(NamedTuple):
    """Of one size of backlog."""

    accepted_per_s: float
    control_mb: float
    gateway_mb: float
    found_and_claimed_ms: float


def uid_of(data: Path) -> str:
    """Of the only endpoint, as its gateway has it."""
    (path,) = (data / "run" / "gateways" / "0" / "routes").glob("*.json")
    return str(json.loads(path.read_text())["async_inference"]["uid"])


def seed(data: Path, uid: str, count: int) -> None:
    """Have so many more jobs waiting. No server may run."""
    asyncio.run(_seed(data, uid, count))


async def _seed(data: Path, uid: str, count: int) -> None:
    queue = await Queue.open(Paths(data).queue_db, SystemClock())
    for begin in range(0, count, SEEDED_AT_ONCE):
        await queue.take_in([_job(uid) for _ in range(min(SEEDED_AT_ONCE, count - begin))])
    await queue.close()


def _job(uid: str) -> Job:
    name = str(uuid.uuid4())
    return Job(
        id=name,
        uid=uid,
        inference_id=name,
        input_location="s3://bench/in/1",
        body=None,
        output_location=f"s3://bench/out/{name}.out",
        failure_location=None,
        content_type="text/csv",
        accept=None,
        custom_attributes=None,
        ttl_s=21_600,
        timeout_s=900,
        accepted_at=time.time(),
        accepted_uptime=time.clock_gettime(time.CLOCK_BOOTTIME),
        boot_id=identity.boot_id(),
    )


def claim_ms(data: Path, uid: str) -> float:
    """The median time to find the next jobs and have them claimed durably. No server may run."""
    return asyncio.run(_claim_ms(data, uid))


async def _claim_ms(data: Path, uid: str) -> float:
    queue = await Queue.open(Paths(data).queue_db, SystemClock())
    took = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        found = await queue.waiting(uid, 0, CLAIMED_AT_ONCE)
        claimed = await queue.claim([Claim(each.job.id, "i-0", "nobody") for each in found])
        took.append((time.perf_counter() - began) * 1000)
        if len(claimed) != CLAIMED_AT_ONCE:
            raise SystemExit(f"{len(claimed)} jobs were claimed")
    await queue.close()
    return statistics.median(took)


def accepted_per_s(port: int, endpoint: str, count: int = ACCEPTED) -> float:
    """Jobs a second through the gateway, over many connections."""
    request = (
        f"POST /endpoints/{endpoint}/async-invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n"
        "X-Amzn-SageMaker-Content-Type: text/csv\r\nX-Amzn-SageMaker-InputLocation: s3://bench/in/1\r\n\r\n"
    ).encode()
    left = iter(range(count))
    lock = threading.Lock()

    def client() -> None:
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                connection.sendall(request)
                answer = connection.recv(65536)
                if not answer.startswith(b"HTTP/1.1 202"):
                    raise SystemExit(f"a job was not accepted: {answer[:300]!r}")

    threads = [threading.Thread(target=client) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - began)


def memory_mb(pid: int) -> float:
    """Of the process alone: what it shares with others counts in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} is gone")
