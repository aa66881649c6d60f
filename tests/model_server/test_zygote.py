"""Warm parents: the handshake, what a child inherits, what is told of its end, and that no message ends one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.model_server.conftest import Serve
from tests.model_server.serving import Replica, Zygote, gone, prepare, until

LOOK = """
import os, random, sys
import json
def model_fn(d):
    held = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            held[name] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return {
        "fds": held, "environment": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv, "sid": os.getsid(0),
        "random": random.random(), "pid": os.getpid(), "path": sys.path, "status": open("/proc/self/status").read(),
    }
def predict_fn(data, model): return model
"""


def look(replica: Replica) -> dict[str, Any]:
    found: dict[str, Any] = replica.invoke("1", "application/json").json
    return found


def test_child_holds_its_socket_its_log_and_nothing_else(serve: Serve) -> None:
    replica = serve(LOOK)
    held = look(replica)["fds"]
    log = str(replica.root / "log")
    assert held.pop("0") == "/dev/null"
    assert held.pop("1") == held.pop("2") == log
    assert held.pop("3").startswith("socket:")
    own = {name for name, target in held.items() if target == log or target == f"/proc/{replica.pid}/fd"}
    assert set(held) == own, held  # a duplicate of the log, and the listing itself


def test_child_has_exactly_its_environment_and_its_own_everything(serve: Serve) -> None:
    environment = {"ONLY": "this", "TZ": "Asia/Tokyo"}
    replica = serve(LOOK, environment=environment)
    found = look(replica)
    assert found["environment"] == environment
    assert found["cwd"] == replica.spec["work_dir"]
    assert found["argv"] == ["mooring-replica", "replica-test"]
    assert found["pid"] == found["sid"] == replica.pid
    assert str(Path.cwd()) not in found["path"]
    signals = dict(line.split(":\t", 1) for line in found["status"].splitlines() if line.startswith("Sig"))
    assert int(signals["SigBlk"], 16) == 0
    start_time = Path(f"/proc/{replica.pid}/stat").read_text().rpartition(")")[2].split()[19]
    assert replica.start_time == start_time


def test_children_differ_in_their_random_state(serve: Serve) -> None:
    assert look(serve(LOOK))["random"] != look(serve(LOOK))["random"]


def test_child_that_is_never_recorded_leaves_nothing(plain_zygote: Zygote, tmp_path: Path) -> None:
    replica = prepare(tmp_path / "r", "print('ran')\ndef model_fn(d): return 1\n")
    plain_zygote.spawn(replica, recorded=b"")
    assert plain_zygote.returncode(replica.pid) == 0
    assert gone(replica.pid)
    assert replica.log == ""
    with pytest.raises(ConnectionRefusedError):
        replica.ping()


def test_connection_made_before_the_model_is_loaded_gets_its_answer_then(serve: Serve) -> None:
    replica = serve("import time\ndef model_fn(d): time.sleep(0.3); return 1\ndef predict_fn(data, model): return 1\n")
    assert replica.ping().status == 200


def test_killed_child_is_reaped_and_told(serve: Serve, plain_zygote: Zygote) -> None:
    replica = serve(LOOK)
    replica.ping()
    os.kill(replica.pid, signal.SIGKILL)
    record = replica.document("exit.json")
    assert (record["pid"], record["returncode"], record["reaped_by"]) == (replica.pid, -9, "zygote")
    assert isinstance(record["at"], float)
    assert plain_zygote.returncode(replica.pid) == -9


@pytest.mark.parametrize("how", ["killed", "channel closed"])
def test_replicas_outlive_their_zygote(tmp_path: Path, how: str) -> None:
    zygote = Zygote().wait_ready()
    replica = zygote.spawn(prepare(tmp_path / "r", LOOK))
    try:
        replica.ping()
        if how == "killed":
            zygote.process.kill()
        zygote.close()
        assert replica.ping().status == 200
        assert look(replica)["pid"] == replica.pid
    finally:
        zygote.close()
        replica.close()


def test_own_program_gets_the_socket_as_descriptor_3(serve: Serve, tmp_path: Path) -> None:
    spec_file = tmp_path / "spec.json"
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "mooring_model_server", "--spec", str(spec_file)]
    program = prepare(tmp_path / "x", LOOK, environment=environment)
    spec_file.write_text(json.dumps({**program.spec, "command": None}))
    replica = serve(LOOK, environment=environment, command=command)
    found = look(replica)
    assert found["environment"] | {"LC_CTYPE": ""} == environment | {"LC_CTYPE": ""}
    assert set(found["fds"]) == {"0", "1", "2", "3", "10"}  # 10 is the server's duplicate of the log
    assert found["pid"] == replica.pid


def test_program_that_does_not_exist_is_in_the_log(serve: Serve) -> None:
    replica = serve(LOOK, command=["/nowhere/python"])
    assert replica.document("exit.json")["returncode"] == 4
    assert "/nowhere/python" in replica.log


@contextlib.contextmanager
def descriptors() -> Iterator[tuple[int, int, int]]:
    read_end, write_end = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        yield read_end, null, read_end
    finally:
        for descriptor in (read_end, write_end, null):
            os.close(descriptor)


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\xff", b"null", b"[]", b"{}", b'{"id": 1}', b'{"id": [], "spawn": {}}', b'{"id": 1, "spawn": 3}',
        b"[" * 100_000, b'{"id": 1, "spawn": {"replica_id": "\\ud800"}}', b'{"id": NaN}',
        b'{"id": 1' + b"0" * 5000 + b"}",
        b" " * 150_000,
    ],
)  # fmt: skip
def test_nothing_that_arrives_ends_it(plain_zygote: Zygote, message: bytes) -> None:
    with descriptors() as passed:
        plain_zygote.send(message, passed)
    assert plain_zygote.answer("failed")["error"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"framework": "cobol"}, "framework must be one of"),
        ({"model_dir": "relative"}, "model_dir must be an absolute path"),
        ({"model_dir": None}, "model_dir is missing"),
        ({"environment": {"A=B": "c"}}, "environment has a name"),
        ({"environment": {"A": "b\0c"}}, "environment must be a string without NUL"),
        ({"environment": {"A": 1}}, "environment must be a string"),
        ({"workers": 0}, "workers must be a whole number from 1"),
        ({"timeout_s": True}, "timeout_s must be seconds"),
        ({"command": []}, "command must be a list"),
        ({"work_dir": "/x\ud800"}, "work_dir "),
    ],
)
def test_bad_specs_are_refused_by_field(
    plain_zygote: Zygote, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    spec = prepare(tmp_path / "r", LOOK, **change).spec
    with descriptors() as passed:
        plain_zygote.send(json.dumps({"id": 5, "spawn": spec}).encode(), passed)
    failed = plain_zygote.answer("failed")
    assert failed["id"] == 5
    assert said in failed["error"]


def test_descriptors_must_come_along_and_do_not_pile_up(plain_zygote: Zygote, tmp_path: Path) -> None:
    spec = prepare(tmp_path / "r", LOOK).spec
    held = Path(f"/proc/{plain_zygote.process.pid}/fd")
    before = len(list(held.iterdir()))
    for _ in range(5):
        with descriptors() as passed:
            plain_zygote.send(json.dumps({"id": "a", "spawn": spec}).encode(), passed + passed)
        assert "3 descriptors are needed, 6 came" in plain_zygote.answer("failed")["error"]
    until(lambda: len(list(held.iterdir())) <= before, "they are closed")


def test_unusable_framework_is_said_and_it_exits() -> None:
    if "torch" in sys.modules or _importable("torch"):
        pytest.skip("torch is installed here")
    zygote = Zygote("pytorch")
    try:
        assert zygote.wait_ready().ready == {"ready": False, "error": "ModuleNotFoundError: No module named 'torch'"}
        assert zygote.process.wait(10) == 1
    finally:
        zygote.close()


def _importable(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def test_interrupt_is_ignored(plain_zygote: Zygote) -> None:
    os.kill(plain_zygote.process.pid, signal.SIGINT)
    with descriptors() as passed:
        plain_zygote.send(b"{}", passed)
    assert plain_zygote.answer("failed")["id"] is None


def test_ready_says_versions_and_one_thread(sklearn_zygote: Zygote) -> None:
    import sklearn

    assert sklearn_zygote.ready["imported"] == {"sklearn": sklearn.__version__}
    assert sklearn_zygote.ready["threads"] == 1


def test_workers_share_the_socket_and_die_with_their_main_process(serve: Serve) -> None:
    script = (
        "import os, time\ndef model_fn(d): return os.getpid()\n"
        "def predict_fn(data, model): time.sleep(data); return model\n"
    )
    replica = serve(script, workers=2)

    def seen_together() -> set[int] | None:
        clients = [replica.connect() for _ in range(2)]
        for client in clients:
            client.request("POST", "/invocations", b"0.2", {"Content-Type": "application/json"})
        pids = {json.loads(client.getresponse().read()) for client in clients}
        return pids if len(pids) == 2 else None  # one worker has them both until the other is loaded

    workers = until(seen_together, "two workers answer at once")
    assert replica.pid not in workers
    victim, other = sorted(workers)
    os.kill(victim, signal.SIGKILL)
    until(lambda: "another starts" in replica.log, "the death was seen")
    assert {replica.invoke("0.01", "application/json").status for _ in range(5)} == {200}
    os.kill(replica.pid, signal.SIGKILL)
    until(lambda: gone(other), "the worker died with its main process")


def test_workers_stop_in_order_and_share_a_failure(serve: Serve) -> None:
    good = serve("def model_fn(d): return 1\n", workers=2)
    good.ping()
    os.kill(good.pid, signal.SIGTERM)
    assert good.document("exit.json")["returncode"] == 0
    bad = serve("def model_fn(d): raise OSError('no file')\n", workers=2)
    assert bad.document("exit.json")["returncode"] == 3
    assert bad.document("failure.json") == {"where": "model_fn", "reason": "OSError: no file"}


def test_socket_is_not_left_listening_by_the_zygote(serve: Serve) -> None:
    replica = serve(LOOK)
    replica.ping()
    os.kill(replica.pid, signal.SIGKILL)
    replica.document("exit.json")
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(replica.socket))
