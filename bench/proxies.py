"""nginx, as the replica that costs least and as the gateway that is the limit."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from candidates import ENDPOINT, GATEWAY_CORE, LOAD_CORE, Candidate, free_port, on_core, running

PREDICTION = json.dumps({"predictions": [[0.123456] * 19], "model": "a"}).ljust(206)[:206]
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
NGINX = shutil.which("nginx", path=SEARCH)


@contextlib.contextmanager
def replica(directory: Path, port: int, socket_path: Path) -> Iterator[None]:
    """Answers every POST with the same 206 bytes, on a TCP port and on a Unix socket, maybe before it has all of it."""
    if NGINX is None:
        with whole_body_replica(port, socket_path):
            yield
        return
    refusal = "if ($request_method != POST) { return 405; }"
    # A container that opens a session when it is asked for one: an empty header is not sent.
    session = "add_header X-Amzn-SageMaker-Session-Id $opened;"
    answers = f"location / {{ default_type application/json; {refusal} {session} return 200 '{PREDICTION}'; }}"
    asked = 'map $http_x_amzn_sagemaker_session_id $opened { NEW_SESSION "bench; Expires=2999-01-01T00:00:00Z"; }'
    server = (
        f"{asked} server {{ listen 127.0.0.1:{port} backlog=4096; listen unix:{socket_path} backlog=4096; {answers} }}"
    )
    with _nginx(directory / f"replica-{port}", server, port, core=LOAD_CORE):
        yield


@contextlib.contextmanager
def whole_body_replica(port: int, socket_path: Path) -> Iterator[None]:
    """As `replica`, and answers once it has read the whole request."""
    program = str(Path(__file__).with_name("trivial_replica.py"))
    command = [*on_core(LOAD_CORE), sys.executable, program, str(port), str(socket_path), PREDICTION]
    with running(command, port):
        yield


@contextlib.contextmanager
def proxy(directory: Path, name: str, upstream: str, *, buffering: bool = True) -> Iterator[Candidate]:
    """nginx as the gateway: one worker, `proxy_pass` with kept connections to `upstream` (`host:port` or a path)."""
    port = free_port()
    server = f"unix:{upstream}" if "/" in upstream else upstream
    bodies = "client_max_body_size 64m; client_body_buffer_size 8m;" + (
        "" if buffering else " proxy_request_buffering off;"
    )
    text = (
        f"upstream replicas {{ server {server}; keepalive 1024; keepalive_requests 100000000; }}"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; {bodies} location /endpoints/{ENDPOINT}/invocations {{"
        ' proxy_pass http://replicas/invocations; proxy_http_version 1.1; proxy_set_header Connection "";'
        " add_header x-Amzn-Invoked-Production-Variant AllTraffic; add_header x-amzn-RequestId $request_id; } }"
    )
    with _nginx(directory / f"proxy-{port}", text, port, core=GATEWAY_CORE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        yield Candidate(name, port, (process.pid, *workers))


@contextlib.contextmanager
def _nginx(directory: Path, server: str, port: int, core: int) -> Iterator[subprocess.Popen[bytes]]:
    assert NGINX is not None
    directory.mkdir()
    config = directory / "nginx.conf"
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        # Root's nginx would else work as nobody, who may not reach the Unix sockets.
        f"user {pwd.getpwuid(os.getuid()).pw_name};"
        f"daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;"
        "events { worker_connections 8192; }"
        f"http {{ access_log off; keepalive_requests 100000000; {temporary} {server} }}"
    )
    command = [*on_core(core), NGINX, "-p", str(directory), "-c", str(config)]
    with running(command, port, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.1)  # its worker comes after its port
        yield process
