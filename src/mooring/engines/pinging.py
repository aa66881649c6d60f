"""`GET /ping` on a replica: its own connection each time, so that a replica that hangs is seen."""

from __future__ import annotations

from mooring.errors import Unavailable
from mooring.http1.client import fetch

LONGEST_ANSWER_BYTES = 64 * 1024


async def ping(address: str, timeout_s: float) -> bool:
    """Whether `address` (a socket's path, or `host:port`) answers 200 within `timeout_s`."""
    try:
        answer = await fetch(address, "GET", "/ping", timeout=timeout_s, body_limit=LONGEST_ANSWER_BYTES)
    except Unavailable:
        return False
    return answer.status == 200
