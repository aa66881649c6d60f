"""Baselines in S3, brought to this machine: once for each generation of an endpoint, and kept as long as that is.

A baseline is fetched and read by a child with a deadline and bounded memory (`preparing.fetching`), and appears whole
and durable or not at all. Guarantee: a file that is there can be parsed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mooring.engines.children import reading_environment, run
from mooring.errors import MooringError
from mooring.hosting.explaining import baseline_uri
from mooring.hosting.failures import baseline_refused
from mooring.hosting.rules import Members
from mooring.hosting.s3_uris import bucket_and_key
from mooring.paths import Paths
from mooring.settings import Settings

FETCHER = (sys.executable, "-P", "-m", "mooring.explainer.preparing.fetching")
TIMEOUT_S = 120.0
FILE = "baseline"


class BaselineError(MooringError):
    """A baseline cannot be had. `away`: S3 could not answer just now, so that the same call may do later."""

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


@dataclass(frozen=True, slots=True)
class BaselineJob:
    """What the fetching child is told, as JSON."""

    bucket: str
    key: str
    explainer: Members
    target: str
    """The file to be made. What is above it is made where it is not there."""
    data_root: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was brought."""

    records: int
    bytes: int


class BaselineStore:
    """The directory `baselines/`."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings

    def path(self, uid: str, generation: int) -> Path:
        """Where the baseline of an endpoint's generation lies, if there is one."""
        return self._paths.baselines / uid / str(generation) / FILE

    async def bring(self, uid: str, generation: int, explainer: Members) -> Loaded:
        """Fetch what ShapBaselineUri names. Raises `BaselineError`, whose text is fit for FailureReason."""
        uri = baseline_uri(explainer) or ""
        bucket, key = bucket_and_key(uri) or ("", "")
        target = self.path(uid, generation)
        job = BaselineJob(bucket, key, explainer, str(target), str(self._paths.root))
        told = json.dumps(asdict(job)).encode()
        environment = reading_environment(self._settings)
        try:
            finished = await run(FETCHER, stdin=told, environment=environment, timeout_s=TIMEOUT_S)
        except OSError as error:
            why = f"no process can be started: {error.strerror or error}"
            raise BaselineError(baseline_refused(uri, why), away=True) from None
        if finished.timed_out:
            raise BaselineError(baseline_refused(uri, f"it took longer than {TIMEOUT_S:g} s"), away=True)
        try:
            answer: dict[str, Any] = json.loads(finished.output)
        except ValueError:
            why = f"the fetching process ended with {finished.returncode}"
            raise BaselineError(baseline_refused(uri, why)) from None
        if "error" in answer:
            raise BaselineError(answer["error"], away=answer["away"])
        return Loaded(**answer)

    async def forget(self, uid: str, generation: int | None = None) -> None:
        """Remove what there is of an endpoint, or of one generation of it."""
        directory = self._paths.baselines / uid if generation is None else self.path(uid, generation).parent
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Remove what there is of endpoints for whose uid `wanted` is false (left by a killed control)."""
        for directory in await asyncio.to_thread(lambda: list(self._paths.baselines.iterdir())):
            if not wanted(directory.name):
                await self.forget(directory.name)
