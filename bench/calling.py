"""A load of raw requests that were signed beforehand: what is measured is who answers, and hardly who asks."""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")


@dataclass(frozen=True)
class Seen:
    """What one load saw."""

    calls_per_s: float
    p50_us: float
    p99_us: float


def signed(port: int, operation: str, body: str) -> bytes:
    """One call of SageMaker's control plane as it goes over the wire, signed as boto3 signs it."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{operation}"}
    request = AWSRequest("POST", f"http://127.0.0.1:{port}/", headers=headers, data=body)
    SigV4Auth(_CREDENTIALS, "sagemaker", REGION).add_auth(request)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: identity\r\nContent-Length: {len(body)}\r\n"
        f"User-Agent: Boto3/1.43 md/Botocore#1.43\r\n{head}\r\n{body}"
    ).encode()


def load(port: int, messages: Iterator[bytes], seconds: float, connections: int) -> Seen:
    """Send `messages` one after the other over so many connections; anything but 200 ends the benchmark."""
    return asyncio.run(_load(port, messages, seconds, connections))


async def _load(port: int, messages: Iterator[bytes], seconds: float, connections: int) -> Seen:
    began = time.perf_counter()
    clients = (_client(port, messages, began + seconds) for _ in range(connections))
    latencies = sorted(itertools.chain.from_iterable(await asyncio.gather(*clients)))
    took = time.perf_counter() - began
    return Seen(len(latencies) / took, statistics.median(latencies) * 1e6, latencies[int(len(latencies) * 0.99)] * 1e6)


async def _client(port: int, messages: Iterator[bytes], until: float) -> list[float]:
    latencies = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (began := time.perf_counter()) < until:
        message = next(messages, None)
        if message is None:
            raise SystemExit("the requests that were signed beforehand did not last: raise --signed")
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        latencies.append(time.perf_counter() - began)
        status = head[9:12]
        if status != b"200":
            raise SystemExit(f"a call was answered with {status.decode()}: {body[:500]!r}")
        # Flask's own server ends the connection with every answer.
        if head.startswith(b"HTTP/1.0") or b"\r\nconnection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return latencies
