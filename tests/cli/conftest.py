from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "url": "http://127.0.0.1:8080",
    "uptime_s": 3725.5,
    "account": "000000000000",
    "region": "us-east-1",
    "processes": [{"name": "gateway 0", "pid": 12, "rss_bytes": 30_000_000}, {"name": "control", "pid": 13}],
    "endpoints": [
        {
            "name": "fleet",
            "region": "eu-west-1",
            "status": "InService",
            "failure_reason": None,
            "no_effect": ["KmsKeyId: nothing is [encrypted]"],
            "variants": [
                {
                    "name": "a[bold]",
                    "current_weight": 1.0,
                    "desired_weight": 3.0,
                    "current_count": 1,
                    "desired_count": 1,
                    "replicas": [{"id": "r1", "pid": 77, "state": "healthy", "address": "/x.sock"}],
                }
            ],
        },
        {
            "name": "twice",
            "region": "eu-west-1",
            "status": "Failed",
            "failure_reason": "no [such] file",
            "variants": [],
        },
        {"name": "twice", "region": "us-east-1", "status": "Creating", "failure_reason": None, "variants": []},
        {
            "name": "mirrored",
            "region": "us-east-1",
            "status": "InService",
            "failure_reason": "no such [key]",
            "capture": {"taken": 12, "not_taken": 0, "waiting_segments": 2},
            "asynchronous": {"waiting": 5, "in_process": 6},
            "explanations": {"expression": "[0]>`0.5`\x1b"},
            "variants": [
                {
                    "name": "shadow",
                    "shadow": True,
                    "current_weight": 0.5,
                    "desired_weight": 0.5,
                    "current_count": 0,
                    "desired_count": 1,
                    "replicas": [],
                }
            ],
        },
    ],
}


@dataclasses.dataclass
class FakeServer:
    """Answers like a server, and remembers what it was asked."""

    url: str
    answers: dict[tuple[str, str], Callable[[str, bytes], tuple[int, Any]]]
    asked: list[tuple[str, str, dict[str, str], bytes]]
    close: Callable[[], None]
    """Nothing listens afterwards."""


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    answers: dict[tuple[str, str], Callable[[str, bytes], tuple[int, Any]]] = {
        ("GET", "/-/mooring/v1/status"): lambda query, body: (200, STATUS),
    }
    asked: list[tuple[str, str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append((self.command, self.path, headers, body))
            path, _, query = self.path.partition("?")
            unknown = lambda query, body: (404, {"message": "unknown page"})  # noqa: E731
            status, document = answers.get((self.command, path), unknown)(query, body)
            text = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def close() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    yield FakeServer(f"http://127.0.0.1:{server.server_address[1]}", answers, asked, close)
    close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOORING_URL", "MOORING_DATA_DIR", "MOORING_PORT", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    # A proxy must not be asked for a server of this machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
