"""Load makers: wrk where it is installed, else one of asyncio's streams, which is slower than what it measures.

Both count what is not 2xx, and tell how many bytes an answer had: wrk goes on without a word when its script does not
parse, and a wrong answer is often a fast one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from candidates import ENDPOINT, on_core

BODY = b'{"instances": [{"features": [5.1, 3.5, 1.4, 0.2, 6.2, 2.9, 4.3, 1.3]}], "parameters": {"probabilities": true}}'
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
WITHIN_S = 60
"""What is not answered within this has failed."""


@dataclass(frozen=True)
class Call:
    """A request that is sent over and over."""

    path: str
    headers: Mapping[str, str]
    body: bytes = BODY

    def message(self, port: int) -> bytes:
        """As bytes, for who writes to the socket itself."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        host = f"Host: 127.0.0.1:{port}\r\nContent-Length: {len(self.body)}\r\n"
        return f"POST {self.path} HTTP/1.1\r\n{host}{head}\r\n".encode() + self.body


INVOCATION = Call(f"/endpoints/{ENDPOINT}/invocations", HEADERS)
"""As boto3 sends it to a gateway."""


def sized(size: int) -> Call:
    """An invocation with a JSON body of so many bytes."""
    return Call(INVOCATION.path, HEADERS, b'{"instances": "%b"}' % (b"x" * (size - 18)))


@dataclass(frozen=True)
class Result:
    """What a load maker saw."""

    requests: int
    failures: str
    """What failed, in words; empty when all answers were 2xx."""
    seconds: float
    p50_us: float
    p99_us: float
    answer_bytes: float
    """Of one answer, with its head."""


class Load(Protocol):
    """Sends requests over and over."""

    name: str
    calls: Sequence[Call]
    """Sent in turn."""

    def run(self, port: int, seconds: int, connections: int) -> Result: ...


class Wrk:
    """wrk with one thread, on one core unless it is left free."""

    name = "wrk"

    def __init__(self, directory: Path, calls: Sequence[Call], *, core: int | None = 1) -> None:
        self.calls = calls
        self._prefix = [] if core is None else on_core(core)
        place = directory / f"wrk-{next(_numbers)}"
        place.mkdir(parents=True)
        self._script = place / "post.lua"
        lines = [_READ]
        for number, call in enumerate(calls):
            (place / f"body-{number}").write_bytes(call.body)
            headers = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in call.headers.items())
            lines.append(f"calls[{number + 1}] = {{ headers = {{ {headers} }}, body = read('{place}/body-{number}') }}")
        lines.append(_ONE if len(calls) == 1 else _MANY.replace("PATH", json.dumps(calls[0].path)))
        self._script.write_text("\n".join([*lines, _DONE]))

    def run(self, port: int, seconds: int, connections: int) -> Result:
        url = f"http://127.0.0.1:{port}{self.calls[0].path}"
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={WITHIN_S}s", "-s", str(self._script)]
        command = [*self._prefix, "wrk", *options, url]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + WITHIN_S).stdout
        found = re.search(r"^result((?: \d+){10})$", shown, re.MULTILINE)
        if found is None:
            raise SystemExit(f"wrk did not run its script:\n{shown}")
        requests, received, duration_us, p50, p99, *errors = map(int, found[1].split())
        kinds = ("connect", "read", "write", "status", "timeout")
        failures = ", ".join(f"{kind} {count}" for kind, count in zip(kinds, errors, strict=True) if count)
        return Result(requests, failures, duration_us / 1e6, p50, p99, received / max(1, requests))


_numbers = itertools.count()
_READ = """local calls = {}
local function read(name)
  local file = assert(io.open(name, "rb"))
  local data = file:read("*a")
  file:close()
  return data
end"""
_ONE = """wrk.method = "POST"
wrk.body = calls[1].body
wrk.headers = calls[1].headers"""
_MANY = """local requests, turn = {}, 0
function init(args)
  for number, call in ipairs(calls) do
    requests[number] = wrk.format("POST", PATH, call.headers, call.body)
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end"""
_DONE = """function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("result %d %d %d %d %d %d %d %d %d %d\\n", summary.requests, summary.bytes,
    summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""


class OwnLoad:
    """A load maker without dependencies."""

    name = "own load maker (asyncio)"

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls

    def run(self, port: int, seconds: int, connections: int) -> Result:
        return asyncio.run(self._run(port, seconds, connections))

    async def _run(self, port: int, seconds: int, connections: int) -> Result:
        messages = itertools.cycle([call.message(port) for call in self.calls])
        began = time.perf_counter()
        clients = [self._client(port, messages, began + seconds) for _ in range(connections)]
        seen = await asyncio.gather(*clients)
        took = time.perf_counter() - began
        latencies = sorted(latency for _, _, some in seen for latency in some)
        bad = len(latencies) - sum(good for good, _, _ in seen)
        p50, p99 = (latencies[int(len(latencies) * share)] * 1e6 for share in (0.5, 0.99))
        received = sum(size for _, size, _ in seen)
        return Result(len(latencies), f"status {bad}" if bad else "", took, p50, p99, received / max(1, len(latencies)))

    @staticmethod
    async def _client(port: int, messages: Iterator[bytes], until: float) -> tuple[int, int, list[float]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        good, received, latencies = 0, 0, []
        while (began := time.perf_counter()) < until:
            writer.write(next(messages))
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            latencies.append(time.perf_counter() - began)
            good += head.startswith(b"HTTP/1.1 2")
            received += len(head) + len(body)
        writer.close()
        return good, received, latencies


def best_load(directory: Path, *calls: Call, core: int | None = 1) -> Load:
    """wrk where it is installed; `core` is where it runs, None leaves it free."""
    return Wrk(directory, calls, core=core) if shutil.which("wrk") else OwnLoad(calls)
