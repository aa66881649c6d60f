"""What a serverless replica may use: memory is really allocated past MemorySizeInMB, both ways of limiting it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from botocore.exceptions import ClientError

from mooring.engines.limits import Limits, Way
from mooring.hosting.serverless import MB_PER_VCPU
from mooring.processes import control_groups
from tests.acceptance.running import Deployment, Server, archive, wait_until

SCRIPT = """
import json, os, subprocess, sys, time
kept = []
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return (body if isinstance(body, str) else body.decode()).split()
def predict_fn(words, model):
    if words[0] == "take":
        for _ in range(int(words[1])):
            kept.append(os.urandom(1024) * 1024)
    if words[0] == "child":
        code = "import sys, time; kept = ['x' * 2**20 * int(sys.argv[1])]; print(len(kept), flush=True); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", code, words[1]], stdout=subprocess.PIPE)
        kept.append(child)
        child.stdout.readline()
    return {"pid": os.getpid(), "mb": len(kept), "threads": os.environ.get("OMP_NUM_THREADS")}
def output_fn(found, accept):
    return json.dumps(found), "application/json"
"""
HUNGRY = """
def model_fn(model_dir):
    import os
    return [os.urandom(1024) * 1024 for _ in range(1600)]
"""
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
COUNTED = """
import json, os
from threadpoolctl import threadpool_info
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return body
def predict_fn(body, model):
    groups = dict(line.split(":", 2)[1:] for line in open("/proc/self/cgroup").read().splitlines())
    threads = [pool["num_threads"] for pool in threadpool_info()]
    return {"threads": threads, "processors": len(os.sched_getaffinity(0)), "groups": groups}
def output_fn(found, accept):
    return json.dumps(found), "application/json"
