"""The `process` engine: a replica is a process group that speaks SageMaker's container contract on a Unix socket.

Guarantees: a replica runs no model code before it is recorded under `run/replicas/<id>/` (a control that is killed
in between leaks nothing, as the replica then reads end of file and exits); a recorded replica can be found,
addressed and stopped by any later control; its environment holds only what the contract names and the model's own
variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.clock import Clock
from mooring.engines.artifacts import Artifacts, ArtifactStore
from mooring.engines.containers import Container, container_of
from mooring.engines.environments import Environments
from mooring.engines.images import Runtime, runtime_of
from mooring.engines.model_data import ModelDataCheck
from mooring.engines.replica_environment import replica_environment
from mooring.engines.zygotes import PLAIN, Zygotes
from mooring.errors import StartFailure
from mooring.hosting.events import EventKind, Note
from mooring.paths import Paths
from mooring.processes.exits import read_exit
from mooring.processes.files import read_small, write_atomically
from mooring.processes.groups import kill_rest
from mooring.processes.identity import ProcessIdentity, boot_id
from mooring.processes.log_files import open_log
from mooring.processes.signals import terminate_group
from mooring.processes.sockets import listen_unix
from mooring.settings import Settings
from mooring_model_server.environment import must_exec

log = logging.getLogger("mooring.engines")

EXIT_RECORD_WAIT_S = 0.5
BODY_SLACK_BYTES = 64 * 1024
"""The gateway decides what is too large; a replica takes a little more."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a replica of one container needs before it can start."""

    container: Container
    runtime: Runtime
    artifacts: Artifacts
    python: Path | None
    """The interpreter of the model's own environment, when it has one."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A recorded replica. `owner` is what the caller wrote: it finds its own again by it."""

    id: str
    identity: ProcessIdentity
    address: str
    log: Path
    run_dir: Path
    owner: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a replica ended, for people."""

    returncode: int | None
    where: str | None
    """The step that the model server says it failed in, such as `model_fn`."""
    reason: str | None

    def __str__(self) -> str:
        if self.reason:
            return f"{self.where} failed: {self.reason}" if self.where else self.reason
        if self.returncode is None:
            return "the process has gone, its exit status is not known"
        if self.returncode < 0:
            return f"the process was killed by signal {-self.returncode}"
        return f"the process exited with status {self.returncode}"


class ProcessEngine:
    """Starts, finds and stops replicas as processes."""

    def __init__(self, paths: Paths, settings: Settings, clock: Clock) -> None:
        self._paths = paths
        self._settings = settings
        self.zygotes = Zygotes(clock, settings.replicas.zygote_idle_s)
        self.artifacts = ArtifactStore(paths, settings)
        self.model_data = ModelDataCheck(settings, paths)
        self._environments = Environments(paths)

    def prewarm(self, model: dict[str, Any]) -> None:
        """Start importing the framework of a model that is likely to be deployed soon."""
        with contextlib.suppress(StartFailure):
            self.zygotes.get(runtime_of(container_of(model).image).framework)

    async def prepare(
        self,
        owner: str,
        model: dict[str, Any],
        download_timeout_s: float,
        install_timeout_s: float,
        log_path: Path,
        note: Note,
    ) -> Prepared:
        """Bring the files, and the environment when there is a `requirements.txt`; `note` hears of each step.

        Raises `StartFailure` or `ArtifactError`, whose text is fit for FailureReason.
        """
        container = container_of(model)
        runtime = runtime_of(container.image)
        self.zygotes.get(runtime.framework)
        await asyncio.to_thread(lambda: os.close(open_log(log_path)))
        if container.model_data is not None:
            note(EventKind.STEP, f"fetching {container.model_data.uri}")
        artifacts = await self.artifacts.bring(owner, container, download_timeout_s, log_path)
        python = None
        if artifacts.code_dir is not None and (artifacts.code_dir / "requirements.txt").is_file():
            requirements = artifacts.code_dir / "requirements.txt"
            note(EventKind.STEP, "making an environment from requirements.txt")
            python = await self._environments.python_for(
                requirements, runtime.requirements, install_timeout_s, log_path
            )
        return Prepared(container, runtime, artifacts, python)

    async def start(
        self, replica_id: str, prepared: Prepared, log_path: Path, region: str, owner: dict[str, Any]
    ) -> Replica:
        """Fork, record, release. The replica is not healthy yet. Raises `StartFailure`."""
        run_dir = self._paths.replicas / replica_id
        (run_dir / "work").mkdir(parents=True)
        address = self._paths.replica_socket(replica_id)
        spec = self._spec(replica_id, prepared, run_dir, region)
        zygote = self.zygotes.get(PLAIN if spec["command"] else prepared.runtime.framework)
        with contextlib.ExitStack() as opened:
            listener = opened.enter_context(listen_unix(address))
            log_fd = open_log(log_path)
            opened.callback(os.close, log_fd)
            recorded, record = os.pipe()
            opened.callback(os.close, record)
            opened.callback(os.close, recorded)
            pid, start_time = await zygote.spawn(spec, (listener.fileno(), log_fd, recorded))
            identity = ProcessIdentity(pid, start_time, boot_id())
            replica = Replica(replica_id, identity, str(address), log_path, run_dir, owner)
            _record(replica)
            os.write(record, b"1")
        return replica

    def _spec(self, replica_id: str, prepared: Prepared, run_dir: Path, region: str) -> dict[str, Any]:
        environment = replica_environment(
            self._settings,
            prepared.container.environment,
            model_dir=prepared.artifacts.model_dir,
            work=run_dir / "work",
            region=region,
        )
        spec: dict[str, Any] = {
            "replica_id": replica_id,
            "framework": prepared.runtime.framework,
            "model_dir": str(prepared.artifacts.model_dir),
            "code_dir": str(prepared.artifacts.code_dir) if prepared.artifacts.code_dir else None,
            "program": self._program(prepared),
            "environment": environment,
            "work_dir": str(run_dir / "work"),
            "run_dir": str(run_dir),
            "command": None,
            "workers": _workers(prepared.container.environment),
            "timeout_s": self._settings.gateway.invocation_timeout_s,
            "body_limit": self._settings.gateway.body_limit_bytes + BODY_SLACK_BYTES,
        }
        variable = must_exec(prepared.container.environment)
        if prepared.python is not None or variable is not None:
            python = str(prepared.python or sys.executable)
            spec["command"] = [python, "-P", "-m", "mooring_model_server", "--spec", str(run_dir / "spec.json")]
            write_atomically(run_dir / "spec.json", json.dumps({**spec, "command": None}).encode())
        return spec

    def _program(self, prepared: Prepared) -> str | None:
        program, code_dir = prepared.container.program, prepared.artifacts.code_dir
        if program is None and code_dir is not None and (code_dir / "inference.py").is_file():
            return "inference.py"
        return program  # one that is named and not there must be told, not replaced by an algorithm

    def recorded(self) -> Iterator[Replica]:
        """Replicas on record whose process lives. What is left of others is removed."""
        for directory in sorted(self._paths.replicas.iterdir()):
            replica = _read_record(directory)
            if directory.name.startswith("."):
                shutil.rmtree(directory, ignore_errors=True)
            elif replica is not None and replica.identity.alive():
                yield replica
            else:
                self._remove(directory.name, directory)

    async def ending(self, replica: Replica) -> Ending:
        """How a replica that has gone ended; waits a moment for its parent to write that down."""
        deadline = asyncio.get_running_loop().time() + EXIT_RECORD_WAIT_S
        found = read_exit(replica.run_dir)
        while found is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
            found = read_exit(replica.run_dir)
        failure: Any = None
        with contextlib.suppress(OSError, ValueError):
            failure = json.loads(read_small(replica.run_dir / "failure.json"))
        if not isinstance(failure, dict):
            failure = {}
        returncode = found.returncode if found is not None else None
        return Ending(returncode, *(_text(failure.get(name)) for name in ("where", "reason")))

    async def stop(self, replica: Replica) -> None:
        """End the replica's process group, with force after the grace time, and forget it."""
        await terminate_group(replica.identity, self._settings.replicas.stop_grace_s)
        kill_rest(replica.identity)  # a replica that died by itself may have left children in its group
        await asyncio.to_thread(self._remove, replica.id, replica.run_dir)

    def _remove(self, replica_id: str, run_dir: Path) -> None:
        # Renamed first: a parent that is late to write the exit record must not bring the directory back.
        gone = run_dir.with_name(f".{replica_id}.gone")
        with contextlib.suppress(OSError):
            run_dir.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self._paths.replica_socket(replica_id).unlink(missing_ok=True)

    async def close(self) -> None:
        """End the zygotes. Replicas live on."""
        self.model_data.close()
        await self.zygotes.close()


def _record(replica: Replica) -> None:
    document = {
        **replica.identity.to_document(),
        "address": replica.address,
        "log": str(replica.log),
        "owner": replica.owner,
    }
    write_atomically(replica.run_dir / "identity.json", json.dumps(document).encode())


def _read_record(directory: Path) -> Replica | None:
    try:
        document = json.loads(read_small(directory / "identity.json"))
        identity = ProcessIdentity.from_document(document)
        return Replica(
            directory.name, identity, document["address"], Path(document["log"]), directory, document["owner"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _workers(environment: dict[str, str]) -> int:
    """SAGEMAKER_MODEL_SERVER_WORKERS; one when absent or not a number (AWS's servers take the number of CPUs)."""
    value = environment.get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
    return max(1, min(int(value), 64)) if value.isdigit() else 1
