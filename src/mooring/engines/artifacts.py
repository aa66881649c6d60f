"""Model data on this machine: fetched once per endpoint's container, kept until the endpoint goes.

`ArtifactStore.bring` returns at once when the data is there already (a replica that is replaced does not need S3),
and otherwise fetches in a child process with a deadline. A directory without its `complete` mark is from an attempt
that died; it is removed and made again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engines.children import reading_environment, run
from mooring.engines.containers import Container, FetchJob, ObjectSource
from mooring.errors import ArtifactError
from mooring.paths import Paths
from mooring.processes.files import write_atomically
from mooring.settings import Settings

FETCHER = (sys.executable, "-P", "-m", "mooring.engines.fetching")


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Where a container's files lie."""

    model_dir: Path
    code_dir: Path | None
    """The directory of the script: sourcedir.tar.gz unpacked, or `code/` of the model data; None without one."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """`{distribution: version}` of the library that made the model, where its files tell."""


def download_failure(source: ObjectSource, why: str) -> ArtifactError:
    """AWS's sentence for FailureReason, and ours behind it."""
    return ArtifactError(
        f'Failed to download model data for container "container_1" from URL: "{source.uri}". Please ensure that there '
        f"is an object located at the URL and that the role passed to CreateModel has permissions to download the "
        f"object. ({why})"
    )


class ArtifactStore:
    """The directory `artifacts/`: one directory for each owner, who is named by the caller."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings
        self._locks: dict[str, asyncio.Lock] = {}

    async def bring(
        self, owner: str, container: Container, framework: str | None, timeout_s: float, log: Path
    ) -> Artifacts:
        """The files of `container`, below `artifacts/<owner>`. Raises `ArtifactError` by `timeout_s` at the latest."""
        directory = self._paths.artifacts / owner
        mark = directory / "complete"
        async with self._locks.setdefault(owner, asyncio.Lock()):
            if not mark.exists():
                await asyncio.to_thread(_empty, directory)
                async with asyncio.timeout(timeout_s + 5):
                    made_with = await self._fill(directory, container, framework, timeout_s, log)
                write_atomically(mark, json.dumps(made_with).encode())
        code = directory / "code"
        if container.submit_directory is None:
            code = directory / "model" / "code"
        return Artifacts(directory / "model", code if code.is_dir() else None, _made_with(mark))

    async def _fill(
        self, directory: Path, container: Container, framework: str | None, timeout_s: float, log: Path
    ) -> dict[str, str]:
        found: dict[str, str] = {}
        for source, name, of in (
            (container.model_data, "model", framework),
            (container.submit_directory, "code", None),
        ):
            target = directory / name
            target.mkdir(parents=True)
            if source is not None:
                found.update(await self._fetch(source, target, of, timeout_s, log))
        return found

    async def _fetch(
        self, source: ObjectSource, target: Path, framework: str | None, timeout_s: float, log: Path
    ) -> dict[str, str]:
        """Fetch into `target`; returns what made the model, as far as its files tell."""
        root = str(self._paths.root)
        job = FetchJob(source.bucket, source.key, source.archive, source.prefix, str(target), root, framework)
        finished = await run(
            FETCHER,
            stdin=json.dumps(dataclasses.asdict(job)).encode(),
            environment=reading_environment(self._settings),
            timeout_s=timeout_s,
            stderr=log,
        )
        if finished.timed_out:
            raise download_failure(source, f"it took longer than ModelDataDownloadTimeoutInSeconds, {timeout_s:g} s")
        try:
            answer = json.loads(finished.output)
        except ValueError:
            raise download_failure(source, f"the fetching process ended with {finished.returncode}") from None
        if why := answer.get("error"):
            raise download_failure(source, why)
        found: dict[str, str] = answer["made_with"]
        return found

    async def forget(self, owner: str) -> None:
        """Remove everything of `owner`, which may be the beginning of a path: `<uid>` removes `<uid>/<variant>`."""
        await asyncio.to_thread(shutil.rmtree, self._paths.artifacts / owner, ignore_errors=True)
        for name in [name for name in self._locks if name == owner or name.startswith(f"{owner}/")]:
            del self._locks[name]

    async def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Remove the owners' directories for whose first path element `wanted` is false (left by a killed control)."""
        for directory in await asyncio.to_thread(lambda: list(self._paths.artifacts.iterdir())):
            if not wanted(directory.name):
                await self.forget(directory.name)


def _made_with(mark: Path) -> dict[str, str]:
    """What the mark says; nothing in one that an earlier version of Mooring left."""
    found: dict[str, str] = json.loads(mark.read_bytes() or b"{}")
    return found


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
