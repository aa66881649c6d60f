"""The supervisor with real processes: ready, restarted, stopped in order, nothing left over."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from mooring import __version__
from mooring.errors import DataDirectoryError
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.identity import ProcessIdentity
from mooring.settings import Settings
from mooring.supervisor.clearing import end_left_replicas
from tests.supervisor.supervised import CONTROL, GATEWAY, OBJECTS, wait_until


def gone(pid: int) -> bool:
    found = identity.of(pid)
    return found is None or not found.alive()


def ask(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        return int(client.makefile().readline())


def test_ready_is_announced_once_with_the_real_port(serve) -> None:
    server = serve()
    document = server.document()
    assert ProcessIdentity.from_document(document).alive()
    assert document["pid"] == server.process.pid
    assert (document["version"], document["workers"]) == (__version__, 1)
    assert ask(server.port()) == server.pids("gateway 0 started")[0]
    port = server.port()
    assert server.stop() == 0
    out, err = server.output()
    ready = f"Mooring {__version__} is ready at http://127.0.0.1:{port} (data in {server.paths.root})"
    assert out.splitlines() == [ready, "stopped"]
    assert "starting…" not in err
    resolved = Settings.from_json((server.notes / "settings control").read_text())
    assert (resolved.server.port, resolved.server.data_dir) == (port, str(server.paths.root))


def test_not_ready_before_every_awaited_child_is_and_says_what_it_waits_for(serve) -> None:
    slow = {**CONTROL, "flags": ["--ready-delay", "1.3"]}
    never = {**OBJECTS, "flags": ["--ready-delay", "60"]}
    server = serve(GATEWAY, slow, never)
    wait_until(lambda: len(server.pids("control started")) == 1)
    time.sleep(0.3)
    assert not server.paths.server_file.exists()
    server.document()
    server.stop()
    assert "starting… waiting for control\n" in server.output()[1]


def test_stops_in_order_and_leaves_nothing(serve) -> None:
    server = serve(
        {**GATEWAY, "flags": ["--stop-delay", "0.1"]}, {**CONTROL, "flags": ["--stop-delay", "0.1"]}, OBJECTS
    )
    wait_until(lambda: (server.notes / "settings objects").exists() and server.document())
    assert server.stop() == 0
    stops = [line for line in server.log() if "stop" in line]
    assert stops == [
        f"{name} {what}" for name in ("gateway 0", "control", "objects") for what in ("stopping", "stopped")
    ]
    assert all(gone(pid) for name in ("gateway 0", "control", "objects") for pid in server.pids(f"{name} started"))
    assert not server.paths.server_file.exists()
    assert list(server.paths.sockets.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_stop_signal_stops(serve, number: int) -> None:
    server = serve()
    server.document()
    assert server.stop(number) == 0


def test_two_signals_at_once_are_one_wish(serve) -> None:
    server = serve({**GATEWAY, "flags": ["--stop-delay", "0.2"]}, CONTROL)
    server.document()
    server.process.send_signal(signal.SIGINT)
    assert server.stop(signal.SIGTERM) == 0
    assert "gateway 0 stopped" in server.log()


def test_child_that_ignores_sigterm_is_killed_at_its_deadline(serve) -> None:
    server = serve({**GATEWAY, "flags": ["--ignore-sigterm"], "stop_timeout_s": 0.2}, CONTROL)
    server.document()
    assert server.stop() == 0
    assert "control stopped" in server.log()
    assert gone(server.pids("gateway 0 started")[0])
    assert "gateway 0 did not stop" in server.output()[1]


def test_later_signal_kills_at_once_and_a_slow_stop_says_so(serve) -> None:
    server = serve({**GATEWAY, "flags": ["--ignore-sigterm"], "stop_timeout_s": 60}, CONTROL)
    server.document()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(1.3)
    assert server.process.poll() is None
    assert server.stop() == 1
    assert gone(server.pids("gateway 0 started")[0])
    assert gone(server.pids("control started")[0])
    out, err = server.output()
    assert re.search("stopping… waiting for gateway 0, 5[0-9] s at most; a second Ctrl-C ends it at once\n", err)
    assert out.splitlines()[-1] == "stopped"


def test_stop_that_lets_requests_finish_says_so_after_a_second(serve) -> None:
    slow = {"flags": ["--stop-delay", "1.4"], "holds": "requests in flight", "stop_timeout_s": 12.0}
    server = serve({**GATEWAY, **slow}, CONTROL)
    server.document()
    assert server.stop(signal.SIGINT) == 0
    out, err = server.output()
    (line,) = [line for line in err.splitlines() if line.startswith("stopping…")]
    assert re.fullmatch(
        r"stopping… waiting for requests in flight \(gateway 0\), 1[01] s at most; a second Ctrl-C ends it at once",
        line,
    )
    assert out.splitlines()[-1] == "stopped"


@pytest.mark.parametrize("name", ["gateway 0", "control", "objects"])
def test_killed_child_is_started_again(serve, name: str) -> None:
    server = serve(GATEWAY, CONTROL, OBJECTS)
    wait_until(lambda: (server.notes / "settings objects").exists() and server.document())
    os.kill(server.pids(f"{name} started")[0], signal.SIGKILL)
    wait_until(lambda: len(server.pids(f"{name} started")) == 2)
    wait_until(lambda: ask(server.port()) in server.pids("gateway 0 started"))
    assert server.stop() == 0
    assert f"{name} ended (signal 9); starting it again" in server.output()[1]


def test_rest_of_a_killed_childs_group_is_killed(serve) -> None:
    server = serve(GATEWAY, {**CONTROL, "flags": ["--hold-group"]})
    server.document()
    helper = wait_until(lambda: server.pids("control helper"))[0]
    os.kill(server.pids("control started")[0], signal.SIGKILL)
    wait_until(lambda: gone(helper))


def test_connections_queued_at_a_killed_gateway_are_served_by_its_successor(serve) -> None:
    server = serve()
    port = server.port()
    first = ask(port)
    os.kill(first, signal.SIGSTOP)
    queued = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(20)]
    os.kill(first, signal.SIGKILL)
    answers = []
    for client in queued:
        with client:
            answers.append(int(client.makefile().readline()))
    assert len(answers) == 20
    assert set(answers) == {server.pids("gateway 0 started")[1]}


def test_killed_supervisor_takes_its_children_along(serve) -> None:
    server = serve(GATEWAY, CONTROL, OBJECTS)
    wait_until(lambda: (server.notes / "settings objects").exists() and server.document())
    pids = [server.pids(f"{name} started")[0] for name in ("gateway 0", "control", "objects")]
    server.process.kill()
    wait_until(lambda: all(gone(pid) for pid in pids), seconds=5)


def test_successor_of_a_killed_supervisor_serves_on_the_same_port_at_once(serve) -> None:
    server = serve()
    port = server.port()
    server.process.kill()
    server.process.wait(10)
    successor = serve(port=port)
    wait_until(lambda: successor.pids("gateway 0 started"))
    wait_until(lambda: successor.document()["pid"] == successor.process.pid)
    assert ask(port) == successor.pids("gateway 0 started")[0]


def test_child_that_never_comes_up_ends_the_start(serve) -> None:
    server = serve(GATEWAY, {**CONTROL, "flags": ["--fail", "3"]})
    out, err = server.output()
    assert server.process.returncode == 1
    assert out == ""
    assert err.splitlines()[-1].startswith("mooring: control ended 5 times while starting")
    assert "exit code 3" in err
    assert len(server.pids("control started")) == 5
    assert gone(server.pids("gateway 0 started")[0])


def test_child_that_fails_after_the_start_is_tried_forever_but_ever_more_slowly(serve) -> None:
    server = serve(GATEWAY, CONTROL, {**OBJECTS, "flags": ["--fail", "1"]})
    server.document()
    wait_until(lambda: len(server.pids("objects started")) >= 5)
    time.sleep(0.5)
    assert len(server.pids("objects started")) <= 6
    assert server.stop() == 0


def test_child_that_says_that_it_cannot_be_used_ends_the_server_without_another_word(serve) -> None:
    server = serve(GATEWAY, {**CONTROL, "flags": ["--fail", "78"]})
    out, err = server.output()
    assert (server.process.returncode, out, err) == (1, "", "")
    assert len(server.pids("control started")) == 1


def test_replica_record_of_another_process_ends_nothing(short_directory: Path) -> None:
    paths = Paths(short_directory / "data")
    assert end_left_replicas(paths) == 0
    assert not paths.root.exists()
    me = identity.of(os.getpid())
    assert me is not None
    (paths.replicas / "replica-0").mkdir(parents=True)
    record = {**me.to_document(), "start_time": "1"}
    (paths.replicas / "replica-0" / "identity.json").write_text(json.dumps(record))
    assert end_left_replicas(paths) == 0
    assert not paths.lock.exists()


ORPHAN_MAKER = """
import json, os, sys, time
from pathlib import Path
from mooring.processes import identity
directory = Path(sys.argv[1])
pid = os.fork()
if pid == 0:
    os.setsid()
    me = identity.of(os.getpid())
    directory.mkdir(parents=True)
    (directory / "identity.json.tmp").write_text(json.dumps(me.to_document()))
    (directory / "identity.json.tmp").rename(directory / "identity.json")
    while not (directory / "end").exists():
        time.sleep(0.005)
    os._exit(5)
