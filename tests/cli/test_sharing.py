"""Several `mooring run` of one data directory: one server, which lives exactly as long as any of them uses it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.cli import attached
from mooring.cli.run_users import RunUsers
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.identity import ProcessIdentity

MOORING = [sys.executable, "-m", "mooring.cli"]
USING = """
import os, boto3
url = os.environ['AWS_ENDPOINT_URL']
print(url, flush=True)
while input(): print(boto3.client('sagemaker').list_models()['Models'], flush=True)
"""


class Run:
    """`mooring run` with a command that asks the server for its models whenever it is told to."""

    def __init__(self, paths: Paths) -> None:
        command = [*MOORING, "run", "--data-dir", str(paths.root), "--", sys.executable, "-c", USING]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._input, self._output, self._errors = self._process.stdin, self._process.stdout, self._process.stderr

    def url(self) -> str:
        return self._output.readline().strip()

    def said(self) -> str:
        return self._errors.readline().strip()

    def works(self) -> bool:
        self._say("again\n")
        return self._output.readline() == "[]\n"

    def end(self) -> int:
        self._say("\n")
        return self._process.wait(40)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate(timeout=40)

    def _say(self, line: str) -> None:
        self._input.write(line)
        self._input.flush()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "data")


@pytest.fixture
def run(paths: Paths) -> Iterator[Callable[[], Run]]:
    made: list[Run] = []

    def make() -> Run:
        made.append(Run(paths))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            with contextlib.suppress(OSError, ValueError):
                each.close()


def gone(server: ProcessIdentity | None, timeout: float = 20) -> bool:
    assert server is not None
    deadline = time.monotonic() + timeout
    while server.alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not server.alive()


def test_the_last_run_stops_the_server(run: Callable[[], Run], paths: Paths) -> None:
    first, second = run(), run()
    assert first.url() == second.url() != ""
    server = ProcessIdentity.read(paths.server_file)
    assert first.end() == 0
    assert server is not None
    assert server.alive()
    assert second.works()
    assert second.end() == 0
    assert not server.alive()
    assert not paths.server_file.exists()


def test_killed_runs_are_users_no_more(run: Callable[[], Run], paths: Paths) -> None:
    first = run()
    url = first.url()
    second = run()
    assert second.url() == url
    first.kill()
    time.sleep(2 * attached.LOOK_S)
    assert second.works()
    second.kill()
    assert gone(ProcessIdentity.read(paths.server_file))


def test_a_run_waits_while_another_stops_the_server(run: Callable[[], Run], paths: Paths) -> None:
    paths.root.mkdir()
    with RunUsers(paths) as leaving:
        assert leaving.no_others()
        late = run()
        assert late.said() == "waiting for an earlier run to stop its server…"
        assert not paths.server_file.exists()
    assert late.url().startswith("http://127.0.0.1:")
    assert late.end() == 0


def test_a_server_of_somebodys_own_is_left_alone(run: Callable[[], Run], paths: Paths) -> None:
    command = [*MOORING, "serve", "--port", "0", "--data-dir", str(paths.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as serve:
        try:
            assert serve.stdout is not None
            assert b"is ready at" in serve.stdout.readline()
            using = run()
            assert using.url() == json.loads(paths.server_file.read_bytes())["url"]
            assert using.end() == 0
            time.sleep(2 * attached.LOOK_S)
            assert serve.poll() is None
        finally:
            serve.terminate()


@pytest.fixture
def process() -> Iterator[ProcessIdentity]:
    """One that stands for a server."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as running:
        try:
            found = identity.of(running.pid)
            assert found is not None
            yield found
        finally:
            running.kill()


def test_what_watches_bounds_the_log_and_stops_a_server_without_users(
    monkeypatch: pytest.MonkeyPatch, process: ProcessIdentity, paths: Paths
) -> None:
    paths.root.mkdir()
    monkeypatch.setattr(attached, "LOOK_S", 0.01)
    monkeypatch.setattr(attached, "LOG_LIMIT_BYTES", 100_000)
    with RunUsers(paths) as user:
        user.join()
        watching = threading.Thread(target=attached.watch, args=[process, paths])
        watching.start()
        paths.server_log.write_bytes(b"a line\n" * 100_000)
        deadline = time.monotonic() + 20
        while paths.server_log.stat().st_blocks * 512 > 100_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.alive()
    watching.join(20)
    assert not watching.is_alive()
    assert not process.alive()
