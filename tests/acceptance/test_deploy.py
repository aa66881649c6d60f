"""`mooring deploy` against a real server: from files to answers, in a pipe and in a terminal; what it prints runs."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier

from tests.acceptance.running import MOORING, Deployment, Server, archive, wait_until

ROWS = [[0.1, 0.2, 0.3], [0.9, 0.8, 0.9], [0.2, 0.1, 0.2], [0.7, 0.9, 0.8]]
LABELS = [0, 1, 0, 1]
DOUBLE = "def model_fn(model_dir): return 2\ndef predict_fn(data, model): return data * model\n"
PRINTED = re.compile(
    r"^# The same with boto3[^\n]*\n(.*?)\n\n# The same with the AWS CLI[^\n]*\n(.*)", re.DOTALL | re.MULTILINE
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A directory with a model of each kind."""
    for name in ("iris", "trees", "scripted", "broken"):
        (tmp_path / name).mkdir()
    linear = io.BytesIO()
    joblib.dump(LogisticRegression().fit(ROWS, LABELS), linear)
    (tmp_path / "iris" / "model.joblib").write_bytes(linear.getvalue())
    for words in ("list.txt", ".git/HEAD"):
        (tmp_path / "iris" / "words" / words).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "iris" / "words" / words).write_text("rose\n")
    XGBClassifier(n_estimators=2).fit(ROWS, LABELS).get_booster().save_model(tmp_path / "trees" / "model.ubj")
    (tmp_path / "scripted" / "inference.py").write_text(DOUBLE)
    (tmp_path / "scripted" / "__pycache__").mkdir()
    (tmp_path / "scripted" / "__pycache__" / "inference.pyc").write_bytes(b"old")
    (tmp_path / "broken" / "inference.py").write_text("import a_module_of_nobody\ndef model_fn(d): return 1\n")
    return tmp_path


