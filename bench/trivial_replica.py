"""The smallest replica: `trivial_replica.py PORT SOCKET BODY` answers every POST with BODY, on uvloop where it is.

It answers once it has read the whole request, which is what it costs to move a large body; nginx's `return` does not.
"""

from __future__ import annotations

import asyncio
import sys

import httptools

BACKLOG = 4096
REFUSAL = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"


class Trivial(asyncio.Protocol):
    """Answers every POST with the same bytes."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.transport.write(self.answer if self.parser.get_method() == b"POST" else REFUSAL)


async def main(port: int, socket_path: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Trivial, "127.0.0.1", port, backlog=BACKLOG)
    server = await loop.create_unix_server(Trivial, socket_path, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    body = sys.argv[3].encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    Trivial.answer = head + body
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
    else:
        uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
