"""Whatever a script does to its process, the server answers the next call."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from tests.model_server.conftest import Serve
from tests.model_server.serving import Replica, UnixClient, gone, until

MISBEHAVING = """
import os, sys, threading, time
def model_fn(d): return 1
def predict_fn(data, model):
    exec(data)
    return "fine"
"""

PLAIN = {"Content-Type": "text/plain"}


def begin(replica: Replica, deed: str) -> UnixClient:
    client = replica.connect()
    client.request("POST", "/invocations", deed.encode(), PLAIN)
    return client


def connection_ends(client: UnixClient) -> bool:
    try:
        return client.sock.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("deed", "status", "said"),
    [
        ("sys.exit('bye')", 500, "SystemExit: bye"),
        ("raise KeyboardInterrupt('stop')", 500, "KeyboardInterrupt: stop"),
        ("raise MemoryError('much')", 500, "MemoryError: much"),
        ("f = lambda: f()\nglobals()['f'] = f\nf()", 500, "RecursionError"),
        ("os.chdir('/')", 200, "fine"),
        ("sys.stdout.close(); sys.stderr.close()", 200, "fine"),
        ("os.close(0); os.close(1); os.close(2)", 200, "fine"),
        ("sys.stdout = sys.stderr = None", 200, "fine"),
        ("print('x' * 10_000_000)", 200, "fine"),
        ("threading.Thread(target=time.sleep, args=(60,)).start()", 200, "fine"),
        ("import logging; logging.disable(); logging.shutdown()", 200, "fine"),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.set_wakeup_fd(-1)", 200, "fine"),
        ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})", 200, "fine"),
        ("import asyncio; asyncio.run(asyncio.sleep(0))", 200, "fine"),
        ("os.environ.clear(); sys.path.clear()", 200, "fine"),
    ],
)
def test_server_goes_on(serve: Serve, deed: str, status: int, said: str) -> None:
    replica = serve(MISBEHAVING)
    client = replica.connect()
    first = replica.ask("POST", "/invocations", deed.encode(), {"Content-Type": "text/plain"}, client)
    assert (first.status, said in first.body.decode()) == (status, True)
    after = replica.ask("POST", "/invocations", b"print('printed after')", {"Content-Type": "text/plain"}, client)
    assert (after.status, after.json) == (200, "fine")
    assert replica.ping().status == 200
    assert "printed after" in replica.log


def test_ping_is_answered_during_a_long_call_and_calls_queue(serve: Serve) -> None:
    replica = serve(MISBEHAVING)
    replica.ping()
    slow: list[float] = []

    def call() -> None:
        assert replica.invoke("time.sleep(0.4)", "text/plain").status == 200
        slow.append(time.monotonic())

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert replica.ping().status == 200
    assert replica.ask("GET", "/execution-parameters").json["MaxPayloadInMB"] == 6
    assert not slow
    for thread in threads:
        thread.join(10)
    assert slow[1] - slow[0] > 0.3  # one at a time


def test_rest_of_an_answer_is_sent_during_the_next_call(serve: Serve) -> None:
    large = 8_000_000  # far more than a socket holds
    replica = serve(MISBEHAVING.replace('return "fine"', f'return "x" * {large} if data == "pass" else "fine"'))
    first = begin(replica, "pass")
    assert first.sock.recv(1) == b"H"
    second = begin(replica, "import pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.005)")
    got = 1
    while got < large:
        got += len(first.sock.recv(1 << 20))
    (replica.root / "work" / "go").touch()
    assert second.getresponse().status == 200


def test_call_whose_client_left_is_not_run(serve: Serve) -> None:
    replica = serve(MISBEHAVING)
    replica.ping()
    busy, left = replica.connect(), replica.connect()
    headers = {"Content-Type": "text/plain"}
    busy.request("POST", "/invocations", b"time.sleep(0.3)", headers)
    time.sleep(0.05)
    left.request("POST", "/invocations", b"print('ran for nobody')", headers)
    time.sleep(0.05)
    left.close()
    assert busy.getresponse().status == 200
    assert replica.invoke("print('ran for me')", "text/plain").status == 200
    assert "ran for me" in replica.log
    assert "nobody" not in replica.log


def test_stop_finishes_what_is_in_flight(serve: Serve) -> None:
    replica = serve(MISBEHAVING + "\nimport atexit\natexit.register(print, 'at exit')\n")
    idle = replica.connect()
    replica.ask("GET", "/ping", client=idle)
    client = replica.connect()
    client.request("POST", "/invocations", b"time.sleep(0.4)", {"Content-Type": "text/plain"})
    time.sleep(0.1)
    os.kill(replica.pid, signal.SIGTERM)
    response = client.getresponse()
    assert (response.status, response.read(), response.getheader("Connection")) == (200, b'"fine"', "close")
    assert replica.document("exit.json")["returncode"] == 0
    assert "at exit" in replica.log
    with pytest.raises(OSError):
        replica.ping()


def test_stop_while_loading_ends_at_once(serve: Serve) -> None:
    replica = serve("import time\nprint('loading')\ndef model_fn(d): time.sleep(60)\n")
    until(lambda: "loading" in replica.log, "loading")
    os.kill(replica.pid, signal.SIGTERM)
    assert replica.document("exit.json")["returncode"] == -signal.SIGTERM


def test_stop_does_not_wait_for_threads_left_behind(serve: Serve) -> None:
    replica = serve(MISBEHAVING)
    assert replica.invoke("threading.Thread(target=time.sleep, args=(60,)).start()", "text/plain").status == 200
    os.kill(replica.pid, signal.SIGTERM)
    assert replica.document("exit.json")["returncode"] == 0


def test_stop_gives_up_on_a_call_that_never_ends(serve: Serve) -> None:
    replica = serve(MISBEHAVING, timeout_s=0.3)
    client = replica.connect()
    client.request("POST", "/invocations", b"time.sleep(60)", {"Content-Type": "text/plain"})
    time.sleep(0.2)
    os.kill(replica.pid, signal.SIGTERM)
    assert replica.document("exit.json")["returncode"] == 1
    assert "still busy after 0.3 s" in replica.log


def test_programs_that_a_script_starts_do_not_hold_the_address(serve: Serve) -> None:
    replica = serve(
        """
