"""Load makers: wrk where it is installed, else one of asyncio's streams, which is slower than what it measures."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from candidates import ENDPOINT, on_core

BODY = '{"instances": [{"features": [5.1, 3.5, 1.4, 0.2, 6.2, 2.9, 4.3, 1.3]}], "parameters": {"probabilities": true}}'
SIGNATURE = "a" * 64
HEADERS = {
    "Accept-Encoding": "identity",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux lang/python#3.11.7 md/pyimpl#CPython"
    " cfg/retry-mode#legacy",
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/sagemaker/aws4_request, "
    f"SignedHeaders=accept;content-type;host;x-amz-date, Signature={SIGNATURE}",
    "amz-sdk-invocation-id": "7f3c1f9e-6a51-4f0b-9a3e-0d9d9f3c2b11",
    "amz-sdk-request": "attempt=1",
}


@dataclass(frozen=True)
class Call:
    """The request that is sent over and over."""

    path: str
    headers: Mapping[str, str]
    body: str = BODY

    def message(self, port: int) -> bytes:
        """As bytes, for who writes to the socket itself."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        host = f"Host: 127.0.0.1:{port}\r\nContent-Length: {len(self.body)}\r\n"
        return f"POST {self.path} HTTP/1.1\r\n{host}{head}\r\n{self.body}".encode()


INVOCATION = Call(f"/endpoints/{ENDPOINT}/invocations", HEADERS)
"""As boto3 sends it to a gateway."""


@dataclass(frozen=True)
class Result:
    """What a load maker saw."""

    requests: int
    failures: int
    seconds: float
    p50_us: float
    p99_us: float


class Load(Protocol):
    """Sends the same request over and over."""

    name: str

    def run(self, port: int, seconds: int, connections: int) -> Result: ...


class Wrk:
    """wrk with one thread. It checks nothing by itself, so its script counts what is not 2xx."""

    name = "wrk"

    def __init__(self, directory: Path, call: Call) -> None:
        self._path = call.path
        self._script = directory / "post.lua"
        headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in call.headers.items())
        body = call.body.replace('"', '\\"')
        self._script.write_text(
            f'wrk.method = "POST"\nwrk.body = "{body}"\n{headers}\n'
            "done = function(summary, latency, requests)\n"
            "  local e = summary.errors\n"
            "  local bad = e.connect + e.read + e.write + e.status + e.timeout\n"
            '  io.write(string.format("result %d %d %d %d %d\\n", summary.requests, bad, summary.duration,'
            " latency:percentile(50), latency:percentile(99)))\nend\n"
        )

    def run(self, port: int, seconds: int, connections: int) -> Result:
        url = f"http://127.0.0.1:{port}{self._path}"
        command = [*on_core(1), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(self._script), url]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
        found = re.search(r"^result (\d+) (\d+) (\d+) (\d+) (\d+)$", shown, re.MULTILINE)
        if found is None:
            raise SystemExit(f"wrk did not run its script:\n{shown}")
        requests, failures, duration_us, p50, p99 = map(int, found.groups())
        return Result(requests, failures, duration_us / 1e6, p50, p99)


class OwnLoad:
    """A load maker without dependencies."""

    name = "own load maker (asyncio)"

    def __init__(self, call: Call) -> None:
        self._call = call

    def run(self, port: int, seconds: int, connections: int) -> Result:
        return asyncio.run(self._run(port, seconds, connections))

    async def _run(self, port: int, seconds: int, connections: int) -> Result:
        request = self._call.message(port)
        began = time.perf_counter()
        clients = [self._client(port, request, began + seconds) for _ in range(connections)]
        seen = await asyncio.gather(*clients)
        took = time.perf_counter() - began
        latencies = sorted(latency for ok, some in seen for latency in some)
        failures = len(latencies) - sum(ok for ok, _ in seen)
        p50, p99 = (latencies[int(len(latencies) * share)] * 1e6 for share in (0.5, 0.99))
        return Result(len(latencies), failures, took, p50, p99)

    @staticmethod
    async def _client(port: int, request: bytes, until: float) -> tuple[int, list[float]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        good, latencies = 0, []
        while (began := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            latencies.append(time.perf_counter() - began)
            good += head.startswith(b"HTTP/1.1 2")
        writer.close()
        return good, latencies


def best_load(directory: Path, call: Call) -> Load:
    """wrk where it is installed."""
    return Wrk(directory, call) if shutil.which("wrk") else OwnLoad(call)
