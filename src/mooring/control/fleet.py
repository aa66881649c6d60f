"""The replicas of one endpoint: as many as are wished, no more.

The fleet holds lives and decides when a new one may start (backoff); it knows variants, and nothing of routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mooring.clock import Clock
from mooring.control.replica_life import PREPARATION, ReplicaLife, ReplicaState
from mooring.engines.log_times import SUFFIX
from mooring.engines.preparing import Prepared
from mooring.engines.process import ProcessEngine, Replica
from mooring.hosting.endpoints import VariantState
from mooring.hosting.events import Note
from mooring.settings import ReplicaSettings

log = logging.getLogger("mooring.control")

LOGS_OF_THE_DEAD = 10
PROVEN_AFTER_S = 60.0
"""A replica that was healthy for this long clears its variant's count of failures."""


@dataclass
class _VariantHistory:
    """What was tried for a variant so far."""

    preparation: asyncio.Task[Prepared] | None = None
    failures: int = 0
    last_failure: str | None = None
    hopeless: bool = False
    not_before: float = 0.0
    proven_at: float = field(default=float("inf"))


class Fleet:
    """All lives of one endpoint's uid."""

    def __init__(
        self,
        uid: str,
        engine: ProcessEngine,
        settings: ReplicaSettings,
        clock: Clock,
        logs: Path,
        on_change: Callable[[], None],
        note: Note,
    ) -> None:
        self.lives: list[ReplicaLife] = []
        self._uid = uid
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._logs = logs
        self._on_change = on_change
        self._note = note
        self._history: dict[str, _VariantHistory] = {}

    def adopt(self, replica: Replica, variant: VariantState, region: str) -> None:
        """Take over a replica that an earlier control started."""
        life = self._life(variant, region, adopted=replica)
        life.start(lambda: self._prepared(variant), self._startup_timeout(variant))

    def healthy(self, variant: str) -> list[ReplicaLife]:
        """Those that may be called, oldest first."""
        return [life for life in self.lives if life.variant == variant and life.state is ReplicaState.HEALTHY]

    def on_the_way(self, variant: str) -> list[ReplicaLife]:
        """Those that are healthy or may become so."""
        states = (ReplicaState.STARTING, ReplicaState.HEALTHY)
        return [life for life in self.lives if life.variant == variant and life.state in states]

    def growing_logs(self) -> list[Path]:
        """Those that somebody may be writing to."""
        growing = [life.replica.log for life in self.lives if life.replica is not None]
        for variant, history in self._history.items():
            if history.preparation is not None and not history.preparation.done():
                growing.append(self._logs / self._uid / variant / f"{PREPARATION}.log")
        return growing

    def start_missing(self, variant: VariantState, count: int, region: str) -> float | None:
        """Start what lacks to `count`, unless it is too early for that: then the seconds until it is not."""
        self._bury(variant.name)
        missing = count - len(self.on_the_way(variant.name))
        history = self._history.setdefault(variant.name, _VariantHistory())
        if missing <= 0:
            self._note_health(history, variant.name, count)
            return None
        wait = history.not_before - self._clock.monotonic()
        if wait > 0:
            return wait
        for _ in range(missing):
            self._life(variant, region).start(lambda: self._prepared(variant), self._startup_timeout(variant))
        return None

    def surplus(self, variant: str, count: int) -> list[ReplicaLife]:
        """What is more than `count`: the starting ones first, then the newest."""
        lives = self.on_the_way(variant)
        ranked = sorted(lives, key=lambda life: life.state is ReplicaState.STARTING)
        return ranked[count:]

    def failure(self, variant: str, attempts: int) -> str | None:
        """Why the variant cannot come up: after `attempts` failed starts, or one that is bound to repeat itself."""
        self._bury(variant)
        history = self._history.get(variant)
        if history is None or history.last_failure is None:
            return None
        return history.last_failure if history.hopeless or history.failures >= attempts else None

    def forgive(self, variants: Iterable[str]) -> None:
        """Forget failures: another deployment begins."""
        for name in variants:
            self._history.pop(name, None)

    async def stop(self, *, at_once: bool, idle: Callable[[ReplicaLife], Awaitable[object]] | None = None) -> None:
        """Stop every replica and wait until all are gone."""
        for history in self._history.values():
            if history.preparation is not None and not history.preparation.done():
                history.preparation.cancel()
        for life in self.lives:
            waiter = None if at_once or idle is None else functools.partial(idle, life)
            life.leave(waiter)
        for life in list(self.lives):
            await life.ended()
        self.lives.clear()

    def _life(self, variant: VariantState, region: str, adopted: Replica | None = None) -> ReplicaLife:
        life = ReplicaLife(
            self._engine,
            self._settings,
            variant=variant.name,
            region=region,
            owner={"endpoint_uid": self._uid, "variant": variant.name},
            log_path=lambda replica_id: self._logs / self._uid / variant.name / f"{replica_id}.log",
            on_change=self._on_change,
            note=self._note,
            adopted=adopted,
        )
        self.lives.append(life)
        return life

    def _prepared(self, variant: VariantState) -> asyncio.Task[Prepared]:
        """The one preparation that all replicas of a variant share; made anew after it failed."""
        history = self._history.setdefault(variant.name, _VariantHistory())
        task = history.preparation
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            download = variant.config.get("ModelDataDownloadTimeoutInSeconds") or self._settings.download_timeout_s
            log_path = self._logs / self._uid / variant.name / f"{PREPARATION}.log"
            task = history.preparation = asyncio.create_task(
                self._engine.prepare(
                    f"{self._uid}/{variant.name}",
                    variant.model,
                    download,
                    self._startup_timeout(variant),
                    log_path,
                    lambda kind, text: self._note(kind, f"{variant.name}: {text}"),
                ),
                name=f"preparation of {variant.name}",
            )
            # Its failure is reported by every life that awaits it; without one there is nobody to tell.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    def _startup_timeout(self, variant: VariantState) -> float:
        wanted = variant.config.get("ContainerStartupHealthCheckTimeoutInSeconds")
        return float(wanted or self._settings.startup_timeout_s)

    def _bury(self, variant: str) -> None:
        """Count the failures of those that have gone, and forget them."""
        gone = [life for life in self.lives if life.variant == variant and life.state is ReplicaState.GONE]
        if gone:
            self._prune_logs(variant)
        for life in gone:
            self.lives.remove(life)
            if life.failure is not None:
                self._count_failure(self._history.setdefault(variant, _VariantHistory()), life)

    def _prune_logs(self, variant: str) -> None:
        """A replica that dies again and again leaves a log each time: the newest few are enough."""
        living = {life.id for life in self.lives if life.state is not ReplicaState.GONE} | {PREPARATION}
        with contextlib.suppress(OSError):
            logs = [path for path in (self._logs / self._uid / variant).glob("*.log") if path.stem not in living]
            logs.sort(key=lambda path: path.lstat().st_mtime)
            for path in logs[:-LOGS_OF_THE_DEAD]:
                path.unlink(missing_ok=True)
                path.with_suffix(SUFFIX).unlink(missing_ok=True)

    def _count_failure(self, history: _VariantHistory, life: ReplicaLife) -> None:
        now = self._clock.monotonic()
        if now >= history.proven_at:
            history.failures = 0
        history.proven_at = float("inf")
        history.failures += 1
        history.last_failure = life.failure
        history.hopeless = life.hopeless
        if history.failures > 1:
            delay = self._settings.restart_backoff_s * 2.0 ** min(history.failures - 2, 16)
            history.not_before = now + min(delay, self._settings.restart_backoff_max_s)

    def _note_health(self, history: _VariantHistory, variant: str, count: int) -> None:
        if history.proven_at == float("inf") and len(self.healthy(variant)) >= count:
            history.proven_at = self._clock.monotonic() + PROVEN_AFTER_S
