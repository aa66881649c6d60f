"""A serverless endpoint whose model counts the calls that it has at a time, in all its replicas together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, wait_until

IDLE_S = 2.0
SCRIPT = """
import json, os, time
def model_fn(model_dir):
    if os.path.exists(os.environ["SEEN"] + "/broken"):
        raise RuntimeError("these weights are of another model")
    time.sleep(float(os.environ.get("LOAD_S", "0")))
    return os.environ["SEEN"]
def transform_fn(seen, body, content_type, accept):
    mine = f"{seen}/calls/{os.getpid()}-{time.monotonic_ns()}"
    with open(mine, "x"):
        pass
    now = sum(os.path.exists(f"/proc/{each.split('-')[0]}") for each in os.listdir(f"{seen}/calls"))
    with open(f"{seen}/most", "a") as most:
        most.write(f"{now}\\n")
    try:
        text = body.decode() if isinstance(body, bytes) else body
        time.sleep(float(text) if text[:1].isdigit() else 0)
    finally:
        os.unlink(mine)
    return json.dumps({"pid": os.getpid(), "workers": os.environ["SAGEMAKER_MODEL_SERVER_WORKERS"]}), "application/json"
"""


class Sleeper:
    """One serverless endpoint on a server of its own, whose model tells what it saw."""

    def __init__(self, deployment: Deployment, seen: Path) -> None:
        self.deployment = deployment
        self.server = deployment.server
        self.seen = seen
        (seen / "calls").mkdir(parents=True, exist_ok=True)
        self.name = "sleeper"

    def make(self, *, wait: bool = True, load_s: float = 0, **serverless: Any) -> Sleeper:
        environment = {"SEEN": str(self.seen), "LOAD_S": str(load_s), "SAGEMAKER_MODEL_SERVER_WORKERS": "4"}
        self.deployment.model(self.name, SCRIPT, Environment=environment)
        self.deployment.endpoint(self.name, variant(self.name, **serverless))
        if wait:
            self.deployment.wait(self.name)
        return self

    @property
    def most_at_a_time(self) -> int:
        return max(map(int, (self.seen / "most").read_text().split()), default=0)

    def pids(self) -> set[int]:
        return {each["pid"] for each in self.server.replicas(self.name) if each["pid"] is not None}

    def wait_for(self, replicas: int) -> None:
        wait_until(lambda: len(self.server.replicas(self.name)) == replicas, what=f"{replicas} replicas")

    def invoke(self, body: bytes = b"x", client: Any = None) -> dict[str, Any]:
        return self.deployment.invoke(self.name, body, client)

    def works(self) -> bool:
        """Whether a call is answered."""
        try:
            return bool(self.invoke())
        except ClientError:
            return False

    def refused(self, body: bytes = b"x", **members: Any) -> ClientError:
        with pytest.raises(ClientError) as refused:
            self.deployment.invoke(self.name, body, **members)
        return refused.value


def variant(model: str, **serverless: Any) -> dict[str, Any]:
    config = {"MemorySizeInMB": 2048, "MaxConcurrency": 4, **serverless}
    return {"VariantName": "v", "ModelName": model, "ServerlessConfig": config}


def code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
