"""Model code that does what it should not: it harms itself, and the rest goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from mooring.processes.identity import of
from tests.acceptance.running import Deployment, wait_until

PIPE_FOR_A_RECORD = """
import os
def model_fn(d):
    run = os.path.dirname(os.environ["HOME"])
    for name in ("failure.json", "exit.json"):
        os.mkfifo(os.path.join(run, name))
    os._exit(3)
"""
PIPE_FOR_A_LOG = """
import glob, os
def model_fn(d):
    log = os.readlink("/proc/self/fd/1")
    os.unlink(log)
    os.mkfifo(log)
def transform_fn(model, body, content_type, accept): return "{}", "application/json"
"""
DAEMON = """
import os, time
def model_fn(d):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open(os.path.join(os.environ["OUT"], "daemon"), "w").write(str(os.getpid()))
            time.sleep(300)
        os._exit(0)
def transform_fn(model, body, content_type, accept): return "{}", "application/json"
"""


def test_a_pipe_where_a_record_is_expected(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-pipe", PIPE_FOR_A_RECORD)
    shared.endpoint(name, shared.variant(name))
    assert "ping health check" in shared.wait(name, status="Failed")["FailureReason"]
    shared.sagemaker.delete_endpoint(EndpointName=name)
    assert shared.simple(f"{shared.prefix}-next")


def test_a_pipe_where_a_log_is_expected(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-pipelog", PIPE_FOR_A_LOG)
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    for _ in range(3):
        assert shared.server.command("logs", name, timeout=20).returncode == 0
    assert shared.simple(f"{shared.prefix}-next")


@pytest.mark.parametrize("text", ["\\udcff", "\\x1b[31m", "\\0", "x" * 5000])
def test_a_reason_that_no_json_can_hold(shared: Deployment, text: str) -> None:
    name = shared.model(f"{shared.prefix}-reason{ord(text[-1])}", f"def model_fn(d): raise ValueError('{text}')")
    shared.endpoint(name, shared.variant(name))
    reason = shared.wait(name, status="Failed")["FailureReason"]
    assert "model_fn failed" in reason
    assert reason.isprintable()
    assert len(reason) <= 1024


def test_a_zygote_that_dies_while_replicas_start(own: Deployment) -> None:
    own.simple("first")  # the zygote is warm
    zygote = own.server.process("zygote sklearn")
    os.kill(zygote, signal.SIGSTOP)
    own.model("second")
    own.endpoint("second", own.variant("second"))
    wait_until(lambda: own.server.status()["endpoints"], what="control")
    os.kill(zygote, signal.SIGKILL)
    own.wait("second")
    assert own.invoke("first")["model"] == "first"


def test_what_a_model_left_running_ends_with_the_server(own: Deployment, tmp_path: Path) -> None:
    own.model("daemon", DAEMON, Environment={"OUT": str(tmp_path)})
    own.endpoint("daemon", own.variant("daemon"))
    own.wait("daemon")
    wait_until((tmp_path / "daemon").exists, what="the daemon")
    wait_until(lambda: (tmp_path / "daemon").read_text(), what="its pid")
    pid = int((tmp_path / "daemon").read_text())
    try:
        assert own.server.stop() == 0
        assert not Path(f"/proc/{pid}").exists()
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def test_children_of_a_replica_that_crashed_go_with_it(shared: Deployment, tmp_path: Path) -> None:
    script = """
import os, time
def model_fn(d): return None
def transform_fn(model, body, content_type, accept):
    if body == "die":
        child = os.fork()
        if child == 0:
            time.sleep(300)
        open(os.path.join(os.environ["OUT"], "child"), "w").write(str(child))
        os._exit(1)
    return "{}", "application/json"
"""
    name = shared.model(f"{shared.prefix}-crash", script, Environment={"OUT": str(tmp_path)})
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    with pytest.raises(ClientError):
        shared.invoke(name, body=b"die")
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: (found := of(child)) is None or not found.alive(), what="the child to end")
    wait_until(lambda: any(each["state"] == "healthy" for each in shared.server.replicas(name)))
