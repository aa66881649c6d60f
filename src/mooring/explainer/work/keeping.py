"""What outlives a call in the solver process, all of it bounded: what was compiled, predicted and learned before.

Plans are kept under the text of their explainer, which names the version of the model, so that a baseline is read and
predicted once for each.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from mooring.explainer.faults import Unexplainable
from mooring.explainer.reading.plan import Plan
from mooring.explainer.work.batching import Batching
from mooring.explainer.work.predictions import Room
from mooring.hosting.explaining import ExplainerRoute
from mooring.settings import ExplainerSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLAN_BYTES = 4096
"""About what a plan is beside its baseline, which takes several times the size of its text."""
PLAN_FACTOR = 8
PLANS_BYTES = 268_435_456
SCORES_BYTES = 33_554_432
MODELS = 1024

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The latest used values, of so many bytes together."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._held: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """The value that is kept under a key."""
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value. The latest one is kept whatever its size."""
        if key in self._held:
            self._left += self._held.pop(key)[1]
        self._left -= size
        while self._left < 0 and self._held:
            _, (_, freed) = self._held.popitem(last=False)
            self._left += freed
        self._held[key] = value, size


class Kept:
    """Of one process."""

    def __init__(self, settings: ExplainerSettings) -> None:
        self._settings = settings
        self.room = Room()
        self.baselines: Recent[NDArray[np.float64]] = Recent(SCORES_BYTES)
        """The scores of a baseline's rows."""
        self._lock = Lock()
        self._plans: Recent[Plan] = Recent(PLANS_BYTES)
        self._batchings: Recent[Batching] = Recent(MODELS)

    def knows(self, explainer: str) -> bool:
        """Whether the plan of an explainer need not be made."""
        with self._lock:
            return self._plans.get(explainer) is not None

    def plan(self, explainer: str) -> Plan:
        """Of an explainer; this may be called in any thread. Raises `Unexplainable` and `BadExpression`."""
        with self._lock:
            found = self._plans.get(explainer)
        if found is None:
            route = ExplainerRoute(**json.loads(explainer))
            baseline = None
            if route.baseline is not None:
                baseline = _content(Path(route.baseline), self._settings.baseline_limit_bytes)
            found = Plan(route, baseline)
            if isinstance(baseline, Unexplainable):
                return found  # control puts the file back
            size = len(explainer) + len(baseline or b"")
            with self._lock:
                self._plans.put(explainer, found, PLAN_BYTES + PLAN_FACTOR * size)
        return found

    def batching(self, model: str, content_type: str, answered_type: str) -> Batching:
        """What was learned of a model."""
        key = model, content_type, answered_type
        found = self._batchings.get(key)
        if found is None:
            found = Batching(self._settings.batch_ms / 1000)
            self._batchings.put(key, found, 1)
        return found


def _content(path: Path, most: int) -> bytes | Unexplainable:
    """What is in a file, or why that cannot be said."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        return Unexplainable(f"The baseline that was fetched from ShapBaselineUri cannot be read: {error.strerror}.")
    if len(content) > most:
        return Unexplainable(f"The baseline of ShapBaselineUri has more than {most} bytes.")
    return content
