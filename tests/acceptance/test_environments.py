"""Environments while things break: control dies in the middle of making one, and two endpoints want the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.making import interpreter
from tests.acceptance.running import Deployment, Server, archive, wait_until

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
SCRIPT = """
import http.server, iniconfig, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        body = json.dumps({"model": iniconfig.__file__, "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
MODEL = archive({"code/serve.py": SCRIPT, "code/requirements.txt": "iniconfig\n"})
COMMAND = json.dumps({"*/own:*": ["{python}", "{code_dir}/serve.py", "{port}"]})


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    interpreter("iniconfig")  # skips where no index can be reached
    return make_server(MOORING_IMAGES_COMMANDS=COMMAND).start()


def environments(server: Server) -> list[Path]:
    return [path for path in (server.data / "environments").iterdir() if not path.name.startswith(".")]


@pytest.mark.timeout(120)
def test_a_control_that_is_killed_while_it_makes_one(server: Server) -> None:
    deployment = Deployment(server)
    control = server.process("control")
    deployment.model("own", data=MODEL, Image=IMAGE)
    deployment.endpoint("own", deployment.variant("own"))
    deadline = time.monotonic() + 30
    while not list((server.data / "environments").glob(".making-*/lib")):
        assert time.monotonic() < deadline
    os.kill(control, signal.SIGKILL)
    deployment.wait("own", timeout=60)
    (made,) = environments(server)
    assert deployment.invoke("own")["model"].startswith(str(made))
    with contextlib.suppress(FileNotFoundError):
        wait_until(lambda: not list((server.data / "environments").glob(".making-*")), what="the half one to go")


@pytest.mark.timeout(120)
def test_over_the_limit_those_go_that_nobody_uses(make_server: Callable[..., Server]) -> None:
    interpreter("iniconfig")
    server = make_server(MOORING_IMAGES_COMMANDS=COMMAND, MOORING_IMAGES_ENVIRONMENTS_LIMIT_BYTES="1").start()
    deployment = Deployment(server)
    other = archive({"code/serve.py": SCRIPT, "code/requirements.txt": "iniconfig  # another file\n"})
    for name, data in (("first", MODEL), ("second", other)):
        deployment.model(name, data=data, Image=IMAGE)
        deployment.endpoint(name, deployment.variant(name))
        deployment.wait(name, timeout=60)
    assert len(environments(server)) == 2  # over the limit, and both in use
    (replica,) = server.replicas("first")
    os.kill(replica["pid"], signal.SIGKILL)
    wait_until(lambda: server.replicas("first")[0]["pid"] not in (None, replica["pid"]), what="another replica")
    deployment.wait("first")
    deployment.sagemaker.delete_endpoint(EndpointName="first")
    wait_until(lambda: not list((server.data / "artifacts").glob("*/*/first")), what="first to be gone")
    third = archive({"code/serve.py": SCRIPT, "code/requirements.txt": "iniconfig  # a third\n"})
    deployment.model("third", data=third, Image=IMAGE)
    deployment.endpoint("third", deployment.variant("third"))
    deployment.wait("third", timeout=60)
    wait_until(lambda: len(environments(server)) == 2, what="the unused one to go")
    assert deployment.invoke("second")["model"]
