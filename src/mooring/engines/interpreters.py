"""From what a model needs to the interpreter that serves it: the plan is tried, and what came of it is told.

Guarantees: the nearest serves only where the plan allows it, and never in silence.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mooring.engines.environments import Environments, python_version
from mooring.engines.images import COMMAND, FRAMEWORKS, Runtime, is_installed
from mooring.engines.model_requirements import ModelRequirements
from mooring.engines.pins import Pin, running_python, serves_under
from mooring.engines.recipes import Wish
from mooring.engines.versions import SWITCH, Plan, listed, packages_of, plan, plan_of_requirements
from mooring.engines.zygotes import PLAIN
from mooring.errors import EnvironmentFailure, StartFailure
from mooring.hosting.events import EventKind, Note
from mooring.settings import Settings

UVS_VARIABLE = "UV_TORCH_BACKEND"
UVS_OWN = "none"
"""The value of `torch_backend` that leaves the choice to uv's index."""


@dataclass(frozen=True, slots=True)
class Need:
    """One model, as far as its interpreter is concerned."""

    owner: str
    runtime: Runtime
    made_with: Mapping[str, str]
    requirements: ModelRequirements
    deadline: float
    """On the monotonic clock."""
    log_path: Path
    note: Note


class Interpreters:
    """Chooses among the installed framework and environments."""

    def __init__(self, environments: Environments, settings: Settings) -> None:
        self._environments = environments
        self._images = settings.images
        self._strict = settings.hosting.strict

    async def choose(self, need: Need) -> Path | None:
        """The interpreter of an environment; None where the installed framework serves. Raises `StartFailure`."""
        if need.runtime.framework == COMMAND:
            return await self._required(need, {})
        framework = FRAMEWORKS[need.runtime.framework]
        here = framework.versions_here()
        wanted = self._plan(need, here)
        if wanted.own:
            return await self._own(need, wanted, here)
        python = await self._required(need, here)
        if wanted.named:
            self._tell(need, f"{listed(here)} serves, {wanted.because}; {wanted.named}")
        return python

    def _plan(self, need: Need, here: Mapping[str, str]) -> Plan:
        framework = FRAMEWORKS[need.runtime.framework]
        pin = need.requirements.pin_of(framework.distributions[0], framework.aliases)
        policy, strict = self._images.versions, self._strict
        if pin is not None:
            return plan_of_requirements(need.runtime, pin, need.requirements.python, policy=policy, strict=strict)
        return plan(need.runtime, need.made_with, here, policy=policy, strict=strict)

    async def _own(self, need: Need, wanted: Plan, here: Mapping[str, str]) -> Path | None:
        """The environment that is wanted, under the first Python that does; else the nearest, where that may serve."""
        failure: EnvironmentFailure | None = None
        for asked in wanted.pythons:
            try:
                python = await self._make(need, wanted.packages, asked)
            except EnvironmentFailure as error:
                failure = error
                continue
            self._tell_of_own(need, wanted, await asyncio.to_thread(python_version, python), failure)
            return python
        if not wanted.nearest:
            raise StartFailure(self._refusal(need, wanted, str(failure)))
        python_here = await self._required(need, here)
        lacking = f"an environment with {wanted.serves}, {wanted.because}, could not be made: {failure}"
        self._tell(need, f"{listed(here)} serves, as installed beside Mooring; {lacking}")
        return python_here

    def _tell_of_own(self, need: Need, wanted: Plan, python: str, failure: EnvironmentFailure | None) -> None:
        """In what the environment differs from the image's tag, if it does."""
        named = need.runtime.tag.python
        if failure is not None:
            lacking = f"an environment with Python {wanted.pythons[0] or running_python()} could not be made: {failure}"
            self._tell(need, f"{wanted.serves} serves under Python {python}; {lacking}")
        elif wanted.named:
            self._tell(need, f"{wanted.serves} serves, {wanted.because}; {wanted.named}")
        elif named not in (None, python):
            remedy = SWITCH if serves_under(named) else "the model server needs a newer one"
            self._tell(need, f"{wanted.serves} serves under Python {python}; the image's tag names {named} ({remedy})")

    async def _required(self, need: Need, here: Mapping[str, str]) -> Path | None:
        """What the model's requirements ask for, beside what is installed here; None without any."""
        if need.requirements.file is None:
            return None
        packages = packages_of(need.runtime, [Pin(name, version) for name, version in here.items()])
        try:
            return await self._make(need, tuple(filter(is_installed, packages)), "")
        except EnvironmentFailure as error:
            raise StartFailure(f"Installing {need.requirements.file.name} failed: {error}") from None

    async def _make(self, need: Need, packages: tuple[str, ...], python: str) -> Path:
        framework = need.runtime.framework
        wish = Wish(
            packages=packages,
            python=python,
            requirements=need.requirements.file,
            torch_backend=self._torch_backend(need.runtime),
            framework=framework if framework in FRAMEWORKS else PLAIN,
        )
        timeout_s = max(0.1, need.deadline - time.monotonic())
        return await self._environments.python_for(wish, need.owner, timeout_s, need.log_path, need.note)

    def _torch_backend(self, runtime: Runtime) -> str:
        chosen = self._images.torch_backend or os.environ.get(UVS_VARIABLE) or ("auto" if runtime.tag.gpu else "cpu")
        return "" if chosen == UVS_OWN else chosen

    def _tell(self, need: Need, text: str) -> None:
        need.note(EventKind.VERSIONS, text)

    def _refusal(self, need: Need, wanted: Plan, reason: str) -> str:
        """Why nothing serves, for FailureReason."""
        image, file = need.runtime.image, need.requirements.file
        if file is not None and wanted.theirs:
            return f"Installing {file.name} failed: {reason}"
        if self._strict:
            return (
                f'Image "{image}" cannot be served as its tag says ({wanted.serves} under Python '
                f"{wanted.pythons[0] or running_python()}): {reason}. MOORING_HOSTING_STRICT is on: let uv find what "
                f"is missing, or turn it off."
            )
        return (
            f'Image "{image}" cannot run here: {FRAMEWORKS[need.runtime.framework].distributions[0]} is not installed '
            f"beside Mooring, and an environment with {wanted.serves} cannot be made: {reason}. Install it beside "
            f"Mooring, or let uv reach what is missing."
        )