def deploy(server: Server, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MOORING, "deploy", *words],
        cwd=directory,
        env={**os.environ, "MOORING_DATA_DIR": str(server.data)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def in_environment(server: Server, directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the environment of `mooring env`."""
    return subprocess.run(
        [MOORING, "run", "--data-dir", server.data, "--", *command],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def section(out: str, heading: str) -> str:
    """The block below a heading."""
    found = re.search(rf"^# {re.escape(heading)}[^\n]*\n(.*?)(?=\n\n# |\Z)", out, re.DOTALL | re.MULTILINE)
    assert found is not None, out
    return found[1]


def test_a_directory_becomes_an_endpoint_that_answers(shared: Deployment, models: Path) -> None:
    name = f"{shared.prefix}-iris"
    done = deploy(shared.server, models, "iris", "--name", name)
    assert done.returncode == 0, done.stderr
    steps = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert [step for step in steps if step not in ("bucket", "versions")] == [
        "source", "framework", "script", "pack", "upload", "model", "config", "endpoint", "fetch", "load", "ping",
        "service",
    ]  # fmt: skip
    assert done.stdout.startswith(f"{name} is InService, ")
    curl = subprocess.run(
        shlex.split(section(done.stdout, "Invoke it with curl")), capture_output=True, text=True, timeout=20, check=True
    )
    assert json.loads(curl.stdout) == [0]
    answer = in_environment(
        shared.server, models, sys.executable, "-c", section(done.stdout, "Invoke it with boto3").replace("0.1", "0.9")
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)[0] in (0, 1)


def test_two_models_share_an_endpoint_by_weight(shared: Deployment, models: Path) -> None:
    name = f"{shared.prefix}-fleet"
    done = deploy(shared.server, models, "--name", name, "--variant", "linear=iris:1", "--variant", "trees=trees:3")
    assert done.returncode == 0, done.stderr
    assert "linear: framework: sklearn" in done.stderr
    assert "trees: framework: xgboost" in done.stderr
    found = {each["VariantName"]: each["CurrentWeight"] for each in shared.wait(name)["ProductionVariants"]}
    assert found == {"linear": 1.0, "trees": 3.0}
    for variant, body, kind in (
        ("linear", b"[[0.9, 0.9, 0.9]]", "application/json"),
        ("trees", b"0.9,0.9,0.9", "text/csv"),
    ):
        answer = shared.runtime.invoke_endpoint(
            EndpointName=name, Body=body, ContentType=kind, Accept="text/csv", TargetVariant=variant
        )
        assert float(answer["Body"].read()) >= 0


@pytest.mark.parametrize("source", ["archive", "uri", "prefix"])
def test_what_is_packed_or_in_s3_already(shared: Deployment, tmp_path: Path, source: str) -> None:
    data = archive({"code/inference.py": f"import sklearn\n{DOUBLE}"})
    (tmp_path / "model.tar.gz").write_bytes(data)
    shared.s3.put_object(Bucket=shared.bucket, Key="twice/model.tar.gz", Body=data)
    shared.s3.put_object(Bucket=shared.bucket, Key="plain/code/inference.py", Body=f"import sklearn\n{DOUBLE}".encode())
    given = {
        "archive": "model.tar.gz",
        "uri": f"s3://{shared.bucket}/twice/model.tar.gz",
        "prefix": f"s3://{shared.bucket}/plain/",
    }[source]
    name = f"{shared.prefix}-{source}"
    done = deploy(shared.server, tmp_path, given, "--name", name)
    assert done.returncode == 0, done.stderr
    assert ("upload" in done.stderr) == (source == "archive")
    assert "code/inference.py imports sklearn" in done.stderr
    answer = shared.runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=b"[1, 2]")
    assert json.loads(answer["Body"].read()) == [2.0, 4.0]


def emptied(shared: Deployment, name: str) -> None:
    """Nothing that a deployment made is there any more, but its bucket."""
    shared.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: name not in [each["name"] for each in shared.server.status()["endpoints"]], what="its end")
    for config in shared.sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]:
        shared.sagemaker.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
    for model in shared.sagemaker.list_models(NameContains=name)["Models"]:
        shared.sagemaker.delete_model(ModelName=model["ModelName"])


def described(shared: Deployment, name: str) -> tuple[object, ...]:
    """Config and models of an endpoint, without what differs by time."""
    config = shared.sagemaker.describe_endpoint_config(
        EndpointConfigName=shared.sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    )
    models = [shared.sagemaker.describe_model(ModelName=each["ModelName"]) for each in config["ProductionVariants"]]
    for each in (config, *models):
        del each["CreationTime"], each["ResponseMetadata"]
    return config, *models


def packed(shared: Deployment, bucket: str) -> list[dict[str, bytes]]:
    """The files of every archive in a bucket, in the order of their keys."""
    found = []
    for each in shared.s3.list_objects_v2(Bucket=bucket)["Contents"]:
        data = shared.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {member.name.removeprefix("./"): tar.extractfile(member) for member in tar if member.isfile()}
            found.append({name: file.read() for name, file in files.items() if file is not None})
    return found


@pytest.mark.parametrize(
    ("language", "sources"),
    [("boto3", ("--variant", "own=scripted:2", "--variant", "plain=iris:1")), ("cli", ("iris",))],
)
def test_the_printed_lines_do_the_same(
    shared: Deployment, models: Path, language: str, sources: tuple[str, ...]
) -> None:
    if language == "cli" and (shutil.which("aws") is None or shutil.which("bash") is None):
        pytest.skip("the AWS CLI is not installed here")
    name, bucket = f"{shared.prefix}-same", f"{shared.prefix}-lines"
    words = ("--name", name, "--bucket", bucket, *sources)
    shown = deploy(shared.server, models, *words, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    done = deploy(shared.server, models, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(shown.stdout)
    made, files = described(shared, name), packed(shared, bucket)
    emptied(shared, name)
    for each in shared.s3.list_objects_v2(Bucket=bucket)["Contents"]:
        shared.s3.delete_object(Bucket=bucket, Key=each["Key"])
    shared.s3.delete_bucket(Bucket=bucket)

    printed = PRINTED.search(shown.stdout)
    assert printed is not None
    code, lines = printed.groups()
    command = (sys.executable, "-c", code) if language == "boto3" else ("bash", "-euo", "pipefail", "-c", lines)
    ran = in_environment(shared.server, models, *command)
    assert ran.returncode == 0, ran.stderr
    assert described(shared, name) == made
    assert packed(shared, bucket) == files
    assert "words/list.txt" in files[-1] | files[0]
    body = b"[[0.1, 0.2, 0.3]]"
    answer = shared.runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=body)
    assert json.loads(answer["Body"].read())


def test_a_model_that_fails_leaves_its_endpoint_and_says_why(shared: Deployment, models: Path) -> None:
    name = f"{shared.prefix}-broken"
    failed = deploy(shared.server, models, "broken", "--name", name)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert (
        f"service failed: {name} is Failed: The primary container for production variant AllTraffic did not"
        in failed.stderr
    )
    assert "ModuleNotFoundError: No module named 'a_module_of_nobody'" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("next: mend it")
    assert shared.wait(name, status="Failed")

    again = deploy(shared.server, models, "scripted", "--name", name)
    assert again.returncode == 1
    assert again.stderr.startswith(f"mooring: there is an endpoint {name} already (Failed): --replace")
    replaced = deploy(shared.server, models, "scripted", "--name", name, "--replace")
    assert replaced.returncode == 0, replaced.stderr
    unchanged = deploy(shared.server, models, "scripted", "--name", name, "--replace")
    assert unchanged.returncode == 0, unchanged.stderr
    assert unchanged.stderr.count(" is there already\n") == 3


def test_what_cannot_be_made_is_taken_back(shared: Deployment, models: Path) -> None:
    name, bucket = f"{shared.prefix}-none", f"{shared.prefix}-none-bucket"
    done = deploy(shared.server, models, "iris", "--name", name, "--bucket", bucket, "--instance-type", "ml.none.large")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mooring: 1 validation error detected: Value 'ml.none.large'")
    assert done.stderr.count("is deleted again") == 3
    assert bucket not in [each["Name"] for each in shared.s3.list_buckets()["Buckets"]]
    assert shared.sagemaker.list_models(NameContains=name)["Models"] == []


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def plain(shown: bytes) -> str:
    """Without what steers the terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))


