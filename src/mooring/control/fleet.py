"""The replicas of one endpoint: as many as are wished, no more.

Those of a serverless variant fill slots: a slot has one replica until that is gone, also while it ends.

The fleet holds lives and decides when a new one may start (backoff); it knows variants and their generations (an update
runs two of a name beside each other), and nothing of routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mooring.clock import Clock
from mooring.control.replica_life import PREPARATION, Place, ReplicaLife, ReplicaState
from mooring.engines.log_times import SUFFIX
from mooring.engines.logs import DATA_LOG, data_log_of, replica_of
from mooring.engines.preparing import Prepared
from mooring.engines.process import ProcessEngine, Replica
from mooring.hosting.endpoints import VariantState
from mooring.hosting.events import EventKind, Note
from mooring.hosting.explaining import LOG as EXPLAINER_LOG
from mooring.hosting.failures import with_last_lines
from mooring.hosting.serverless import is_serverless, with_one_worker
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
    failed_starts: int = 0
    """How many in a row were never healthy, of a serverless variant."""
    came_up: bool = False
    """Whether one was healthy, of a serverless variant."""
    waits: int = 0
    """How often a next start was made to wait."""
    not_before: float = 0.0
    proven_at: float = field(default=float("inf"))
    rests: int = 0
    """How often replicas of a serverless variant were given a rest, as they die although they come up."""
    rest_until: float = float("-inf")
    """Until then only those are started that calls wait for."""


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
        self._history: dict[Place, _VariantHistory] = {}
        self._last_words: list[Path] = []
        """Logs that were written to the end since `written_logs` was asked."""

    def adopt(self, replica: Replica, variant: VariantState | None, region: str) -> None:
        """Take over a replica that an earlier control started; `variant` is None for one that is no longer wanted."""
        # A Mooring before generations wrote none, and its endpoints have the first.
        place = Place(int(replica.owner.get("generation", 1)), str(replica.owner.get("variant")))
        slot = int(replica.owner.get("slot") or 0) if variant is not None and is_serverless(variant.config) else None
        life = self._life(place, region, adopted=replica, slot=slot)
        if variant is None:
            life.start(_nothing_to_prepare, self._settings.startup_timeout_s)
        else:
            life.start(lambda: self._prepared(place, variant), self._startup_timeout(variant))

    def healthy(self, place: Place) -> list[ReplicaLife]:
        """Those that may be called, oldest first."""
        return [life for life in self._of(place) if life.state is ReplicaState.HEALTHY]

    def kept(self, place: Place, count: int) -> list[ReplicaLife]:
        """The `count` that stay when there are more: the healthy ones before the starting, the oldest first."""
        lives = [life for life in self._of(place) if life.state in (ReplicaState.STARTING, ReplicaState.HEALTHY)]
        return sorted(lives, key=lambda life: life.state is ReplicaState.STARTING)[:count]

    def written_logs(self) -> list[Path]:
        """Those that somebody may have written to since this was asked before."""
        growing = [*self._last_words, *(life.replica.log for life in self.lives if life.replica is not None)]
        growing += map(data_log_of, growing[:])
        self._last_words.clear()
        for place, history in self._history.items():
            growing += [self._log(place.variant, DATA_LOG), self._log(place.variant, EXPLAINER_LOG)]
            if history.preparation is not None and not history.preparation.done():
                growing.append(self._log(place.variant, PREPARATION))
        return growing

    def start_missing(self, generation: int, variant: VariantState, count: int, region: str) -> float | None:
        """Start what lacks to `count`, unless it is too early for that: then the seconds until it is not."""
        place = Place(generation, variant.name)
        missing = count - len(self.kept(place, count))
        history = self._history.setdefault(place, _VariantHistory())
        if missing <= 0:
            self._note_health(history, place, count)
            return None
        wait = history.not_before - self._clock.monotonic()
        if wait > 0:
            return wait
        for _ in range(missing):
            life = self._life(place, region)
            life.start(lambda: self._prepared(place, variant), self._startup_timeout(variant))
        return None

    def in_slots(self, place: Place) -> dict[int, ReplicaLife]:
        """Who fills each slot of a serverless variant, also if only with its end."""
        return {life.slot: life for life in self._of(place) if life.slot is not None}

    def start_in_slots(
        self, generation: int, variant: VariantState, slots: Iterable[int], region: str, called: Container[int] = ()
    ) -> float | None:
        """Start a replica in each of these slots that is free; of a variant whose starts fail, one at a time and late.

        Where replicas come up and die again and again, those late that are not `called`: that no call waits for.
        Returns the seconds until it is not too early for that.
        """
        place = Place(generation, variant.name)
        filled = self.in_slots(place)
        free = sorted(slot for slot in slots if slot not in filled)
        history = self._history.setdefault(place, _VariantHistory())
        if not free:
            return None
        wait = history.not_before - self._clock.monotonic()
        if wait > 0:
            return wait
        if history.failed_starts:
            if any(life.state is ReplicaState.STARTING for life in filled.values()):
                return None
            free = free[:1]
        rest = history.rest_until - self._clock.monotonic()
        now = [slot for slot in free if rest <= 0 or slot in called]
        for slot in now:
            # Of one that comes and goes as it is called, each step would push what matters out of the history.
            life = self._life(place, region, slot=slot, note=self._note_failures if history.came_up else None)
            life.start(lambda: self._prepared(place, variant), self._startup_timeout(variant))
        return rest if len(now) < len(free) else None

    def start_failure(self, place: Place, attempts: int) -> str | None:
        """Why replicas of a serverless variant do not come up, while no start is tried."""
        history = self._history.get(place)
        if history is None or history.last_failure is None or not history.failed_starts:
            return None
        if not history.hopeless and history.failed_starts < attempts:
            return None
        return history.last_failure if history.not_before > self._clock.monotonic() else None

    def came_up(self, place: Place) -> None:
        """A replica of a serverless variant has become healthy: its starts do not fail any more."""
        history = self._history.get(place)
        if history is not None:
            history.failed_starts = history.failures = history.waits = 0
            history.hopeless = False
            history.came_up = True
            history.not_before = 0.0

    def failure(self, place: Place, attempts: int) -> str | None:
        """Why the variant cannot come up: after `attempts` failed starts, or one that is bound to repeat itself."""
        history = self._history.get(place)
        if history is None or history.last_failure is None:
            return None
        return history.last_failure if history.hopeless or history.failures >= attempts else None

    def forgive(self, places: Iterable[Place]) -> None:
        """Forget failures: another deployment begins."""
        for place in places:
            self._history.pop(place, None)

    def bury(self) -> None:
        """Count the failures of those that have gone, and forget them."""
        for life in [life for life in self.lives if life.state is ReplicaState.GONE]:
            self.lives.remove(life)
            self._last_words.append(self._log(life.place.variant, life.id))
            self._prune_logs(life.place.variant)
            if life.failure is not None:
                self._count_failure(self._history.setdefault(life.place, _VariantHistory()), life)

    def forget(self, wanted: Callable[[int], bool]) -> None:
        """Forget what was tried for generations that are not `wanted`."""
        for place in [place for place in self._history if not wanted(place.generation)]:
            preparation = self._history.pop(place).preparation
            if preparation is not None and not preparation.done():
                preparation.cancel()

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

    def _log(self, variant: str, stream: str) -> Path:
        return self._logs / self._uid / variant / f"{stream}.log"

    def _of(self, place: Place) -> list[ReplicaLife]:
        return [life for life in self.lives if life.place == place]

    def _note_failures(self, kind: EventKind, text: str) -> None:
        if kind is not EventKind.STEP:
            self._note(kind, text)

    def _life(
        self,
        place: Place,
        region: str,
        adopted: Replica | None = None,
        slot: int | None = None,
        note: Note | None = None,
    ) -> ReplicaLife:
        life = ReplicaLife(
            self._engine,
            self._settings,
            place=place,
            region=region,
            owner={"endpoint_uid": self._uid, **place._asdict(), **({} if slot is None else {"slot": slot})},
            log_path=lambda replica_id: self._log(place.variant, replica_id),
            on_change=self._on_change,
            note=note or self._note,
            adopted=adopted,
            slot=slot,
        )
        self.lives.append(life)
        return life

    def _prepared(self, place: Place, variant: VariantState) -> asyncio.Task[Prepared]:
        """The one preparation that all replicas of a variant share; made anew after it failed."""
        history = self._history.setdefault(place, _VariantHistory())
        task = history.preparation
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            download = variant.config.get("ModelDataDownloadTimeoutInSeconds") or self._settings.download_timeout_s
            log_path = self._log(variant.name, PREPARATION)
            task = history.preparation = asyncio.create_task(
                self._engine.prepare(
                    f"{self._uid}/{place.generation}/{variant.name}",
                    with_one_worker(variant.model) if is_serverless(variant.config) else variant.model,
                    download,
                    self._startup_timeout(variant),
                    log_path,
                    lambda kind, text: self._note(kind, f"{variant.name}: {text}"),
                    variant.config.get("ServerlessConfig", {}).get("MemorySizeInMB"),
                ),
                name=f"preparation of {variant.name}",
            )
            # Its failure is reported by every life that awaits it; without one there is nobody to tell.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            task.add_done_callback(lambda done: self._last_words.append(log_path))
        return task

    def _startup_timeout(self, variant: VariantState) -> float:
        wanted = variant.config.get("ContainerStartupHealthCheckTimeoutInSeconds")
        return float(wanted or self._settings.startup_timeout_s)

    def _prune_logs(self, variant: str) -> None:
        """A replica that dies again and again leaves a log each time: the newest few are enough."""
        kept = {life.id for life in self.lives if life.state is not ReplicaState.GONE}
        kept |= {PREPARATION, DATA_LOG, EXPLAINER_LOG}
        with contextlib.suppress(OSError):
            logs = [path for path in (self._logs / self._uid / variant).glob("*.log") if replica_of(path) not in kept]
            logs.sort(key=lambda path: path.lstat().st_mtime)
            newest = list(dict.fromkeys(map(replica_of, reversed(logs))))[:LOGS_OF_THE_DEAD]
            for path in logs:
                if replica_of(path) not in newest:
                    path.unlink(missing_ok=True)
                    path.with_suffix(SUFFIX).unlink(missing_ok=True)

    def _count_failure(self, history: _VariantHistory, life: ReplicaLife) -> None:
        now = self._clock.monotonic()
        if now >= history.proven_at:
            history.failures = history.waits = 0
        history.proven_at = float("inf")
        history.failures += 1
        history.last_failure = with_last_lines(life.failure, life.last_lines) if life.failure is not None else None
        history.hopeless = life.hopeless
        if life.slot is not None and life.served:
            self._rest(history, now)
        elif life.slot is not None:
            history.failed_starts += 1
        hopeless_start = life.slot is not None and life.hopeless
        # Those that fail together are waited for once.
        if (history.failures > 1 or hopeless_start) and now >= history.not_before:
            delay = self._settings.restart_backoff_s * 2.0 ** min(history.waits, 16)
            history.not_before = now + min(delay, self._settings.restart_backoff_max_s)
            history.waits += 1

    def _rest(self, history: _VariantHistory, now: float) -> None:
        """The first that dies is replaced at once, the next ones ever later, until none has died for a while."""
        if now < history.rest_until:
            return
        if now >= history.rest_until + PROVEN_AFTER_S:
            history.rests, history.rest_until = 0, now
            return
        delay = self._settings.restart_backoff_s * 2.0 ** min(history.rests, 16)
        history.rest_until = now + min(delay, self._settings.restart_backoff_max_s)
        history.rests += 1

    def _note_health(self, history: _VariantHistory, place: Place, count: int) -> None:
        if history.proven_at == float("inf") and len(self.healthy(place)) >= count:
            history.proven_at = self._clock.monotonic() + PROVEN_AFTER_S


def _nothing_to_prepare() -> asyncio.Task[Prepared]:
    raise AssertionError("an adopted replica has been prepared")
