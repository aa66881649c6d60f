"""Processes that die: what fails, what does not, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from mooring.processes.identity import of
from tests.acceptance.running import Deployment, Load, Server, wait_until


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def restarted(server: Server, name: str, old: int) -> bool:
    """Whether `mooring status` names another pid by now."""
    found = server.command("status", "--json")
    if found.returncode != 0:
        return False
    pids = [each["pid"] for each in json.loads(found.stdout)["processes"] if each["name"] == name]
    return bool(pids) and pids[0] != old


def pids(server: Server, endpoint: str) -> set[int]:
    return {replica["pid"] for replica in server.replicas(endpoint)}


def test_control_dies_under_load(own: Deployment) -> None:
    name = own.simple("steady", InitialInstanceCount=2)
    before = pids(own.server, name)
    with Load(own, name) as load:
        control = own.server.process("control")
        kill(control)
        load.wait_for_more(50)
        wait_until(lambda: restarted(own.server, "control", control), what="control to be restarted")
        load.wait_for_more(50)
    assert load.failures == []
    assert pids(own.server, name) == before
    own.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": 1}]
    )
    own.wait(name)
    assert own.simple("another")


def test_a_call_waits_for_control(own: Deployment) -> None:
    control = own.server.process("control")
    identity = of(control)
    assert identity is not None
    kill(control)
    # A call that the dying process still accepted has been sent, and rightly ends as 503.
    wait_until(lambda: not identity.alive(), what="control to be dead")
    assert own.server.client("sagemaker").list_models()["Models"] == []


def test_a_gateway_dies_under_load(own: Deployment) -> None:
    name = own.simple("steady")
    with Load(own, name, threads=3) as load:
        gateway = own.server.process("gateway 0")
        kill(gateway)
        load.wait_for_more(100)
    # Only what was in flight: at most one call a thread.
    assert len(load.failures) <= 3, load.failures
    assert restarted(own.server, "gateway 0", gateway)


def test_a_replica_dies_under_load(own: Deployment) -> None:
    name = own.simple("steady", InitialInstanceCount=2)
    victim = min(pids(own.server, name))
    with Load(own, name, threads=3) as load:
        kill(victim)
        load.wait_for_more(100)
        wait_until(lambda: len(pids(own.server, name) - {victim, None}) == 2, what="a new replica")
        wait_until(lambda: all(each["state"] == "healthy" for each in own.server.replicas(name)))
        load.wait_for_more(50)
    assert len(load.failures) <= 3, load.failures
    assert all(isinstance(error, ClientError) for error in load.failures)
    assert {error.response["Error"]["Code"] for error in load.failures} <= {"ModelError"}  # type: ignore[attr-defined]


def test_the_only_replica_dies_in_a_call(own: Deployment) -> None:
    script = """
import os, time
def model_fn(d): return None
def transform_fn(model, body, content_type, accept):
    if body == "die": os.kill(os.getpid(), 9)
    return "alive", "text/plain"
