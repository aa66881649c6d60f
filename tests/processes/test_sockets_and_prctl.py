"""Listening sockets and the two Linux calls."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.errors import DataDirectoryError, SettingsError
from mooring.processes.sockets import listen_tcp, listen_unix

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def closing(*sockets: socket.socket) -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    for one in sockets:
        stack.enter_context(one)
    return stack


def test_unix_socket_replaces_a_stale_one_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    first = listen_unix(path)
    first.close()
    assert path.is_socket()
    with listen_unix(path) as listener, socket.socket(socket.AF_UNIX) as client:
        assert path.stat().st_mode & 0o777 == 0o600
        assert not listener.get_inheritable()
        client.settimeout(20)
        client.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "long", "no directory"])
def test_unix_socket_that_cannot_be(tmp_path: Path, kind: str) -> None:
    path = {"file": tmp_path / "f", "long": tmp_path / ("x" * 120), "no directory": tmp_path / "none" / "s"}[kind]
    if kind == "file":
        path.write_text("precious")
    with pytest.raises(DataDirectoryError, match="cannot listen on"):
        listen_unix(path)
    if kind == "file":
        assert path.read_text() == "precious"


@linux
def test_tcp_sockets_share_one_free_port() -> None:
    listeners = listen_tcp("127.0.0.1", 0, 3)
    with closing(*listeners):
        ports = {listener.getsockname()[1] for listener in listeners}
        assert len(ports) == 1
        assert len({listener.fileno() for listener in listeners}) == 3
        clients = [socket.create_connection(("127.0.0.1", ports.copy().pop()), timeout=5) for _ in range(40)]
        with closing(*clients):
            accepted = []
            for listener in listeners:
                listener.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        accepted.append(listener.accept()[0])
            with closing(*accepted):
                assert len(accepted) == 40


def test_taken_port_is_refused_though_it_could_be_shared() -> None:
    with listen_tcp("127.0.0.1", 0, 1)[0] as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"^port {port} on 127\.0\.0\.1 is taken"):
            listen_tcp("127.0.0.1", port, 2)


def test_port_is_free_again_at_once() -> None:
    with listen_tcp("127.0.0.1", 0, 1)[0] as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        listener.accept()[0].close()  # our side closes first, so our side keeps the port in TIME_WAIT
        client.close()
    with listen_tcp("127.0.0.1", port, 1)[0]:
        pass


@pytest.mark.parametrize("host", ["no such host", "a..b", "203.0.113.7"])
def test_host_that_is_not_ours(host: str) -> None:
    with pytest.raises(SettingsError, match=r"host|cannot listen on"):
        listen_tcp(host, 0, 1)


@linux
def test_subreaper_becomes_the_parent_of_orphans() -> None:
    program = """
import os
from mooring.processes.prctl import set_child_subreaper
set_child_subreaper()
read, write = os.pipe()
middle = os.fork()
if middle == 0:
    if os.fork() == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(7)
    os._exit(0)
os.close(read)
assert os.waitpid(middle, 0)[1] == 0
os.close(write)
print(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout == "7\n"


@linux
def test_parent_death_signal_ends_the_child() -> None:
    read, write = os.pipe()
    program = f"""
import os, signal, time
from mooring.processes.prctl import set_parent_death_signal
if os.fork() == 0:
    set_parent_death_signal(signal.SIGKILL)
    os.write({write}, b"x")
    time.sleep(60)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], pass_fds=(write,), start_new_session=True)
    os.close(write)
    try:
        assert os.read(read, 1) == b"x"
        parent.kill()
        assert os.read(read, 1) == b"", "the child holds the pipe until it is dead"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait(10)
        os.close(read)


def test_elsewhere_prctl_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from mooring.processes import prctl

    monkeypatch.setattr(sys, "platform", "darwin")
    prctl.set_child_subreaper()
    prctl.set_parent_death_signal(signal.SIGKILL)
