"""A real Mooring for the tests: `mooring serve` on port 0, real clients, and a way to end everything it started."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from mooring.processes.identity import ProcessIdentity, of

MOORING = Path(sys.executable).with_name("mooring")
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ROLE = "arn:aws:iam::000000000000:role/service-role/Test"
ECHO = """
import json, os
def model_fn(model_dir):
    return "{name}"
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    return data
def output_fn(data, accept):
    return json.dumps({{"model": "{name}", "pid": os.getpid()}}), "application/json"
"""
START_TIMEOUT_S = 30.0


class Server:
    """One `mooring serve` with its data directory."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, ProcessIdentity] = {}
        self.log = data.parent / f"{data.name}.log"
        self.key = ("test", "test")
        """What clients sign with: anything does, unless this server needs keys."""

    def start(self, *flags: str) -> Server:
        if self._process is not None:
            self._process.wait(timeout=20)
        environment = {**os.environ, "MOORING_LOG_LEVEL": "info", **self._environment}
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [MOORING, "serve", "--port", "0", "--data-dir", self.data, *flags],
                env=environment,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError, ValueError):
                found = json.loads((self.data / "run" / "server.json").read_text())
                if found["pid"] == self._process.pid:
                    self.url = found["url"]
                    return self
            time.sleep(0.02)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(
        self,
        service: str,
        *,
        retries: int = 0,
        region: str = "us-east-1",
        key: tuple[str, ...] | None = None,
        **config: Any,
    ) -> Any:
        access, secret, token = (*(key or self.key), None)[:3]
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, **config),
        )

    def command(self, *arguments: str, timeout: float = 40) -> subprocess.CompletedProcess[str]:
        """Run `mooring …` against this server, found by its data directory."""
        environment = {**os.environ, "MOORING_DATA_DIR": str(self.data)}
        return subprocess.run(
            [MOORING, *arguments], env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return found

    def process(self, name: str) -> int:
        """The pid of a process that `mooring status` names; a control that has just begun learns of the others anew."""
        found: list[int] = []

        def named() -> bool:
            found[:] = [each["pid"] for each in self.status()["processes"] if each["name"] == name]
            return bool(found)

        wait_until(named, what=f"status to name {name}")
        return found[0]

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A process of this server that neither works nor dies for the length of the block."""
        pid = self.process(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def replicas(self, endpoint: str) -> list[dict[str, Any]]:
        found = next(each for each in self.status()["endpoints"] if each["name"] == endpoint)
        return [replica for variant in found["variants"] for replica in variant["replicas"]]

    def note_processes(self) -> None:
        """Remember every process below this data directory or the supervisor, to be ended at last."""
        pids = [pid for root in ([self.pid] if self._process else []) for pid in _tree(root)]
        for path in (self.data / "run" / "replicas").glob("*/identity.json"):
            with contextlib.suppress(OSError, ValueError):
                pids.append(json.loads(path.read_text())["pid"])
        for pid in pids:
            if (identity := of(pid)) is not None:
                self._seen[pid] = identity

    def survivors(self) -> list[int]:
        """Pids of noted processes that still live."""
        return [pid for pid, identity in self._seen.items() if identity.alive()]

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        self.note_processes()
        self._process.terminate()
        return self._process.wait(timeout=40)

    def kill_supervisor(self) -> None:
        assert self._process is not None
        self.note_processes()
        self._process.kill()
        self._process.wait(timeout=10)

    def end(self) -> None:
        """Whatever happened: nothing of this server lives on."""
        if self._process is None:
            return
        self.note_processes()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=10)
        for pid, identity in self._seen.items():
            if identity.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            yield from _tree(int(child))


def archive(files: dict[str, str | bytes]) -> bytes:
    """A model.tar.gz of these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


class Deployment:
    """Short ways to make models, configs and endpoints through boto3."""

    def __init__(self, server: Server, prefix: str = "t", region: str = "us-east-1") -> None:
        self.server = server
        self.prefix = prefix
        self.s3 = server.client("s3", retries=3, region=region)
        self.sagemaker = server.client("sagemaker", retries=3, region=region)
        self.runtime = server.client("sagemaker-runtime", region=region)
        self.bucket = f"{prefix}-models"
        self.s3.create_bucket(Bucket=self.bucket)

    def model(self, name: str, script: str | None = None, *, data: bytes | None = None, **container: Any) -> str:
        key = f"{name}/model.tar.gz"
        packed = data if data is not None else archive({"code/inference.py": script or ECHO.format(name=name)})
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=packed)
        definition = {"Image": IMAGE, "ModelDataUrl": f"s3://{self.bucket}/{key}", **container}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=definition)
        return name

    def config(self, name: str, *variants: dict[str, Any], **members: Any) -> str:
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **members)
        return name

    @staticmethod
    def variant(model: str, name: str | None = None, **members: Any) -> dict[str, Any]:
        return {
            "VariantName": name or model,
            "ModelName": model,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
            **members,
        }

    def endpoint(self, name: str, *variants: dict[str, Any]) -> str:
        self.config(f"{name}-config", *variants)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")
        return name

    def wait(self, name: str, *, status: str = "InService", timeout: float = 30) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
            if found["EndpointStatus"] == status:
                return found
            assert found["EndpointStatus"] in ("Creating", "Updating", "RollingBack", "Deleting"), found
            time.sleep(0.01)
        raise AssertionError(f"{name} is still {found['EndpointStatus']}; {self.server.log.read_text()[-3000:]}")

    def simple(self, name: str, script: str | None = None, **members: Any) -> str:
        """A model and an endpoint of one name, in service."""
        self.model(name, script)
        self.endpoint(name, self.variant(name, **members))
        self.wait(name)
        return name

    def invoke(self, endpoint: str, body: bytes = b"x", client: Any = None, **members: Any) -> dict[str, Any]:
        response = (client or self.runtime).invoke_endpoint(
            EndpointName=endpoint, ContentType="text/csv", Body=body, **members
        )
        answer: dict[str, Any] = json.loads(response["Body"].read())
        return {**answer, "variant": response["InvokedProductionVariant"]}


class Load:
    """Threads that invoke an endpoint without pause, each with its own client and no retries."""

    def __init__(self, deployment: Deployment, endpoint: str, threads: int = 2) -> None:
        self.answers: list[dict[str, Any]] = []
        self.failures: list[Exception] = []
        self._stop = threading.Event()
        self._deployment = deployment
        self._endpoint = endpoint
        self._threads = [threading.Thread(target=self._invoke, name=f"load {n}") for n in range(threads)]

    def _invoke(self) -> None:
        client = self._deployment.server.client("sagemaker-runtime", connect_timeout=5, read_timeout=20)
        while not self._stop.is_set():
            try:
                self.answers.append(self._deployment.invoke(self._endpoint, client=client))
            except Exception as error:  # noqa: BLE001 - what fails is what the test looks at
                self.failures.append(error)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(20)
        return self

    def wait_for_more(self, count: int, timeout: float = 20) -> None:
        """Until `count` more calls were answered."""
        wanted = len(self.answers) + count
        deadline = time.monotonic() + timeout
        while len(self.answers) < wanted:
            assert time.monotonic() < deadline, f"no progress; {self.failures[-3:]}"
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive(), "an invocation hangs"


def wait_until(condition: Any, timeout: float = 20, what: str = "") -> None:
    """Poll until `condition()` holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what or condition}"
        time.sleep(0.02)
