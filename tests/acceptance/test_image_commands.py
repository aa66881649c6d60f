"""Images of one's own, served by commands of one's own: whatever answers /ping and /invocations on a port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.processes.identity import of
from tests.acceptance.running import Deployment, Load, Server, archive, wait_until

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:latest"
SERVER = """
import http.server, json, os, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer({})
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        model = open(os.path.join(os.environ["SM_MODEL_DIR"], "weights")).read()
        bound = os.environ.get("SAGEMAKER_BIND_TO_PORT")
        self.answer({"model": model, "pid": os.getpid(), "arguments": sys.argv[1:], "bound": bound,
                     "own": os.environ.get("OWN"), "directory": os.getcwd()})
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
if sys.argv[1].startswith("fd="):
    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=int(sys.argv[1][3:]))
    server.get_request = lambda: (server.socket.accept()[0], ("", 0))
else:
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
server.serve_forever()
"""


@pytest.fixture
def deployment(make_server: Callable[..., Server], tmp_path: Path) -> Deployment:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    commands = {
        "*/with-a-port:*": [sys.executable, str(script), "{port}", "--model={model_dir}"],
        "*/with-a-descriptor:*": [sys.executable, str(script), "fd={fd}"],
        "*/that-exits:*": [sys.executable, "-c", "import sys; print('not today'); sys.exit(7)"],
        "*/that-is-missing:*": ["no-such-program"],
    }
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    return Deployment(make_server(MOORING_IMAGES_COMMANDS=str(tmp_path / "commands.json")).start())


def deploy(deployment: Deployment, name: str, count: int = 1) -> str:
    environment = {"OWN": "the model's own variable"}
    image = IMAGE.format(name=name)
    deployment.model(name, data=archive({"weights": f"of {name}"}), Image=image, Environment=environment)
    return deployment.endpoint(name, deployment.variant(name, "v", InitialInstanceCount=count))


@pytest.mark.parametrize("name", ["with-a-port", "with-a-descriptor"])
def test_a_server_of_ones_own(deployment: Deployment, name: str) -> None:
    deploy(deployment, name)
    deployment.wait(name)
    found = deployment.invoke(name)
    assert found["model"] == f"of {name}"
    assert found["own"] == "the model's own variable"
    assert found["directory"].startswith(str(deployment.server.data / "run" / "replicas"))
    if name == "with-a-port":
        assert found["arguments"][0] == found["bound"]
        assert found["arguments"][1].startswith(f"--model={deployment.server.data / 'artifacts'}")
    deployment.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: (process := of(found["pid"])) is None or not process.alive(), what="the server to end")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("that-exits", ["ping health check", "status 7"]),
        ("that-is-missing", ["no-such-program, which MOORING_IMAGES_COMMANDS names for it, is no program on PATH"]),
        ("that-nobody-names", ["cannot run here", "no pattern in MOORING_IMAGES_COMMANDS matches it"]),
    ],
)
def test_one_that_cannot_serve_says_why(deployment: Deployment, name: str, words: list[str]) -> None:
    deploy(deployment, name)
    reason = deployment.wait(name, status="Failed")["FailureReason"]
    for word in words:
        assert word in reason
    if name == "that-exits":
        assert "not today" in deployment.server.command("logs", name).stdout
    else:
        assert IMAGE.format(name=name) in reason


@contextlib.contextmanager
def impostor(ports: list[int]) -> Iterator[list[bytes]]:
    """Whoever takes these ports as soon as they are free, and answers as if it were a model."""
    heard: list[bytes] = []
    done = threading.Event()

    def impersonate(port: int) -> None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            while not done.is_set():
                with contextlib.suppress(OSError):
                    listener.bind(("127.0.0.1", port))
                    listener.listen(64)
                    break
                time.sleep(0.001)
            listener.settimeout(0.05)
            while not done.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(0.5)
                        heard.append(connection.recv(65536))
                        body = b'{"model": "impostor", "pid": 0}'
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    threads = [threading.Thread(target=impersonate, args=(port,), name=f"impostor at {port}") for port in ports]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        done.set()
        for thread in threads:
            thread.join(timeout=20)


def test_a_killed_server_is_replaced_and_nobody_answers_for_it(deployment: Deployment) -> None:
    name = deploy(deployment, "with-a-port", count=2)
    deployment.wait(name)
    seen = {found["pid"]: int(found["bound"]) for found in (deployment.invoke(name) for _ in range(40))}
    assert len(seen) == 2

    def healthy() -> set[str]:
        return {each["id"] for each in deployment.server.replicas(name) if each["state"] == "healthy"}

    with impostor(list(seen.values())) as heard, Load(deployment, name) as load:
        for pid in seen:
            before = healthy()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(healthy() - before) == 1, what="another replica in its place")  # noqa: B023
            load.wait_for_more(20)
    assert {answer["model"] for answer in load.answers} == {"of with-a-port"}
    assert len({answer["pid"] for answer in load.answers} - set(seen)) == 2
    assert not any(heard)
    # Those that were in flight, and what came before the relay knew: milliseconds of two threads.
    assert len(load.failures) < 20
