"""Many calls at once, which clients that sign and parse are too slow for on a small machine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Told:
    """What one call was answered."""

    status: int
    error: str
    document: Any


def call_at_once(url: str, endpoint: str, bodies: list[bytes], timeout_s: float = 40) -> list[Told | None]:
    """Invoke with every body at once, each on a connection of its own; None for a connection that was cut."""
    return asyncio.run(_all(url, endpoint, bodies, timeout_s))


async def _all(url: str, endpoint: str, bodies: list[bytes], timeout_s: float) -> list[Told | None]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    opened = [await asyncio.open_connection(parts.hostname, parts.port) for _ in bodies]
    async with asyncio.timeout(timeout_s):
        pairs = zip(opened, bodies, strict=True)
        return await asyncio.gather(*(_call(*pair, endpoint, body) for pair, body in pairs))


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, endpoint: str, body: bytes) -> Told | None:
    head = f"POST /endpoints/{endpoint}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    try:
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in answer[1:])}
        content = await reader.readexactly(int(headers["content-length"]))
        return Told(int(answer[0].split()[1]), headers.get("x-amzn-errortype", ""), json.loads(content))
    except (OSError, asyncio.IncompleteReadError):
        return None
    finally:
        writer.close()