def shown_in(
    terminal: tuple[int, int], command: list[str], directory: Path, server: Server, interrupt: str = ""
) -> tuple[int, str]:
    """Run in a terminal; its exit code, and what it showed. Ctrl-C when `interrupt` is seen."""
    ours, theirs = terminal
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "300", "MOORING_DATA_DIR": str(server.data)}
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    seen = b""
    try:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
            if interrupt and interrupt in plain(seen):
                process.send_signal(signal.SIGINT)
                interrupt = ""
        return process.wait(20), plain(seen)
    finally:
        process.kill()
        process.wait()


def test_in_a_terminal_each_step_is_alive(shared: Deployment, models: Path, terminal) -> None:
    name = f"{shared.prefix}-alive"
    code, text = shown_in(terminal, [MOORING, "deploy", "scripted", "--name", name], models, shared.server)
    assert code == 0, text
    for step in ("source", "pack", "upload", "model", "config", "endpoint", "service"):
        assert re.search(rf"✓ {step} +\S", text), text
    assert re.search(rf"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] service +waiting until {name} is in service", text)
    assert "· load" in text
    assert f"{name} is InService" in text


def test_ctrl_c_while_it_loads_leaves_the_endpoint_to_itself(shared: Deployment, models: Path, terminal) -> None:
    name = f"{shared.prefix}-slow"
    (models / "scripted" / "inference.py").write_text("import time\ndef model_fn(d): time.sleep(600)\n")
    code, text = shown_in(
        terminal, [MOORING, "deploy", "scripted", "--name", name], models, shared.server, "loads the model"
    )
    assert code == 130, text
    assert f"{name} goes on without being watched" in text
    assert shared.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    assert shared.server.command("endpoints", "delete", name, "--force").returncode == 0


def test_a_large_archive_goes_in_parts_and_its_memory_is_small(
    shared: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mooring.cli import s3

    monkeypatch.setattr(s3, "LARGEST_PUT_BYTES", 1)
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 1024 * 1024)
    data = os.urandom(12_000_000)
    (tmp_path / "weights").write_bytes(data)
    s3.S3(shared.server.url, "us-east-1").put(shared.bucket, "weights", tmp_path / "weights", "", lambda count: None)
    assert shared.s3.get_object(Bucket=shared.bucket, Key="weights")["Body"].read() == data
    assert shared.s3.list_multipart_uploads(Bucket=shared.bucket).get("Uploads", []) == []


def test_one_command_with_a_server_of_its_own(models: Path) -> None:
    data = models / "data"
    done = subprocess.run(
        [MOORING, "run", "--data-dir", data, "--", MOORING, "deploy", "scripted"],
        cwd=models,
        env={name: value for name, value in os.environ.items() if not name.startswith("MOORING_")},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("scripted is InService, ")
    deadline = time.monotonic() + 10
    while (data / "run" / "server.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
