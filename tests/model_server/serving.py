"""Replicas as they really run: forked by a zygote or exec'ed, spoken to over their Unix socket."""

from __future__ import annotations

import array
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEADLINE_S = 30.0


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str | None:
        return self.headers.get("content-type")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class UnixClient(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    return listener


def until(condition: Any, what: str, timeout_s: float = 10.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"not in {timeout_s:g} s: {what}")


def gone(pid: int) -> bool:
    """Whether no such process runs (a zombie does not run)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@dataclass
class Replica:
    """One replica's files, and a client for it."""

    root: Path
    spec: dict[str, Any]
    pid: int = 0
    start_time: str = ""
    clients: list[UnixClient] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.root / "s"

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def connect(self) -> UnixClient:
        client = UnixClient(self.socket)
        self.clients.append(client)
        return client

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        client: UnixClient | None = None,
    ) -> Reply:
        client = client or self.connect()
        client.request(method, path, body, headers or {})
        response = client.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def invoke(self, body: bytes | str = b"", type: str | None = None, accept: str | None = None, **more: str) -> Reply:  # noqa: A002
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        headers |= {"Content-Type": type} if type is not None else {}
        headers |= {"Accept": accept} if accept is not None else {}
        return self.ask("POST", "/invocations", body.encode() if isinstance(body, str) else body, headers)

    def ping(self) -> Reply:
        return self.ask("GET", "/ping")

    def document(self, name: str) -> Any:
        path = self.root / "run" / name
        return until(lambda: path.exists() and json.loads(path.read_text()), f"{path}; log: {self.log}")

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.pid and not gone(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


def prepare(root: Path, script: str | None = None, framework: str = "generic", **fields: Any) -> Replica:
    """A replica's directories, with its script, before it is started."""
    for name in ("model", "code", "work", "run"):
        (root / name).mkdir(parents=True)
    if script is not None:
        (root / "code" / "inference.py").write_text(script)
    spec = {
        "replica_id": "replica-test",
        "framework": framework,
        "model_dir": str(root / "model"),
        "code_dir": str(root / "code"),
        "program": "inference.py" if script is not None else None,
        "environment": {"PATH": os.environ["PATH"]},
        "work_dir": str(root / "work"),
        "run_dir": str(root / "run"),
        "command": None,
        "workers": 1,
        "timeout_s": 10,
    }
    return Replica(root, {**spec, **fields})


class Zygote:
    """Control's side of a zygote."""

    def __init__(self, preload: str = "none", **environment: str) -> None:
        self.channel, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(DEADLINE_S)
        command = [sys.executable, "-m", "mooring_model_server.zygote", "--control-fd", str(remote.fileno())]
        self.process = subprocess.Popen(
            [*command, "--preload", preload],
            pass_fds=(remote.fileno(),),
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], **environment},
            start_new_session=True,
        )
        remote.close()
        self.ready: dict[str, Any] = {}
        self.exits: dict[int, int] = {}
        self._next = 0

    def wait_ready(self) -> Zygote:
        self.ready = self.read()
        return self

    def read(self) -> dict[str, Any]:
        data = self.channel.recv(1 << 20)
        assert data, "the zygote is gone"
        message: dict[str, Any] = json.loads(data)
        return message

    def answer(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; exits that arrive before it are kept."""
        while True:
            message = self.read()
            if "exited" in message:
                self.exits[message["exited"]["pid"]] = message["exited"]["returncode"]
            if kind in message:
                found: dict[str, Any] = message[kind]
                return found

    def returncode(self, pid: int) -> int:
        while pid not in self.exits:
            self.answer("exited")
        return self.exits[pid]

    def send(self, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.channel.sendmsg([data], rights)

    def spawn(self, replica: Replica, recorded: bytes = b"1") -> Replica:
        """Fork a replica; `recorded` is written to its pipe before that is closed."""
        self._next += 1
        log = os.open(replica.root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        read_end, write_end = os.pipe()
        message = json.dumps({"spawn": replica.spec, "id": self._next}).encode()
        with listen(replica.socket) as listener:
            self.send(message, (listener.fileno(), log, read_end))
            spawned = self.answer("spawned")
        assert spawned["id"] == self._next
        replica.pid, replica.start_time = spawned["pid"], spawned["start_time"]
        os.close(log)
        os.close(read_end)
        if recorded:
            os.write(write_end, recorded)
        os.close(write_end)
        return replica

    def close(self) -> None:
        self.channel.close()
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def executed(replica: Replica, python: str = sys.executable, *arguments: str, **environment: str) -> Iterator[Replica]:
    """A replica as its own program, not forked."""
    spec_file = replica.root / "spec.json"
    spec_file.write_text(json.dumps(replica.spec))
    with listen(replica.socket) as listener, (replica.root / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                python,
                *arguments,
                "-m",
                "mooring_model_server",
                "--spec",
                spec_file,
                "--listen-fd",
                str(listener.fileno()),
            ],
            pass_fds=(listener.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**replica.spec["environment"], **environment},
            cwd=replica.root / "work",
            start_new_session=True,
        )
    replica.pid = process.pid
    try:
        yield replica
    finally:
        replica.close()
        process.wait(DEADLINE_S)
