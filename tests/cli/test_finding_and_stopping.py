"""A server is found by its data directory only while it lives, and `mooring stop` returns when it is gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.cli import finding, main, waiting
from mooring.errors import Unavailable
from mooring.paths import Paths
from mooring.processes import identity

PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if 'stubborn' in sys.argv else lambda *_: sys.exit(0))
print('up', flush=True)
time.sleep(60)
"""

Serve = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "data")
    found.run.mkdir(parents=True)
    return found


@pytest.fixture
def server(paths: Paths) -> Iterator[Serve]:
    """A process that stands for the supervisor, named by the data directory's files."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, url: str | None = "http://127.0.0.1:1") -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-S", "-c", PROGRAM, *words], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        who = identity.of(process.pid)
        assert who is not None
        paths.lock.write_text(json.dumps(who.to_document()))
        if url is not None:
            paths.server_file.write_text(json.dumps({**who.to_document(), "url": url}))
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=20)


def test_found_by_data_directory(paths: Paths, server: Serve) -> None:
    process = server(url="http://127.0.0.1:8123")
    found = finding.find(None, str(paths.root), {})
    assert found.require_url() == "http://127.0.0.1:8123"
    assert found.identity is not None
    assert found.identity.pid == process.pid
    assert finding.find(None, None, {"MOORING_DATA_DIR": str(paths.root)}) == found


def test_flags_win_over_the_environment(paths: Paths) -> None:
    environ = {"MOORING_URL": "http://environ", "MOORING_DATA_DIR": "/environ"}
    assert finding.find("http://flag/", None, environ).url == "http://flag"
    assert finding.find("http://flag", "/flag", environ).url == "http://flag"
    assert finding.find(None, str(paths.root), environ).url is None
    assert finding.find(None, None, environ).url == "http://environ"
    del environ["MOORING_URL"]
    assert finding.find(None, None, environ).where == "data in /environ"


@pytest.mark.parametrize("stale", ["killed", "reused", "damaged", "never"])
def test_stale_files_are_not_believed(paths: Paths, server: Serve, stale: str) -> None:
    if stale != "never":
        process = server()
    if stale == "killed":
        process.kill()
        process.wait(10)
    for path in (paths.server_file, paths.lock):
        if stale == "reused":
            path.write_text(json.dumps({**json.loads(path.read_text()), "start_time": "1"}))
        if stale == "damaged":
            path.write_text("{")
    found = finding.find(None, str(paths.root), {})
    assert not found.running
    with pytest.raises(Unavailable, match=r"^no server runs with data in "):
        found.require_url()


def test_server_that_is_starting_has_no_url_yet(paths: Paths, server: Serve, capsys) -> None:
    server(url=None)
    assert main(["status", "--data-dir", str(paths.root)]) == 1
    assert "is still starting" in capsys.readouterr().err


def test_stop_when_nothing_runs(paths: Paths, capsys) -> None:
    assert main(["stop", "--data-dir", str(paths.root)]) == 0
    assert capsys.readouterr().out == f"no server runs with data in {paths.root}\n"


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1"])
def test_stop_of_a_server_that_does_not_answer(paths: Paths, server: Serve, capsys, url: str | None) -> None:
    process = server(url=url)
    assert main(["stop", "--data-dir", str(paths.root)]) == 0
    assert process.wait(10) == 0
    assert capsys.readouterr().out == f"stopped the server with data in {paths.root}\n"


def test_stop_asks_the_api_and_waits_for_the_process(paths: Paths, server: Serve, fake, capsys) -> None:
    process = server("stubborn", url=fake.url)
    late = threading.Timer(0.3, process.send_signal, [signal.SIGKILL])

    def stop(query: str, body: bytes) -> tuple[int, object]:
        late.start()
        return 202, {}

    fake.answers["POST", "/-/mooring/v1/stop"] = stop
    began = time.monotonic()
    assert main(["stop", "--data-dir", str(paths.root)]) == 0
    assert time.monotonic() - began >= 0.3
    assert process.wait(10) == -signal.SIGKILL
    assert "x-mooring-client" in fake.asked[-1][2]


def test_stop_that_takes_too_long(paths: Paths, server: Serve, capsys) -> None:
    process = server("stubborn")
    assert main(["stop", "--timeout", "1.2", "--data-dir", str(paths.root)]) == 1
    assert process.poll() is None
    said, complaint = capsys.readouterr().err.splitlines()
    assert said == "stopping: replicas end, then the rest…"
    assert complaint == (
        f"mooring: the server with data in {paths.root} (pid {process.pid}) has not stopped within 1.2 s"
    )


def test_stop_by_url_waits_until_nothing_listens(fake, capsys) -> None:
    fake.answers["POST", "/-/mooring/v1/stop"] = lambda query, body: (202, {})
    assert main(["stop", "--timeout", "0.1", "--url", fake.url]) == 1
    assert "has not stopped within 0.1 s" in capsys.readouterr().err


@pytest.mark.parametrize("visible", [True, False])
def test_stop_by_url_waits_for_the_process_where_it_can_be_seen(server: Serve, fake, capsys, visible: bool) -> None:
    process = server("stubborn")
    who = identity.of(process.pid)
    assert who is not None
    document = who.to_document() if visible else {**who.to_document(), "boot_id": "another machine's"}
    fake.answers["POST", "/-/mooring/v1/stop"] = lambda query, body: (202, document)
    end = process.kill if visible else fake.close
    ending = threading.Timer(0.3, end)
    began = time.monotonic()
    ending.start()
    assert main(["stop", "--url", fake.url]) == 0
    assert time.monotonic() - began >= 0.3
    ending.join()
    assert (process.wait(10) == -signal.SIGKILL) if visible else (process.poll() is None)
    assert capsys.readouterr().out == f"stopped the server at {fake.url}\n"


def test_stop_ends_what_a_killed_server_left(paths: Paths, server: Serve, capsys) -> None:
    left = server(url=None)
    paths.lock.write_text("")
    who = identity.of(left.pid)
    assert who is not None
    record = paths.replicas / "r1" / "identity.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(who.to_document()))
    assert main(["stop", "--data-dir", str(paths.root)]) == 0
    assert left.wait(10) == -signal.SIGKILL
    assert capsys.readouterr() == ("stopped 1 replica that an earlier server left\n", "")
    assert main(["stop", "--data-dir", str(paths.root)]) == 0
    assert capsys.readouterr().out == f"no server runs with data in {paths.root}\n"


def test_stop_by_url_where_nothing_listens(capsys) -> None:
    assert main(["stop", "--url", "http://127.0.0.1:1"]) == 0
    assert capsys.readouterr().out == "no server answers at http://127.0.0.1:1\n"


def test_waiting_is_silent_below_a_second(capsys, monkeypatch) -> None:
    with waiting.said("a"):
        pass
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.01)
    with waiting.said("b"):
        time.sleep(0.1)
    assert capsys.readouterr().err == "b…\n"


def test_no_process_but_the_servers_is_signalled(paths: Paths, server: Serve, monkeypatch) -> None:
    server()
    for path in (paths.server_file, paths.lock):
        path.write_text(json.dumps({**json.loads(path.read_text()), "start_time": "1"}))
    with contextlib.ExitStack() as stack:
        stack.callback(monkeypatch.undo)
        monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a stranger was signalled"))
        assert main(["stop", "--data-dir", str(paths.root)]) == 0