"""
    name = own.simple("fragile", script)
    with pytest.raises(ClientError) as error:
        own.runtime.invoke_endpoint(EndpointName=name, Body=b"die", ContentType="text/csv")
    assert error.value.response["Error"]["Code"] == "ModelError"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424

    def alive() -> bool:
        try:
            own.runtime.invoke_endpoint(EndpointName=name, Body=b"x", ContentType="text/csv")
        except ClientError as refused:
            assert refused.response["Error"]["Code"] in ("ServiceUnavailable", "ModelError")
            return False
        return True

    wait_until(alive, what="a new replica to answer")


def test_a_replica_that_hangs_is_replaced(make_server: Callable[..., Server]) -> None:
    hasty = {"PING_INTERVAL_S": "0.1", "PING_TIMEOUT_S": "0.5", "PING_FAILURES": "2", "STOP_GRACE_S": "0.5"}
    server = make_server(**{f"MOORING_REPLICAS_{name}": value for name, value in hasty.items()}).start()
    deployment = Deployment(server)
    name = deployment.simple("hanging", InitialInstanceCount=2)
    victim = min(pids(server, name))
    os.kill(victim, signal.SIGSTOP)
    wait_until(lambda: victim not in pids(server, name) and len(pids(server, name) - {None}) == 2, what="another")
    wait_until(lambda: all(each["state"] == "healthy" for each in server.replicas(name)))
    identity = of(victim)
    assert identity is None or not identity.alive()
    assert {deployment.invoke(name)["pid"] for _ in range(30)} == pids(server, name)


def test_the_objects_front_dies(own: Deployment) -> None:
    own.s3.put_object(Bucket=own.bucket, Key="kept", Body=b"data", ContentType="text/x-kept")
    kill(own.server.process("objects"))
    found = own.s3.get_object(Bucket=own.bucket, Key="kept")
    assert (found["Body"].read(), found["ContentType"]) == (b"data", "text/x-kept")


def test_the_supervisor_dies(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    deployment = Deployment(server)
    name = deployment.simple("survivor")
    replicas = pids(server, name)
    others = {each["pid"] for each in server.status()["processes"]}
    identities = [identity for pid in others if (identity := of(pid)) is not None]
    server.kill_supervisor()
    began = time.monotonic()
    wait_until(lambda: not any(identity.alive() for identity in identities), timeout=5, what="the others to exit")
    assert time.monotonic() - began < 2  # a second, and this machine's noise
    assert all(of(pid) is not None for pid in replicas)
    server.start()
    deployment = _again(server)
    wait_until(lambda: _answers(deployment, name), what="the adopted replica to answer")
    assert pids(server, name) == replicas
    assert deployment.invoke(name)["pid"] in replicas


def _again(server: Server) -> Deployment:
    deployment = Deployment.__new__(Deployment)
    deployment.server = server
    deployment.sagemaker = server.client("sagemaker", retries=3)
    deployment.runtime = server.client("sagemaker-runtime")
    return deployment


def _answers(deployment: Deployment, name: str) -> bool:
    try:
        deployment.invoke(name)
    except ClientError:
        return False
    return True


def test_nothing_is_left_after_a_stop(make_server: Callable[..., Server]) -> None:
    server = make_server().start("--workers", "2")
    deployment = Deployment(server)
    deployment.simple("one", InitialInstanceCount=2)
    server.note_processes()
    stopped = server.command("stop")
    assert stopped.returncode == 0, stopped.stderr
    wait_until(lambda: not server.survivors(), timeout=10, what="every process to end")
    assert not list((server.data / "run" / "replicas").iterdir())
    server.start()
    deployment = _again(server)
    wait_until(lambda: _answers(deployment, "one"), what="the endpoint to serve again")


DEATH_TRAP = """
import os, signal, sys
marker = {marker!r}
if "mooring.api" in sys.orig_argv:
    replace, write = os.replace, os.write
    def trap(doomed):
        if doomed and os.path.exists(marker):
            os.unlink(marker)
            os.kill(os.getpid(), signal.SIGKILL)
    def trapped_replace(source, target, **options):
        trap({moment!r} == "before the record" and str(target).endswith("identity.json"))
        return replace(source, target, **options)
    def trapped_write(descriptor, data):
        trap({moment!r} == "after the record" and data == b"1")
        return write(descriptor, data)
    os.replace, os.write = trapped_replace, trapped_write
"""


@pytest.mark.parametrize("moment", ["before the record", "after the record"])
def test_control_dies_between_spawn_and_release(
    make_server: Callable[..., Server], tmp_path: Path, moment: str
) -> None:
    """The replica waits to be recorded and released: when control dies before that, it exits, and none is leaked."""
    marker = tmp_path / "die"
    (tmp_path / "sitecustomize.py").write_text(DEATH_TRAP.format(marker=str(marker), moment=moment))
    server = make_server(PYTHONPATH=str(tmp_path)).start()
    deployment = Deployment(server)
    deployment.model("leaky")
    marker.touch()
    deployment.endpoint("leaky", deployment.variant("leaky"))
    wait_until(lambda: not marker.exists(), what="control to die")
    deployment.wait("leaky")
    replicas = server.replicas("leaky")
    assert len(replicas) == 1
    running = [path for path in Path("/proc").glob("[0-9]*") if _works_below(path, server.data)]
    assert [int(path.name) for path in running] == [replicas[0]["pid"]]


def _works_below(process: Path, data: Path) -> bool:
    try:
        return str((process / "cwd").readlink()).startswith(str(data / "run" / "replicas"))
    except OSError:
        return False
