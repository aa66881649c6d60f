"""Python environments for models: made with uv, kept by the hash of what went in, and bounded.

One environment serves every model that asks for the same Python, packages and requirements. Guarantees: it is made
once, however many ask at the same time; it is made aside and moved into place whole, so that what died half-way is
never used; what an endpoint on this machine may still need is never removed. The second use costs a few reads and no
process. The model server is not installed into it (see `model_server_copy`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import sys
import threading
import time
from pathlib import Path

from mooring.engines.recipes import Recipe, Wish, recipe_of
from mooring.engines.server_copy import WARM, model_server_copy
from mooring.engines.uv import command, uv
from mooring.engines.zygotes import PLAIN
from mooring.errors import EnvironmentFailure
from mooring.hosting.events import EventKind, Note
from mooring.paths import Paths
from mooring.processes.files import read_small, write_atomically

log = logging.getLogger("mooring.engines")

MARK = "mooring.json"
HOLD = "environment"
"""A link in the artifacts of an owner: the environment that it uses."""
_ASIDE = ".making-"
_GONE = ".gone-"
_WARMING_S = 60.0
_MISSING_FOR_S = 600.0
"""A Python that could not be had is not looked for again so soon: that takes seconds, without a network longer."""


class Environments:
    """The directory `environments/`."""

    def __init__(self, paths: Paths, limit_bytes: int) -> None:
        self._root = paths.environments
        self._artifacts = paths.artifacts
        self._limit_bytes = limit_bytes
        self._locks: dict[str, asyncio.Lock] = {}
        self._guard = threading.Lock()  # between a claim and a removal, which happen in threads
        self._missing: dict[str, tuple[float, str]] = {}

    async def python_for(self, wish: Wish, owner: str, timeout_s: float, log_path: Path, note: Note) -> Path:
        """The interpreter of an environment as wished, which is `owner`'s until its artifacts are forgotten.

        Raises `EnvironmentFailure` saying why there is none.
        """
        recipe = await asyncio.to_thread(recipe_of, wish)
        async with self._locks.setdefault(recipe.name, asyncio.Lock()):
            try:
                if not await asyncio.to_thread(self._claim, owner, recipe.name):
                    self._refuse_missing(recipe.python)
                    note(EventKind.STEP, f"making an environment: {recipe}")
                    began = time.monotonic()
                    await self._make(recipe, timeout_s, log_path)
                    note(EventKind.STEP, f"the environment is ready after {time.monotonic() - began:.1f} s")
                    await asyncio.to_thread(self._evict)
            except OSError as error:
                raise EnvironmentFailure(f"it could not be written: {error.strerror or error}") from None
        return self._root / recipe.name / "bin" / "python"

    def _claim(self, owner: str, name: str) -> bool:
        """Hold the environment for `owner`; whether it is there to be used."""
        with self._guard:
            link = self._artifacts / owner / HOLD
            link.unlink(missing_ok=True)
            link.symlink_to(self._root / name)
            # The interpreter that it was made with may have been removed since.
            usable = (self._root / name / MARK).exists() and (self._root / name / "bin" / "python").exists()
            if usable:
                os.utime(self._root / name / MARK)
            return usable

    def _refuse_missing(self, python: str) -> None:
        until, reason = self._missing.get(python, (0.0, ""))
        if time.monotonic() < until:
            raise EnvironmentFailure(reason)

    async def _make(self, recipe: Recipe, timeout_s: float, log_path: Path) -> None:
        aside = self._root / f"{_ASIDE}{recipe.name}-{os.getpid()}"
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)
        deadline = time.monotonic() + timeout_s
        try:
            await self._fill(aside, recipe, deadline, log_path)
            await asyncio.to_thread(self._publish, aside, recipe)
        finally:
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)

    async def _fill(self, aside: Path, recipe: Recipe, deadline: float, log_path: Path) -> None:
        def left() -> float:
            return max(0.1, deadline - time.monotonic())

        python = str(aside / "bin" / "python")
        venv = ("venv", "--relocatable", "--no-project", "--python", recipe.python or sys.executable, str(aside))
        try:
            await uv(venv, timeout_s=left(), log=log_path)
        except EnvironmentFailure as error:
            if recipe.python:
                self._missing[recipe.python] = (time.monotonic() + _MISSING_FOR_S, str(error))
            raise
        if recipe.arguments:
            install = ("pip", "install", "--python", python, *recipe.arguments)
            await uv(install, timeout_s=left(), log=log_path, directory=recipe.directory)
        warming = (python, str(await asyncio.to_thread(model_server_copy, self._root) / WARM))
        await command((*warming, recipe.framework), _bare(aside), timeout_s=left(), log=log_path)
        if recipe.named:
            with contextlib.suppress(EnvironmentFailure):  # the model's script may know better how to import these
                words = (*warming, PLAIN, *sorted(recipe.named))
                await command(words, _bare(aside), timeout_s=min(left(), _WARMING_S), log=log_path)

    def _publish(self, aside: Path, recipe: Recipe) -> None:
        mark = {**recipe.to_document(), "bytes": _bytes_of(aside), "made_at": time.time()}
        write_atomically(aside / MARK, json.dumps(mark, indent=1).encode())
        place = self._root / recipe.name
        if place.exists():  # it was there without a working interpreter
            self._discard(place)
        aside.rename(place)

    def _evict(self) -> None:
        """Remove what others left half-made, and what is over the bound and in nobody's use."""
        found: list[tuple[float, int, Path]] = []
        for directory in list(self._root.iterdir()):
            if directory.name.startswith(_GONE) or (
                directory.name.startswith(_ASIDE) and not directory.name.endswith(f"-{os.getpid()}")
            ):
                shutil.rmtree(directory, ignore_errors=True)
            elif not directory.name.startswith("."):
                found.append((*_use_of(directory), directory))
        over = sum(size for _, size, _ in found) - self._limit_bytes
        for _, size, directory in sorted(found):
            if over <= 0:
                return
            if self._remove_unheld(directory):
                log.info("environment %s is removed: all together are over their limit", directory.name)
                over -= size

    def _remove_unheld(self, directory: Path) -> bool:
        with self._guard:
            if directory.name in self._held():
                return False
            gone = directory.rename(directory.with_name(f"{_GONE}{directory.name}"))
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def _held(self) -> set[str]:
        found = set()
        # An owner is endpoint, generation and variant; one whom an older Mooring left has no generation.
        links = (*self._artifacts.glob(f"*/*/*/{HOLD}"), *self._artifacts.glob(f"*/*/{HOLD}"))
        for link in links:
            with contextlib.suppress(OSError):  # its endpoint is being deleted
                found.add(link.readlink().name)
        return found

    def _discard(self, directory: Path) -> None:
        gone = directory.rename(directory.with_name(f"{_GONE}{directory.name}-{time.monotonic_ns()}"))
        shutil.rmtree(gone, ignore_errors=True)


def python_version(python: Path) -> str:
    """Major and minor of an environment's interpreter: `3.11`."""
    settings = (python.parent.parent / "pyvenv.cfg").read_text("utf-8")
    found = re.search(r"(?m)^version_info = (\d+\.\d+)", settings)
    return found[1] if found else "?"


def _bare(home: Path) -> dict[str, str]:
    """For packages' own code, which must find nothing of this process's environment."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)}


def _use_of(directory: Path) -> tuple[float, int]:
    """When it was used last, and its size; what has no mark is from an older Mooring and goes first."""
    try:
        mark = directory / MARK
        return mark.stat().st_mtime, int(json.loads(read_small(mark))["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, _bytes_of(directory)


def _bytes_of(directory: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*"))
