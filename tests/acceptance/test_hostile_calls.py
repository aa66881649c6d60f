"""Scripts that misbehave and serve nevertheless: their own next call, and everybody else's, is answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mooring.processes.identity import of
from tests.acceptance.failing import DOING, answered, deploys, failed, logged, model_error, replicas
from tests.acceptance.running import Deployment, Server, wait_until

LIMIT = 1_000_000
PRINTS = """
import os, time
def flood(letter):
    for _ in range(1000):
        print(letter * 99_999)
    print("the last of", letter)
def model_fn(model_dir):
    flood("m")
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)
def transform_fn(model, body, content_type, accept):
    flood(body)
    return "{}", "application/json"
"""
FORKS = """
import multiprocessing, os, subprocess, sys
HERE = os.getpid()
def note(pid):
    with open(os.environ["PIDS"], "a") as out:
        out.write(f"{pid}\\n")
def fork():
    child = os.fork()  # and the child runs on as if it were the replica
    note(child or os.getpid())
def model_fn(model_dir):
    fork()
def transform_fn(model, body, content_type, accept):
    if body == "fork":
        fork()
    if body == "spawn":
        note(subprocess.Popen(["sleep", "300"]).pid)
    if body == "work":
        worker = multiprocessing.get_context("fork").Process(target=note, args=(0,))
        worker.start()
        worker.join()
    return '{"pid": %d}' % os.getpid(), "application/json"
"""
WANDERS = """
import json, os, tempfile
os.chdir("/")
def here():
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "nowhere"
def model_fn(model_dir): return model_dir
def transform_fn(model, body, content_type, accept):
    if body == "wander":
        there = tempfile.mkdtemp()
        os.chdir(there)
        os.rmdir(there)
    return json.dumps({"pid": os.getpid(), "where": here(), "model": os.listdir(model)}), "application/json"
"""


def test_a_hundred_megabytes_of_prints(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server(MOORING_REPLICAS_LOG_LIMIT_BYTES=str(LIMIT)).start()
    deployment = Deployment(server)
    deployment.model("flood", PRINTS, Environment={"GO": str(tmp_path / "go")})
    deployment.endpoint("flood", deployment.variant("flood"))
    deployment.simple("beside")

    def bounded_after(letter: str) -> bool:
        log = next(path for path in (server.data / "logs").glob("*/flood/*.log") if path.stem != "preparation")
        on_disk = log.stat().st_blocks * 512
        return f"the last of {letter}" in logged(deployment, "flood") and on_disk <= LIMIT

    wait_until(lambda: replicas(deployment, "flood"), what="a replica")
    wait_until(lambda: bounded_after("m"), what="its log to be cut while it loads")
    assert deployment.sagemaker.describe_endpoint(EndpointName="flood")["EndpointStatus"] == "Creating"
    (tmp_path / "go").touch()
    deployment.wait("flood")
    deployment.invoke("flood", b"p")
    assert deployment.invoke("beside")["model"] == "beside"
    deployment.invoke("flood", b"q")
    wait_until(lambda: bounded_after("q"), what="its log to be cut")
    said = server.command("logs", "flood")
    assert said.returncode == 0
    assert said.stdout.rstrip().endswith("the last of q")
    assert len(said.stdout) < 2 * LIMIT


def test_children_that_a_script_forks(shared: Deployment, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    name = shared.model(f"{shared.prefix}-forks", FORKS, Environment={"PIDS": str(pids)})
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    (replica,) = {each["pid"] for each in replicas(shared, name)}
    for body in (b"fork", b"spawn", b"work", b"", b"fork", b""):
        assert shared.invoke(name, body)["pid"] == replica
    children = [of(int(pid)) for pid in pids.read_text().split() if pid != "0"]
    assert any(child is not None and child.alive() for child in children)  # the one that was spawned
    shared.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: not any(child is not None and child.alive() for child in children), what="their end")


def test_a_script_that_changes_its_directory(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-wanders", WANDERS)
    shared.endpoint(name, shared.variant(name, InitialInstanceCount=2))
    shared.wait(name)
    wanderer = shared.invoke(name, b"wander")
    assert wanderer["where"] == "nowhere"
    seen = [shared.invoke(name, b"") for _ in range(30)]
    assert {each["pid"] for each in seen} == {each["pid"] for each in replicas(shared, name)}
    for each in seen:
        assert each["where"] == ("nowhere" if each["pid"] == wanderer["pid"] else "/")
        assert each["model"] == ["code"]


def test_a_script_that_closes_its_output(shared: Deployment) -> None:
    closes = "os.close(0); os.close(1); os.close(2); sys.stdout.close(); sys.stderr.close()"
    name = shared.simple(f"{shared.prefix}-quiet", DOING.replace("def model_fn", f"{closes}\ndef model_fn", 1))
    pid = shared.invoke(name, b"")["pid"]
    for turn in range(3):
        assert shared.invoke(name, closes.encode())["pid"] == pid
        assert shared.invoke(name, f"print('printed after', {turn})".encode())["pid"] == pid
        wait_until(lambda turn=turn: f"printed after {turn}" in logged(shared, name))


def test_a_script_that_closes_every_descriptor(shared: Deployment) -> None:
    closes = "os.closerange(0, 1000)"
    name = shared.simple(f"{shared.prefix}-closes", DOING)
    pid = shared.invoke(name, b"")["pid"]
    assert model_error(lambda: shared.invoke(name, closes.encode()))["OriginalStatusCode"] == 0
    assert answered(shared, name)["pid"] != pid
    bad = shared.model(f"{name}-at-import", DOING.replace("def model_fn", f"{closes}\ndef model_fn", 1))
    assert "the script closed descriptors that serve its calls" in failed(shared, bad)
    deploys(shared, f"{name}-next")