while not (directory / "identity.json").exists():
    time.sleep(0.005)
os._exit(0)
"""


@pytest.fixture
def orphan_child(tmp_path: Path) -> Path:
    program = tmp_path / "orphan_maker.py"
    program.write_text(ORPHAN_MAKER)
    return program


@pytest.mark.skipif(sys.platform != "linux", reason="child subreaper")
class TestOrphans:
    """Replicas whose parent died: reaped with a record, killed at the stop, left alone by kill -9."""

    @pytest.fixture
    def replica(self, serve, orphan_child: Path, short_directory: Path):
        directory = short_directory / "data" / "run" / "replicas" / "replica-0"
        flags = ["--orphan-maker", str(orphan_child), "--replica", str(directory)]
        server = serve(GATEWAY, {**CONTROL, "flags": flags})
        server.document()
        found = wait_until(lambda: ProcessIdentity.read(directory / "identity.json"))
        yield server, directory, found
        if found.alive():
            os.kill(found.pid, signal.SIGKILL)

    def test_exit_is_recorded(self, replica) -> None:
        server, directory, found = replica
        (directory / "end").touch()
        wait_until(lambda: (directory / "exit.json").exists())
        record = json.loads((directory / "exit.json").read_text())
        assert (record["pid"], record["returncode"], record["reaped_by"]) == (found.pid, 5, "supervisor")
        assert not found.present()
        assert server.stop() == 0

    def test_stop_kills_what_control_left(self, replica) -> None:
        server, directory, found = replica
        assert server.stop() == 0
        assert not found.present()
        assert json.loads((directory / "exit.json").read_text())["returncode"] == -signal.SIGKILL

    def test_left_by_a_killed_supervisor_is_ended_by_hand_with_its_socket(self, replica) -> None:
        server, directory, found = replica
        stale = server.paths.replica_socket(directory.name)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(stale))
        with pytest.raises(DataDirectoryError, match="in use by another Mooring"):
            end_left_replicas(server.paths)
        assert found.alive()
        server.process.kill()
        server.process.wait(10)
        assert end_left_replicas(server.paths) == 1
        assert not found.alive()
        assert not stale.exists()
        assert end_left_replicas(server.paths) == 0

    def test_outlives_a_killed_supervisor_and_keeps_its_socket(self, replica, serve) -> None:
        server, directory, found = replica
        kept, stale = (server.paths.replica_socket(name) for name in (directory.name, "replica-1"))
        for path in (kept, stale):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        server.process.kill()
        server.process.wait(10)
        successor = serve()
        wait_until(lambda: successor.pids("control started"))
        assert found.alive()
        assert kept.exists()
        assert not stale.exists()
