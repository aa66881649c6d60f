"""Everything that must be there before a replica of a container can start: its files, and what runs them.

Guarantees: who waits hears of each step; what serves is what `versions.plan` wants, or the nearest that can be had, and
then the endpoint's history says so and why; where nothing can be had, the failure names the image and the reason.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.engines.artifacts import Artifacts, ArtifactStore
from mooring.engines.containers import Container, container_of
from mooring.engines.environments import Environments
from mooring.engines.images import COMMAND, FRAMEWORKS, MLFLOW, Runtime, runtime_of
from mooring.engines.interpreters import Interpreters, Need
from mooring.engines.model_requirements import ModelRequirements, of_command, of_mlflow, of_script
from mooring.engines.zygotes import PLAIN
from mooring.errors import MooringError
from mooring.hosting.events import EventKind, Note
from mooring.image_commands import commands_of
from mooring.paths import Paths
from mooring.processes.log_files import open_log
from mooring.settings import Settings
from mooring_model_server.environment import must_exec


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a replica of one container needs before it can start."""

    container: Container
    runtime: Runtime
    artifacts: Artifacts
    python: Path | None
    """The interpreter of an environment, where the model has one."""
    memory_mb: int | None = None
    """What each replica may use, if that is limited."""


class Preparation:
    """Brings models' files and makes their environments."""

    def __init__(self, paths: Paths, settings: Settings, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._commands = commands_of(settings.images.commands)
        self._prefers_installed = settings.images.versions == "auto" and not settings.hosting.strict
        environments = Environments(paths, settings.images.environments_limit_bytes)
        self._interpreters = Interpreters(environments, settings)

    def warm_framework(self, image: str) -> str | None:
        """The framework whose zygote will probably fork the replicas of `image`. Raises `StartFailure`."""
        name = runtime_of(image, self._commands).framework
        framework = FRAMEWORKS.get(name)
        likely = framework is not None and framework.forks and framework.installed and self._prefers_installed
        return name if likely else None

    def zygote_of(self, model: dict[str, Any]) -> str | None:
        """The zygote that will probably fork the replicas of a model, or exec them; None when nothing runs them."""
        try:
            container = container_of(model)
            framework = self.warm_framework(container.image)
        except MooringError:
            return None
        return framework if framework is not None and must_exec(container.environment) is None else PLAIN

    async def prepare(
        self,
        owner: str,
        model: dict[str, Any],
        download_timeout_s: float,
        install_timeout_s: float,
        log_path: Path,
        note: Note,
    ) -> Prepared:
        """Bring the files, and make an environment where one is wanted; `note` hears of each step.

        Raises `StartFailure` or `ArtifactError`, whose text is fit for FailureReason.
        """
        container = container_of(model)
        runtime = runtime_of(container.image, self._commands)
        await asyncio.to_thread(lambda: os.close(open_log(log_path)))
        if container.model_data is not None:
            note(EventKind.STEP, f"fetching {container.model_data.uri}")
        artifacts = await self._artifacts.bring(owner, container, runtime.framework, download_timeout_s, log_path)
        requirements = await asyncio.to_thread(_requirements_of, runtime, artifacts)
        deadline = time.monotonic() + install_timeout_s
        need = Need(owner, runtime, artifacts.made_with, requirements, deadline, log_path, note)
        return Prepared(container, runtime, artifacts, await self._interpreters.choose(need))


def _requirements_of(runtime: Runtime, artifacts: Artifacts) -> ModelRequirements:
    if runtime.framework == MLFLOW:
        return of_mlflow(artifacts.model_dir)
    if runtime.framework == COMMAND:
        asks = any("{python}" in word for word in runtime.command)
        return of_command(artifacts) if asks else ModelRequirements()
    return of_script(artifacts)
