"""A shadow's replica that is slow or dies: `shadow_replica.py slow|crashing SOCKET ANSWER`.

A slow one answers 100 ms late. One that crashes closes the connection on each call and accepts none for a while, as one
does that is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

LATE_S = 0.1
GONE_S = 0.3


async def main(kind: str, path: str, answer: str) -> None:
    whole = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n{answer}"
    died = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                if kind == "crashing":
                    died.set()
                    break
                await asyncio.sleep(LATE_S)
                writer.write(whole.encode())
        writer.close()

    while True:
        Path(path).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(serve, path, backlog=1024)
        await died.wait()
        server.close()
        Path(path).unlink(missing_ok=True)
        await asyncio.sleep(GONE_S)
        died.clear()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
