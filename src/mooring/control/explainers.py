"""What control does for the explainers of one endpoint: tries them before a change, and keeps their baselines.

An explainer that cannot explain fails the creation, or turns the update back. A baseline of a generation that serves
is put back when its file has gone (somebody cleaned up): until S3 gives it, the endpoint serves on, and calls that
need it fail.
"""

from __future__ import annotations

import asyncio
import logging

from mooring.clock import Clock
from mooring.control.trials import Change, ChangeKind, Outcome
from mooring.explainer.faults import counted
from mooring.explainer.preparing.baselines import BaselineError, BaselineStore
from mooring.explainer.preparing.vetting import objection
from mooring.hosting.endpoints import EndpointRecord, VariantState
from mooring.hosting.events import EventKind, Note
from mooring.hosting.explaining import ExplainerRoute, baseline_uri, explainer_of, wanted_explainer
from mooring.hosting.model_rules import containers_of
from mooring.hosting.rollout.targets import config_of
from mooring.hosting.rules import Members

log = logging.getLogger("mooring.control")

PATIENCE_S = 60.0
"""How long a change waits for an S3 that does not answer."""
PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
"""Between two tries to put a baseline back."""


class EndpointExplainers:
    """Of one endpoint."""

    def __init__(self, uid: str, baselines: BaselineStore, clock: Clock, note: Note) -> None:
        self._uid = uid
        self._baselines = baselines
        self._clock = clock
        self._note = note
        self._restoring: dict[int, asyncio.Task[None]] = {}

    def attempt(self, change: Change) -> Outcome | None:
        """See whether the change's explainer can explain, and load its baseline."""
        explainer = wanted_explainer(change.config)
        if explainer is None or change.kind is ChangeKind.SCALE:
            return None
        return self._failure(change.generation, explainer)

    def route(self, record: EndpointRecord, generation: int, variant: VariantState) -> ExplainerRoute | None:
        """How the answers of a fleet's variant are explained."""
        config = config_of(record, generation)
        explainer = wanted_explainer(config)
        if explainer is None:
            return None
        named = baseline_uri(explainer) is not None
        path = self._baselines.path(self._uid, _configured(record, generation)) if named else None
        environment = containers_of(variant.model)[0].get("Environment") or {}
        model = f"{self._uid}/{generation}/{variant.name}"
        return explainer_of(config, model, environment, None if path is None else str(path))

    def look(self, record: EndpointRecord) -> None:
        """Put the baseline back that the endpoint serves with, where it has gone."""
        explainer, generation = wanted_explainer(record.config), record.generation
        if explainer is None or baseline_uri(explainer) is None or generation in self._restoring:
            return
        if not self._baselines.path(self._uid, generation).exists():
            task = asyncio.create_task(self._restore(generation, explainer), name=f"baseline of {record.name}")
            self._restoring[generation] = task
            task.add_done_callback(lambda _: self._restoring.pop(generation, None))

    async def forget(self, generation: int | None = None) -> None:
        """A generation is over, or the endpoint is."""
        over = [task for number, task in self._restoring.items() if generation in (None, number)]
        for task in over:
            task.cancel()
        if over:
            await asyncio.wait(over)  # else it could write once more
        await self._baselines.forget(self._uid, generation)

    async def _failure(self, generation: int, explainer: Members) -> str | None:
        failure = objection(explainer)
        if failure is None and baseline_uri(explainer) is not None:
            failure = await self._loading(generation, explainer)
        if failure is not None:
            self._note(EventKind.EXPLAINER, failure)
        return failure

    async def _loading(self, generation: int, explainer: Members) -> str | None:
        """Load it, unless it is there: why that fails."""
        until = self._clock.monotonic() + PATIENCE_S
        while not self._baselines.path(self._uid, generation).exists():
            try:
                await self._load(generation, explainer)
            except BaselineError as error:
                if not error.away or self._clock.monotonic() > until:
                    return str(error)
                await asyncio.sleep(PAUSE_S)
        return None

    async def _restore(self, generation: int, explainer: Members) -> None:
        pause_s, told = PAUSE_S, ""
        while True:
            try:
                return await self._load(generation, explainer)
            except BaselineError as error:
                if str(error) != told:
                    told = str(error)
                    self._note(EventKind.EXPLAINER, f"the baseline has gone, and calls that need it fail: {told}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _load(self, generation: int, explainer: Members) -> None:
        loaded = await self._baselines.bring(self._uid, generation, explainer)
        records = counted(loaded.records, "record")
        text = f"the baseline was loaded from {baseline_uri(explainer)}: {records}, {loaded.bytes} bytes"
        self._note(EventKind.EXPLAINER, text)


def _configured(record: EndpointRecord, generation: int) -> int:
    """The generation whose config a fleet serves under: what is left of a failed update serves under the endpoint's."""
    rollout = record.rollout
    return generation if rollout is not None and rollout.generation == generation else record.generation
