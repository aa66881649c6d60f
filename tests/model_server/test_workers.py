"""Several workers: each call goes to one that is free, and `/ping` is answered while none is."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.model_server.conftest import Serve
from tests.model_server.serving import Replica, UnixClient, gone, until

SCRIPT = """
import glob, os, time
def model_fn(d): return os.getpid()
def predict_fn(data, model):
    if data == "end": os._exit(1)
    if isinstance(data, str):
        meet(data)
    else:
        time.sleep(data)
    return model
def meet(turn):
    open(f"{turn}-{os.getpid()}", "x").close()  # fails for a second call on one worker
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not os.path.exists(turn):
        time.sleep(0.005)
"""


def begin(replica: Replica, value: float | str, client: UnixClient | None = None) -> UnixClient:
    client = client or replica.connect()
    client.request("POST", "/invocations", json.dumps(value), {"Content-Type": "application/json"})
    return client


def pid_of(client: UnixClient) -> int:
    pid: int = json.loads(client.getresponse().read())
    return pid


def all_loaded(replica: Replica, count: int) -> set[int]:
    """Wait until each worker has answered; returns their pids."""

    def seen() -> set[int] | None:
        clients = [begin(replica, 0.1) for _ in range(count)]
        pids = {pid_of(client) for client in clients}
        for client in clients:
            client.close()
        return pids if len(pids) == count else None

    found: set[int] = until(seen, f"{count} workers answer at once")
    return found


def met(replica: Replica, turn: str) -> set[int]:
    """Wait until four workers are in a call of this turn; returns their pids."""
    files = until(lambda: len(found := list((replica.root / "work").glob(f"{turn}-*"))) == 4 and found, "four are busy")
    return {int(path.name.rpartition("-")[2]) for path in files}


def let_go(replica: Replica, turn: str) -> None:
    (replica.root / "work" / turn).touch()


@pytest.mark.parametrize("connections", ["kept", "new"])
def test_parallel_calls_go_to_workers_of_their_own_and_pings_are_answered_meanwhile(
    serve: Serve, connections: str
) -> None:
    replica = serve(SCRIPT, workers=4)
    workers = all_loaded(replica, 4)
    kept = [replica.connect() for _ in range(4)]
    for turn in "abcdefghij":
        clients = [begin(replica, turn, client if connections == "kept" else None) for client in kept]
        assert met(replica, turn) == workers
        assert replica.ping().status == 200
        let_go(replica, turn)
        assert {pid_of(client) for client in clients} == workers


def test_calls_that_wait_are_taken_by_whoever_is_free(serve: Serve) -> None:
    replica = serve(SCRIPT, workers=4)
    workers = all_loaded(replica, 4)
    first = [begin(replica, "first") for _ in range(4)]
    met(replica, "first")
    second = [begin(replica, "second") for _ in range(4)]
    assert replica.ping().status == 200
    let_go(replica, "first")
    assert met(replica, "second") == workers
    let_go(replica, "second")
    assert {pid_of(client) for client in first} == {pid_of(client) for client in second} == workers


def test_call_that_waits_goes_to_another_when_a_worker_dies(serve: Serve) -> None:
    replica = serve(SCRIPT, workers=2)
    workers = all_loaded(replica, 2)
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    until(lambda: gone(victim), "the worker died")
    answered = {pid_of(begin(replica, 0.01)) for _ in range(6)}
    assert victim not in answered


def test_ping_fails_while_no_worker_is_up(serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "closed"
    script = SCRIPT + f"\nwhile os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    replica = serve(script, workers=2)
    workers = all_loaded(replica, 2)
    gate.touch()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    until(lambda: replica.ping().status == 503, "the ping fails")
    waiting = begin(replica, 0)
    gate.unlink()
    assert pid_of(waiting) not in workers
    assert replica.ping().status == 200


def test_stop_finishes_calls_that_run_and_calls_that_wait(serve: Serve) -> None:
    replica = serve(SCRIPT, workers=2)
    all_loaded(replica, 2)
    clients = [begin(replica, 0.2) for _ in range(5)]
    until(lambda: replica.ping().status == 200, "they were read")
    os.killpg(replica.pid, signal.SIGTERM)
    assert [client.getresponse().status for client in clients] == [200] * 5
    assert replica.document("exit.json")["returncode"] == 0


@pytest.mark.parametrize("who", ["main", "front"])
def test_all_end_when_the_main_process_or_the_front_does(serve: Serve, who: str) -> None:
    replica = serve(SCRIPT, workers=2)
    workers = all_loaded(replica, 2)
    children = {int(pid) for pid in Path(f"/proc/{replica.pid}/task/{replica.pid}/children").read_text().split()}
    (front,) = children - workers
    os.kill(front if who == "front" else replica.pid, signal.SIGKILL)
    assert replica.document("exit.json")["returncode"] == (1 if who == "front" else -signal.SIGKILL)
    for pid in (*children, replica.pid):
        until(lambda pid=pid: gone(pid), "it is gone")


def test_stop_while_workers_load_ends_at_once(serve: Serve) -> None:
    replica = serve("import time\nprint('loading')\ndef model_fn(d): time.sleep(60)\n", workers=2)
    until(lambda: replica.log.count("loading") == 2, "loading")
    os.killpg(replica.pid, signal.SIGTERM)
    assert replica.document("exit.json")["returncode"] == 0
    assert gone(replica.pid)