"""
OUTGREW = "the model used more than its MemorySizeInMB of 1024 MB"


def _groups_can_be_made() -> bool:
    try:
        control_groups.prove(control_groups.place(), f"mooring-trial-tests-{os.getpid()}")
    except (OSError, ValueError):
        return False
    return True


needs_groups = pytest.mark.skipif(not _groups_can_be_made(), reason="no control group can be made here")
BOTH = [pytest.param("cgroup", marks=needs_groups), "watchdog"]


@pytest.fixture(params=BOTH)
def limited(request: pytest.FixtureRequest, make_server: Callable[..., Server]) -> Iterator[Deployment]:
    server = make_server(MOORING_SERVERLESS_LIMITS=request.param, MOORING_METRICS_INSTANCES_INTERVAL_S="0.5").start()
    yield Deployment(server)
    server.stop()
    assert not _groups_of(server), "a control group was left behind"


def serverless(deployment: Deployment, name: str, script: str = SCRIPT, megabytes: int = 1024, **container: Any) -> str:
    deployment.model(name, script, **container)
    config = {"MemorySizeInMB": megabytes, "MaxConcurrency": 1}
    deployment.endpoint(name, {"VariantName": "all", "ModelName": name, "ServerlessConfig": config})
    return name


def ask(deployment: Deployment, endpoint: str, words: str) -> dict[str, Any]:
    return deployment.invoke(endpoint, words.encode())


def events(deployment: Deployment, endpoint: str) -> str:
    return deployment.server.command("endpoints", "events", endpoint).stdout


def _groups_of(server: Server) -> list[Path]:
    """Control groups of replicas that this server has had."""
    try:
        place = control_groups.place()
    except OSError:
        return []
    directories = {place.memory, place.cpu or place.memory}
    names = {path.name for path in (server.data / "logs").rglob("i-*.log")}
    return [found for each in directories for found in each.glob("mooring-i-*") if f"{found.name[8:]}.log" in names]


def test_a_model_that_outgrows_its_memory_dies_alone(limited: Deployment) -> None:
    serverless(limited, "large")
    serverless(limited, "neighbour")
    limited.wait("large")
    limited.wait("neighbour")
    first, beside = ask(limited, "large", "take 300"), ask(limited, "neighbour", "take 1")
    assert first["threads"] == "1"
    assert ask(limited, "large", "take 1")["pid"] == first["pid"]
    with pytest.raises(ClientError) as error:
        ask(limited, "large", "take 1500")
    assert error.value.response["Error"]["Code"] == "ModelError"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    wait_until(lambda: OUTGREW in events(limited, "large"), what="the reason among the events")
    assert OUTGREW in limited.server.command("logs", "large").stdout

    def serves_again() -> bool:
        try:
            return bool(ask(limited, "large", "take 1")["pid"] != first["pid"])
        except ClientError:
            return False

    wait_until(serves_again, what="a successor")
    assert ask(limited, "neighbour", "take 1")["pid"] == beside["pid"]


def test_a_child_of_the_model_counts(limited: Deployment) -> None:
    serverless(limited, "parent")
    limited.wait("parent")
    assert ask(limited, "parent", "child 10")["mb"] == 1
    with contextlib.suppress(ClientError):  # the child may be killed a moment before its parent has answered
        ask(limited, "parent", "child 3000")
    wait_until(lambda: OUTGREW in events(limited, "parent"), what="the reason among the events")


def test_a_model_that_is_too_large_fails_its_endpoint(limited: Deployment) -> None:
    serverless(limited, "hungry", HUNGRY)
    found = limited.wait("hungry", status="Failed", timeout=60)
    assert OUTGREW in found["FailureReason"]
    serverless(limited, "roomy", HUNGRY, megabytes=3072)
    limited.wait("roomy", timeout=60)


def test_a_model_that_cannot_be_forked_is_limited_too(limited: Deployment) -> None:
    serverless(limited, "apart", Environment={"OMP_NUM_THREADS": "2"})
    limited.wait("apart", timeout=60)
    assert ask(limited, "apart", "take 1")["threads"] == "2", "what the model says itself comes last"
    with pytest.raises(ClientError):
        ask(limited, "apart", "take 1500")
    wait_until(lambda: OUTGREW in events(limited, "apart"), what="the reason among the events")


def test_xgboost_loads_and_predicts(limited: Deployment) -> None:
    rows = np.array([[0.0, 1.0], [1.0, 0.0]] * 20, "float32")
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(rows, [0, 1] * 20), 3)
    packed = archive({"xgboost-model": bytes(booster.save_raw("ubj"))})
    serverless(limited, "boosted", data=packed, Image=XGBOOST)
    limited.wait("boosted")
    found = limited.runtime.invoke_endpoint(EndpointName="boosted", ContentType="text/csv", Body="0,1\n1,0")
    wanted = booster.predict(xgboost.DMatrix(rows[:2])).tolist()
    assert [float(line) for line in found["Body"].read().split()] == pytest.approx(wanted)


def test_processors_are_in_proportion(limited: Deployment) -> None:
    serverless(limited, "counted", COUNTED)
    limited.wait("counted")
    found = ask(limited, "counted", "")
    assert found["threads"], "no pool of threads is known here"
    assert set(found["threads"]) == {1}
    group = Path("/sys/fs/cgroup/cpu") / found["groups"].get("cpu", "").lstrip("/")
    if group.name.startswith("mooring-i-"):
        assert int((group / "cpu.cfs_quota_us").read_text()) == 100_000 * 1024 // MB_PER_VCPU
    elif not found["groups"].get("", "").rpartition("/")[2].startswith("mooring-i-"):  # v2's has memory too
        assert found["processors"] == 1


def test_how_it_is_limited_is_told(limited: Deployment) -> None:
    serverless(limited, "told")
    limited.wait("told")
    wait_until(lambda: "each replica has 1024 MB" in events(limited, "told"), what="an event of limits")


def test_memory_is_told_in_percent_of_what_it_may_be(limited: Deployment) -> None:
    serverless(limited, "told")
    limited.wait("told")
    ask(limited, "told", "take 512")
    cloudwatch = limited.server.client("cloudwatch")
    now = datetime.now(UTC)
    asked = {
        "Namespace": "/aws/sagemaker/Endpoints",
        "MetricName": "MemoryUtilization",
        "Dimensions": [{"Name": "EndpointName", "Value": "told"}, {"Name": "VariantName", "Value": "all"}],
        "Period": 3600,
        "Statistics": ["Maximum"],
        "StartTime": now - timedelta(hours=1),
        "EndTime": now + timedelta(hours=1),
    }

    def most() -> float:
        return max((each["Maximum"] for each in cloudwatch.get_metric_statistics(**asked)["Datapoints"]), default=0.0)

    wait_until(lambda: most() > 50, what="half of 1024 MB to be told")
    assert most() < 75


def test_the_next_control_goes_on(limited: Deployment) -> None:
    serverless(limited, "lasting")
    limited.wait("lasting")
    pid = ask(limited, "lasting", "take 100")["pid"]
    os.kill(limited.server.process("control"), signal.SIGKILL)
    wait_until(lambda: limited.server.replicas("lasting")[0]["state"] == "healthy", what="the replica to be adopted")
    assert ask(limited, "lasting", "take 1")["pid"] == pid
    with pytest.raises(ClientError):
        ask(limited, "lasting", "take 1500")
    wait_until(lambda: OUTGREW in events(limited, "lasting"), what="the reason among the events")


@needs_groups
def test_nothing_is_left_of_what_died_with_its_control(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_SERVERLESS_LIMITS="cgroup").start()
    deployment = Deployment(server)
    serverless(deployment, "left")
    deployment.wait("left")
    assert _groups_of(server)
    server.kill_supervisor()
    for path in (server.data / "run" / "replicas").glob("*/identity.json"):
        os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
    server.start()
    wait_until(lambda: not _groups_of(server), what="the groups of the dead to go")
    ask(Deployment(server), "left", "take 1")  # at another port
    assert {path.name for path in _groups_of(server)} == {f"mooring-{each['id']}" for each in server.replicas("left")}
    server.stop()
    assert not _groups_of(server)


def test_off_is_off(make_server: Callable[..., Server]) -> None:
    deployment = Deployment(make_server(MOORING_SERVERLESS_LIMITS="off").start())
    serverless(deployment, "free")
    deployment.wait("free")
    assert ask(deployment, "free", "take 1200")["mb"] == 1200
    assert "memory is not limited to 1024 MB" in events(deployment, "free")


@needs_groups
def test_groups_are_the_first_choice(tmp_path: Path) -> None:
    limits = Limits("auto", tmp_path.name)
    try:
        assert limits.found().way is Way.CGROUP
    finally:
        limits.close()
    assert not list(control_groups.place().memory.glob(f"mooring-trial-{tmp_path.name}*"))
