"""Scripts that fail, exit, or never come back: the error in FailureReason or ModelError, its traceback in the log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mooring.processes.identity import of
from tests.acceptance.failing import (
    DOING,
    PING_FAILURE,
    XGBOOST,
    answered,
    delete,
    deploys,
    failed,
    gone,
    logged,
    model_error,
    reason_of,
    replicas,
)
from tests.acceptance.running import IMAGE, Deployment, Server, wait_until

IN_SCRIPT = {"SAGEMAKER_PROGRAM": "inference.py"}
CONTAINERS = {"sklearn": {"Image": IMAGE}, "xgboost": {"Image": XGBOOST, "Environment": IN_SCRIPT}}

FAILING = [
    ("raises", "def model_fn(d):\n    raise ValueError('no such weights')", "model_fn failed: ValueError: no such"),
    ("raises-at-import", "raise ValueError('no such weights')", "import failed: ValueError: no such weights"),
    ("nothing", "x = 1", "Please provide a model_fn implementation."),
    ("syntax", "def model_fn(d:\n", "import failed: "),
    ("imports", "import a_package_that_is_not_there", "No module named 'a_package_that_is_not_there'"),
    ("exits", "import sys\ndef model_fn(d):\n    sys.exit('enough')", "model_fn failed: SystemExit: enough"),
    ("exits-at-import", "import sys\nsys.exit('enough')", "import failed: SystemExit: enough"),
]


@pytest.mark.parametrize(
    ("framework", "kind", "script", "words"),
    [("sklearn", *each) for each in FAILING] + [("xgboost", *each) for each in FAILING[:3]],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
)
def test_a_script_that_cannot_be_loaded(shared: Deployment, framework: str, kind: str, script: str, words: str) -> None:
    name = shared.model(f"{shared.prefix}-{kind}", script, **CONTAINERS[framework])
    reason = reason_of(shared, name)
    assert reason.startswith(PING_FAILURE)
    assert words in reason
    said = logged(shared, name)
    assert 'code/inference.py", line ' in said or kind == "nothing"
    assert words.partition(" failed: ")[2] in said or kind == "syntax"
    delete(shared, name)


@pytest.mark.parametrize(
    ("kind", "script", "words"),
    [
        ("leaves", "import os\ndef model_fn(d): os._exit(9)", "the process exited with status 9"),
        ("leaves-at-import", "import os\nos._exit(0)", "the process exited with status 0"),
        ("dies", "import os\ndef model_fn(d): os.kill(os.getpid(), 9)", "the process was killed by signal 9"),
    ],
)
def test_a_script_that_ends_its_process(shared: Deployment, kind: str, script: str, words: str) -> None:
    name = shared.model(f"{shared.prefix}-{kind}", script)
    reason = reason_of(shared, name, timeout=30)
    assert reason.startswith(PING_FAILURE)
    assert words in reason
    assert words in logged(shared, name)
    delete(shared, name)


@pytest.mark.parametrize("framework", CONTAINERS)
def test_what_a_prediction_raises(shared: Deployment, framework: str) -> None:
    name = f"{shared.prefix}-{framework}-predict"
    shared.model(name, DOING, **CONTAINERS[framework])
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    pid = shared.invoke(name, b"")["pid"]
    for body, last_line in ((b"1 / 0", "ZeroDivisionError: division by zero"), (b"sys.exit(3)", "SystemExit: 3")):
        answer = model_error(lambda body=body: shared.invoke(name, body))
        assert answer["OriginalStatusCode"] == 500
        assert last_line in answer["OriginalMessage"]
        assert answer["LogStreamArn"].endswith(f"/aws/sagemaker/Endpoints/{name}")
        wait_until(lambda line=last_line: line in logged(shared, name))
    assert "Traceback (most recent call last)" in logged(shared, name)
    assert 'code/inference.py", line 6, in transform_fn' in logged(shared, name)
    assert shared.invoke(name, b"")["pid"] == pid  # what it raises costs nobody else anything


def test_a_prediction_that_ends_its_process(shared: Deployment) -> None:
    name = shared.simple(f"{shared.prefix}-leaves", DOING)
    pid = shared.invoke(name, b"")["pid"]
    assert model_error(lambda: shared.invoke(name, b"os._exit(7)"))["OriginalStatusCode"] == 0
    assert answered(shared, name)["pid"] != pid
    wait_until(lambda: "the process exited with status 7" in logged(shared, name))


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that waits for replicas only briefly: AWS lets ContainerStartupHealthCheckTimeoutInSeconds be 60 s."""
    server = Server(tmp_path_factory.mktemp("impatient") / "data", MOORING_REPLICAS_STARTUP_TIMEOUT_S="3")
    try:
        yield Deployment(server.start())
    finally:
        server.end()


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("import", "import time\ntime.sleep(600)"),
        ("busy", "def model_fn(d):\n    while True: pass"),
        (
            "deaf",
            "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef model_fn(d): time.sleep(600)",
        ),
    ],
    ids=["import", "busy", "deaf"],
)
def test_a_script_that_never_comes_back(impatient: Deployment, kind: str, script: str) -> None:
    reason = failed(impatient, impatient.model(kind, script))
    assert reason.startswith(PING_FAILURE)
    assert "/ping did not answer with 200 within 3 s" in reason


def test_the_next_deployment_works_after_them(impatient: Deployment) -> None:
    deploys(impatient, "next")


SLOW = """
import os, time
def model_fn(model_dir):
    print("loading")
    with open(os.path.join(os.environ["OUT"], "pid"), "x") as out:
        out.write(str(os.getpid()))
    time.sleep(300)
def transform_fn(model, body, content_type, accept): return "{}", "application/json"
"""


def test_a_slow_load_is_left_alone_and_can_be_deleted_at_once(shared: Deployment, tmp_path: Path) -> None:
    name = shared.model(f"{shared.prefix}-slow", SLOW, Environment={"OUT": str(tmp_path)})
    shared.endpoint(name, shared.variant(name))
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), what="model_fn")
    loading = of(int((tmp_path / "pid").read_text()))
    assert loading is not None
    deploys(shared, f"{shared.prefix}-beside")
    for _ in range(10):  # it starts once: a second start would fail where the file is
        assert shared.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
        assert [each["state"] for each in replicas(shared, name)] == ["starting"]
        assert loading.alive()
        time.sleep(0.05)
    assert "loading" in logged(shared, name)
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        shared.sagemaker.delete_endpoint(EndpointName=name)
    done = shared.server.command("endpoints", "delete", name, "--force")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: gone(shared, name), what="the deletion")
    assert not loading.alive()
    deploys(shared, name + "-next")