import os, subprocess
LIST = ["ls", "-l", "/proc/self/fd"]
def model_fn(d): return subprocess.run(LIST, close_fds=False, capture_output=True, text=True).stdout
def predict_fn(data, model): return model
"""
    )
    held = replica.invoke("1", "application/json").json
    assert "socket:" not in held
    os.kill(replica.pid, signal.SIGKILL)
    until(lambda: gone(replica.pid), "killed")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("deed", ["os._exit(7)", "os.closerange(3, 1000)", "os.kill(os.getpid(), 9)", "os.close(3)"])
def test_process_that_a_script_ruined_ends_and_its_caller_sees_that(serve: Serve, deed: str, workers: int) -> None:
    if deed == "os.close(3)" and workers > 1:
        deed = "[os.close(n) for n in range(3, 10) if not _closed(n)]"
    replica = serve(
        MISBEHAVING + "\ndef _closed(n):\n    try: os.fstat(n)\n    except OSError: return True\n", workers=workers
    )
    replica.ping()
    assert connection_ends(begin(replica, deed))
    if workers == 1:
        assert replica.document("exit.json")["returncode"] != 0
    else:
        until(lambda: "another starts" in replica.log, "the death was seen")
        assert {replica.invoke("1", "text/plain").status for _ in range(3)} == {200}
        assert replica.ping().status == 200


@pytest.mark.parametrize("said", ['b"{}" * 50', "frame({}, b'')", "frame([200], b'')", "frame(None, b'x') * 2"])
def test_worker_that_writes_what_is_not_its_to_say_is_replaced(serve: Serve, said: str) -> None:
    replica = serve(MISBEHAVING, workers=2)
    replica.ping()
    deed = f"""
import socket
from mooring_model_server.channel import frame
for number in range(3, 20):
    try: socket.socket(fileno=os.dup(number)).sendall({said})
    except OSError: pass
"""
    assert connection_ends(begin(replica, deed))
    until(lambda: "another starts" in replica.log, "the worker was given up")
    assert {replica.invoke("1", "text/plain").status for _ in range(4)} == {200}


@pytest.mark.parametrize(
    ("deed", "workers"), [("os.close(3)", 1), ("os.closerange(0, 1000)", 1), ("os.closerange(0, 1000)", 2)]
)
def test_script_that_closes_its_descriptors_while_loading_is_told(serve: Serve, deed: str, workers: int) -> None:
    replica = serve(f"import os\ndef model_fn(d): {deed}\n", workers=workers)
    assert "closed descriptors" in replica.document("failure.json")["reason"]
    assert replica.document("exit.json")["returncode"] == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_forked_child_does_not_keep_callers_waiting_for_the_end(serve: Serve, workers: int) -> None:
    replica = serve(MISBEHAVING, workers=workers)
    forks = "if os.fork() == 0:\n    time.sleep(30)\n    os._exit(0)\nos._exit(1)"
    replica.ping()
    try:
        assert connection_ends(begin(replica, forks))
        if workers == 1:
            replica.document("exit.json")
            with pytest.raises(ConnectionRefusedError):
                replica.ping()
        else:
            assert replica.invoke("1", "text/plain").status == 200
    finally:
        os.killpg(replica.pid, signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_forked_child_that_runs_on_answers_nobody(serve: Serve, workers: int) -> None:
    replica = serve(MISBEHAVING, workers=workers)
    client = begin(replica, "global child; child = os.fork()")
    assert client.getresponse().read() == b'"fine"'
    for _ in range(workers * 2):
        assert replica.invoke("1", "text/plain").status == 200


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("when", ["while loading", "in a call", "handler of its own"])
def test_stop_reaches_a_script_that_blocks_it(serve: Serve, when: str, workers: int) -> None:
    block = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
    if when == "handler of its own":
        block = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN); signal.set_wakeup_fd(-1)\n"
    replica = serve((block if when == "while loading" else "") + MISBEHAVING, workers=workers)
    deed = "1" if when == "while loading" else block
    for _ in range(workers):
        assert replica.invoke(deed, "text/plain").status == 200
    os.killpg(replica.pid, signal.SIGTERM)
    assert replica.document("exit.json")["returncode"] == 0


def test_children_of_a_script_end_with_the_group(serve: Serve) -> None:
    replica = serve(MISBEHAVING, workers=2)
    deed = "import subprocess; print('child', subprocess.Popen(['sleep', '60']).pid, 'started')"
    assert replica.invoke(deed, "text/plain").status == 200
    child = int(until(lambda: "started" in replica.log and replica.log.split("child ")[1].split()[0], "it started"))
    os.killpg(replica.pid, signal.SIGTERM)
    assert replica.document("exit.json")["returncode"] == 0
    with contextlib.suppress(ProcessLookupError):
        os.killpg(replica.pid, signal.SIGKILL)
    until(lambda: gone(child), "the child is gone")
