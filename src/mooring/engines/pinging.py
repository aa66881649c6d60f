"""`GET /ping` on a replica: its own connection each time, so that a replica that hangs is seen."""

from __future__ import annotations

import asyncio

_REQUEST = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LONGEST_STATUS_LINE = 1024


async def ping(address: str, timeout_s: float) -> bool:
    """Whether `address` (a socket's path, or `host:port`) answers 200 within `timeout_s`."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            if address.startswith("/"):
                reader, writer = await asyncio.open_unix_connection(address, limit=LONGEST_STATUS_LINE)
            else:
                host, _, port = address.rpartition(":")
                reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST_STATUS_LINE)
            writer.write(_REQUEST)
            status_line = await reader.readline()
            return status_line.split(b" ", 2)[1:2] == [b"200"]
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
