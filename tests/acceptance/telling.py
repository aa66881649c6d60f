"""An SNS for the tests: a real HTTP server that answers as it is told, and keeps what it hears."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

PUBLISHED = (
    '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m</MessageId>'
    "</PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>"
)
REFUSED = (
    '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>{code}</Code>'
    "<Message>Topic does not exist</Message></Error><RequestId>r</RequestId></ErrorResponse>"
)


class Sns:
    """At a port of its own, until `close`; at the same one again with `port`."""

    def __init__(self, port: int = 0) -> None:
        self.outcome: tuple[int, str] = (200, "")
        """Status and code of each answer."""
        self.slow: set[str] = set()
        """Topics whose answers wait for `release`."""
        self.release = threading.Event()
        self.heard: list[dict[str, str]] = []
        """Parameters of each call that was answered with 200."""
        self.calls: list[dict[str, str]] = []
        """Parameters of each call."""
        self.authorizations: list[str] = []
        self.connections: list[socket.socket] = []
        sns = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                sns.connections.append(self.connection)

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                fields = {name: values[0] for name, values in parse_qs(text).items()}
                sns.calls.append(fields)
                sns.authorizations.append(self.headers["Authorization"])
                if fields["TopicArn"] in sns.slow:
                    sns.release.wait(60)
                status, code = sns.outcome
                if status == 200:
                    sns.heard.append(fields)
                answer = (PUBLISHED if status == 200 else REFUSED.format(code=code)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """A client that gives up leaves a broken connection, which is what some tests are about."""

        self._server = Listening(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="sns", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and end what is connected."""
        self.release.set()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
