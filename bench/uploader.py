"""Uploads without pause from raw sockets, cheap enough not to be what is measured: `uploader.py PORT COUNT BYTES`.

Prints the bytes sent so far when every connection has sent its first 16 MiB, and again, with what failed behind it,
when it is told to stop by the end of its standard input.
"""

from __future__ import annotations

import socket
import sys
import threading

CHUNK = bytes(1024 * 1024)
SURE_AFTER_BYTES = 16 * 1024 * 1024


class Uploader(threading.Thread):
    """One connection that PUTs one key again and again."""

    def __init__(self, port: int, number: int, size: int) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.answered = 0
        self.failure: str | None = None
        self.sure = threading.Event()
        self._port = port
        self._size = size
        self._head = (
            f"PUT /bench/upload-{number} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {size}\r\n"
            "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\nAuthorization: AWS4-HMAC-SHA256 "
            "Credential=b/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\r\n"
        ).encode()

    def run(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 60) as connection:
                while self.failure is None:
                    self._put(connection)
        except OSError as error:
            self.failure = str(error)
        self.sure.set()

    def _put(self, connection: socket.socket) -> None:
        connection.sendall(self._head)
        left = self._size
        while left:
            sent = connection.send(CHUNK[: min(left, len(CHUNK))])
            left -= sent
            self.sent += sent
            if self.sent >= SURE_AFTER_BYTES:
                self.sure.set()
        answer = connection.recv(65536)
        if answer.startswith(b"HTTP/1.1 200"):
            self.answered += 1
        else:
            self.failure = repr(answer[:200])


def main() -> int:
    port, count, size = map(int, sys.argv[1:])
    uploaders = [Uploader(port, number, size) for number in range(count)]
    for each in uploaders:
        each.start()
    for each in uploaders:
        each.sure.wait(60)
    print(sum(each.sent for each in uploaders), flush=True)
    sys.stdin.read()
    print(
        sum(each.sent for each in uploaders), next((each.failure for each in uploaders if each.failure), ""), flush=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
