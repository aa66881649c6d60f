"""A replica's spec: everything that the process is told when it is started."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from mooring.engines.images import COMMAND
from mooring.engines.limits import threads_of
from mooring.engines.preparing import Prepared
from mooring.engines.replica_environment import ClientKey, replica_environment, shared_places, trusted_issuers
from mooring.engines.server_copy import model_server_copy
from mooring.errors import StartFailure
from mooring.image_commands import filled
from mooring.paths import Paths
from mooring.processes.files import write_atomically
from mooring.settings import Settings
from mooring_model_server.environment import must_exec

BODY_SLACK_BYTES = 64 * 1024
"""The gateway decides what is too large; a replica takes a little more."""
LISTENER = "3"
"""The descriptor of the listening socket in every replica."""


def spec_of(
    replica_id: str, prepared: Prepared, run_dir: Path, region: str, settings: Settings, paths: Paths, key: ClientKey
) -> dict[str, Any]:
    """The spec of a replica in `run_dir`, with a command where it cannot be forked. Raises `StartFailure`."""
    container, artifacts = prepared.container, prepared.artifacts
    work = run_dir / "work"
    threads = threads_of(prepared.memory_mb) if prepared.memory_mb is not None else None
    environment = replica_environment(
        settings,
        container.environment,
        model_dir=artifacts.model_dir,
        work=work,
        region=region,
        shared={**shared_places(paths), **trusted_issuers(settings, paths)},
        key=key,
        threads=threads,
    )
    spec: dict[str, Any] = {
        "replica_id": replica_id,
        "framework": prepared.runtime.framework,
        "container_version": prepared.runtime.container_version,
        "made_with": dict(artifacts.made_with),
        "model_dir": str(artifacts.model_dir),
        "code_dir": str(artifacts.code_dir) if artifacts.code_dir else None,
        "program": _program(prepared),
        "environment": environment,
        "work_dir": str(work),
        "run_dir": str(run_dir),
        "command": None,
        "workers": _workers(container.environment),
        "threads": threads,
        "timeout_s": settings.gateway.invocation_timeout_s,
        "body_limit": _body_limit(settings) + BODY_SLACK_BYTES,
    }
    if prepared.runtime.framework == COMMAND:
        return {**spec, "framework": "generic", "command": list(_operators_command(prepared, environment["PATH"]))}
    if prepared.python is not None or must_exec(container.environment) is not None:
        write_atomically(run_dir / "spec.json", json.dumps(spec).encode())
        spec["command"] = [*_model_server(prepared.python, paths), "--spec", str(run_dir / "spec.json")]
    return spec


def _body_limit(settings: Settings) -> int:
    """What is the most for an asynchronous job is that for any call, as a replica is told nothing of its endpoint."""
    return max(settings.gateway.body_limit_bytes, settings.async_inference.payload_limit_bytes)


def _model_server(python: Path | None, paths: Paths) -> tuple[str, ...]:
    if python is None:
        return (sys.executable, "-P", "-m", "mooring_model_server")
    return (str(python), str(model_server_copy(paths.environments)))


def _operators_command(prepared: Prepared, path: str) -> tuple[str, ...]:
    """The operator's words, filled in; one that listens on a port of its own is started by a relay."""
    artifacts = prepared.artifacts
    values = {
        "model_dir": str(artifacts.model_dir),
        "code_dir": str(artifacts.code_dir or artifacts.model_dir),
        "python": str(prepared.python or sys.executable),
        "fd": LISTENER,
    }
    words = prepared.runtime.command
    filled_in = filled(words, values)
    program = shutil.which(filled_in[0], path=path)
    if program is None:
        raise StartFailure(
            f'Image "{prepared.runtime.image}" cannot run here: {filled_in[0]}, which MOORING_IMAGES_COMMANDS names '
            f"for it, is no program on PATH."
        )
    command = (program, *filled_in[1:])
    if any("{fd}" in word for word in words):
        return command
    return (sys.executable, "-P", "-m", "mooring.engines.relaying", "--listen-fd", LISTENER, "--", *command)


def _program(prepared: Prepared) -> str | None:
    program, code_dir = prepared.container.program, prepared.artifacts.code_dir
    if program is None and code_dir is not None and (code_dir / "inference.py").is_file():
        return "inference.py"
    return program  # one that is named and not there must be told, not replaced by an algorithm


def _workers(environment: dict[str, str]) -> int:
    """SAGEMAKER_MODEL_SERVER_WORKERS; one when absent or not a number (AWS's servers take the number of CPUs)."""
    value = environment.get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
    return max(1, min(int(value), 64)) if value.isdigit() else 1
