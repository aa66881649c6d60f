"""Model servers that are not ours: how each is installed, started, called and ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from candidates import Candidate, answer_of, tree
from loads import Call

START_WITHIN_S = 120.0
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
MARK = "BENCH_PEER"
"""A variable in the environment of a peer's processes, also of those whose parent is gone."""


@dataclass(frozen=True)
class Peer:
    """One server, and the way in which it is run."""

    title: str
    packages: tuple[str, ...]
    """Versions that this was seen to work with."""
    files: Mapping[str, str]
    command: tuple[str, ...]
    """In the folder of its files; `{python}`, `{bin}` and `{port}` are filled in, and so they are in the files."""
    call: Call
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name of its environment, which another set of packages does not share."""
        return "+".join(package.replace("==", "-") for package in self.packages)


RAY = """
import time
import ray
from ray import serve
from starlette.requests import Request

@serve.deployment
class Echo:
    async def __call__(self, request: Request):
        return await request.json()

if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=4)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Echo.bind(), route_prefix="/echo")
    while True:
        time.sleep(60)
"""
MLSERVER = """
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

class Echo(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = [
            ResponseOutput(name=each.name, shape=each.shape, datatype=each.datatype, data=each.data)
            for each in payload.inputs
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""
LITSERVE = """
import litserve

class Echo(litserve.LitAPI):
    def setup(self, device):
        pass
    def decode_request(self, request):
        return request
    def predict(self, x):
        return x
    def encode_response(self, output):
        return output

if __name__ == "__main__":
    server = litserve.LitServer(Echo(), accelerator="cpu")
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False)
"""
BENTOML = """
import bentoml

@bentoml.service
class Echo:
    @bentoml.api
    ASYNCdef predict(self, instances: list, parameters: dict) -> dict:
        return {"instances": instances, "parameters": parameters}
"""
INPUTS = {"name": "features", "shape": [1, 8], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2, 6.2, 2.9, 4.3, 1.3]}

_RAY_PACKAGES = ("ray[serve]==2.60.0",)
_RAY_COMMAND = ("{python}", "echo_model.py")
_BENTOML_COMMAND = ("{bin}/bentoml", "serve", "echo_model:Echo", "--host", "127.0.0.1", "--port", "{port}")
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}

PEERS = (
    Peer("Ray Serve", _RAY_PACKAGES, {"echo_model.py": RAY}, _RAY_COMMAND, Call("/echo", HEADERS)),
    Peer(
        "Ray Serve, throughput optimised, HAProxy",
        _RAY_PACKAGES,
        {"echo_model.py": RAY},
        _RAY_COMMAND,
        Call("/echo", HEADERS),
        {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
    ),
    Peer(
        "MLServer",
        ("mlserver==1.7.1",),
        {
            "echo_model.py": MLSERVER,
            "model-settings.json": json.dumps({"name": "echo", "implementation": "echo_model.Echo"}),
            "settings.json": '{"host": "127.0.0.1", "http_port": PORT, "grpc_port": 0, "metrics_port": 0,'
            ' "parallel_workers": 0, "debug": false}',
        },
        ("{bin}/mlserver", "start", "."),
        Call("/v2/models/echo/infer", HEADERS, json.dumps({"inputs": [INPUTS]}).encode()),
    ),
    Peer(
        "LitServe",
        ("litserve==0.2.19",),
        {"echo_model.py": LITSERVE},
        ("{python}", "echo_model.py"),
        Call("/predict", HEADERS),
    ),
    Peer(
        "BentoML",
        ("bentoml==1.4.40",),
        {"echo_model.py": BENTOML.replace("ASYNC", "")},
        _BENTOML_COMMAND,
        Call("/predict", HEADERS),
    ),
    Peer(
        "BentoML, async",
        ("bentoml==1.4.40",),
        {"echo_model.py": BENTOML.replace("ASYNC", "async ")},
        _BENTOML_COMMAND,
        Call("/predict", HEADERS),
    ),
)


def installed(peer: Peer, environments: Path) -> Path:
    """The Python of a peer's environment, which is made when it is not there. Raises what uv says."""
    place = environments / peer.folder
    python = place / "bin" / "python"
    if (place / "complete").exists():
        return python
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is not installed")
    made = subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if made.returncode == 0:
        made = subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *peer.packages],
                              capture_output=True, text=True, check=False)  # fmt: skip
    if made.returncode:
        raise SystemExit(f"not installed: {made.stderr.strip() or made.returncode}")
    (place / "complete").touch()
    return python


class Herd:
    """The processes of a peer, wherever they hang in the tree."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes], mark: str) -> None:
        self.name = name
        self.port = port
        self._process = process
        self._mark = f"{MARK}={mark}".encode()

    def pids(self) -> set[int]:
        """Those that there are now."""
        found = set(tree(self._process.pid))
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self._mark in environment.read_bytes().split(b"\0"):
                    found.add(int(environment.parent.name))
        return found

    def candidate(self) -> Candidate:
        """As it is now."""
        return Candidate(self.name, self.port, tuple(self.pids()))

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """None of it runs meanwhile."""
        pids = self.pids()
        self._signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    def end(self) -> None:
        """End all of it, by force."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        while pids := self.pids() - {self._process.pid}:
            self._signal(pids, signal.SIGKILL)
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()

    @staticmethod
    def _signal(pids: set[int], number: signal.Signals) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def started(peer: Peer, python: Path, place: Path, port: int) -> Iterator[Herd]:
    """A peer that has answered a call."""
    place.mkdir()
    for name, text in peer.files.items():
        (place / name).write_text(text.replace("PORT", str(port)))
    command = [word.format(python=python, bin=python.parent, port=port) for word in peer.command]
    mark = str(uuid.uuid4())
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment = {**bare, **_QUIET, **peer.environment, MARK: mark,
                   "PATH": f"{python.parent}:{os.environ.get('PATH', '')}"}  # fmt: skip
    log = place / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=sink, stderr=sink,
                                   start_new_session=True)  # fmt: skip
    herd = Herd(peer.title, port, process, mark)
    try:
        _await_answer(peer, herd, process, log)
        yield herd
    finally:
        herd.end()


def _await_answer(peer: Peer, herd: Herd, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"ended with {process.returncode} when it was started: {log.read_text()[-400:]}")
        with contextlib.suppress(OSError, SystemExit, ValueError):
            if answer_of(herd.port, peer.call.message(herd.port)).status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"did not answer within {START_WITHIN_S:g} s: {log.read_text()[-400:]}")
