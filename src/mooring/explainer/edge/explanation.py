"""One explained call at the edge: between its model's answer and the answer for its caller.

It ends once, with what the solver made of it or with why there is nothing: the solver's reason, its death, too many
calls, or the time. The time is a little less than an invocation may take, so that the caller is told why and is not cut
off. Whatever the end, the model is not asked any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mooring.explainer.edge.call_log import CallLog, Place
from mooring.explainer.edge.lanes import Lane, Lanes, Requests
from mooring.explainer.edge.solver import BUSY, Busy, Solver
from mooring.explainer.faults import counted
from mooring.explainer.frames import Explain, Explained, Predict, Predicted, Unexplained
from mooring.explainer.reading.document import plain_document
from mooring.hosting.routes import Route, RouteVariant
from mooring.http1.ticking import Ticker
from mooring.settings import ExplainerSettings
from mooring.upstream.replica import Replica

log = logging.getLogger("mooring.explainer")

LATE = "late"
"""A kind of `Unexplained` that is the edge's own: there was too little time."""
MARGIN_S, MARGIN_PART = 1.5, 0.1
"""How much earlier than the invocation's time a call ends: so many seconds, or this part of a short time."""
REMEDIES = (
    "Explain fewer records in a call, set a smaller NumberOfSamples, give fewer rows of baseline, or a larger"
    " MaxRecordCount where the container takes more records in a request."
)


class Caller(Protocol):
    """Who is told, once, how it ended."""

    def explained(self, frame: Explained) -> None: ...

    def unexplained(self, frame: Unexplained) -> None: ...


class Explanation:
    """Of one call. Made by `Explainers.begin`."""

    def __init__(self, explainers: Explainers, lane: Lane, caller: Caller, place: Place, inference_id: str) -> None:
        self._explainers = explainers
        self._lane = lane
        self._caller: Caller | None = caller
        self._place = place
        self._inference_id = inference_id
        self._requests: Requests | None = None
        self._number = 0
        self._began = self._its_turn_since = 0.0
        self._within_s = 0.0
        self._deadline: asyncio.TimerHandle | None = None

    def begin(self, explain: Explain, head: bytes, replica: Replica, *, only: bool) -> None:
        """Have the solver explain the call, which has `explain.within_s` seconds left."""
        loop = asyncio.get_running_loop()
        self._began = self._its_turn_since = loop.time()
        self._within_s = explain.within_s
        if explain.within_s <= 0:
            self._ended(self._late())
            return
        self._requests = Requests(self._lane, head, explain.within_s, replica, self._predicted, only=only)
        self._deadline = loop.call_later(explain.within_s, self._time_is_over)
        explain = explain._replace(explainer=self._lane.explainer_text, width=self._requests.width)
        try:
            self._number = self._explainers.solver.begin(self, explain)
        except Busy as error:
            self._ended(Unexplained(0, BUSY, 0, str(error)))

    def cancel(self) -> None:
        """Nobody waits for it any more, and nobody is told."""
        if self._caller is not None:
            self._caller = None
            self._leave()

    # solver.Asker

    def heard(self, frame: Predict | Explained | Unexplained) -> None:
        if self._caller is None:
            return
        if isinstance(frame, Predict):
            assert self._requests is not None
            self._requests.ask(frame)
        else:
            self._number = 0
            self._ended(frame)

    def lost(self, kind: str, reason: str) -> None:
        self._number = 0
        if self._caller is not None:
            self._ended(Unexplained(0, kind, 0, reason))

    # Inside

    def _predicted(self, predicted: Predicted) -> None:
        assert self._requests is not None
        if self._requests.is_idle:
            self._its_turn_since = asyncio.get_running_loop().time()
        self._explainers.solver.say(predicted)

    def _time_is_over(self) -> None:
        self._ended(self._late())

    def _late(self) -> Unexplained:
        done = self._requests
        far = "the model's own answer had taken nearly all of it"
        if done is not None:
            asked = counted(done.records, "synthetic record")
            far = f"the model had predicted {asked}, in {counted(done.requests, 'request')}"
        text = f"The explanation was not ready in the time that an invocation may take: {far}. {REMEDIES}"
        return Unexplained(self._number, LATE, 0, text)

    def _ended(self, frame: Explained | Unexplained) -> None:
        caller, self._caller = self._caller, None
        assert caller is not None
        self._leave()
        self._explainers.note(self._place, self._inference_id, frame, asyncio.get_running_loop().time() - self._began)
        if isinstance(frame, Explained):
            caller.explained(frame)
        else:
            caller.unexplained(frame)

    def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        requests, number = self._requests, self._number
        its_turn = requests is None or requests.is_idle
        if requests is not None:
            requests.close()
        if number:
            self._explainers.solver.forget(number, self._its_turn_since if its_turn else None)


class Explainer:
    """Of one variant, under one version of its route."""

    __slots__ = ("_explainers", "_lane", "_place")

    def __init__(self, explainers: Explainers, lane: Lane, place: Place) -> None:
        self._explainers = explainers
        self._lane = lane
        self._place = place

    def explains_nothing(self, expression: str | None) -> bool:
        """Whether a call with this EnableExplanations, or with none, needs no record to be looked at."""
        if expression is None:
            expression = self._lane.explainer.config.get("EnableExplanations")
        if expression is None:
            return False
        from mooring.explainer.expressions import compiled, constant_of  # jmespath, which most calls do without

        return constant_of(compiled(expression)) is False

    def plain_document(self, content_type: str, answered_type: str, answer: bytes) -> bytes | None:
        """The answer to such a call; None where the solver has to look at it."""
        return plain_document(self._lane.explainer.config, content_type, answered_type, answer)

    @property
    def refusal(self) -> str | None:
        """Why a further call could not be explained once its model had answered it."""
        return self._explainers.solver.refusal

    def explanation(self, caller: Caller, inference_id: str) -> Explanation:
        """Of a call that its model has answered; to be begun."""
        return Explanation(self._explainers, self._lane, caller, self._place, inference_id)


class Explainers:
    """What explained calls of one gateway share."""

    def __init__(self, settings: ExplainerSettings, ticker: Ticker, logs: Path, log_limit_bytes: int) -> None:
        self.solver = Solver(settings, self._pump)
        self._lanes = Lanes(lambda: self.solver.has_room, self.solver.pause, self.solver.resume)
        self._log = CallLog(logs, log_limit_bytes)
        self._ticker = ticker
        self._is_swept = False

    def explainer(self, route: Route, variant: RouteVariant, replicas: Sequence[Replica]) -> Explainer | None:
        """Of a variant of this version of a route, which has these replicas; None where nothing is explained."""
        lane = self._lanes.lane(route, variant, replicas)
        if lane is None:
            return None
        if not self._is_swept:
            self._is_swept = True
            self._ticker.add(self)
        return Explainer(self, lane, Place(lane.explainer.model.partition("/")[0], variant.name))

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        self._lanes.forget(route_key)

    def sweep(self, now: float) -> None:
        self.solver.sweep(now)
        self._lanes.sweep(now)

    def note(self, place: Place, inference_id: str, frame: Explained | Unexplained, seconds: float) -> None:
        """Write how a call ended into the endpoint's logs."""
        self._log.add(place, inference_id, frame, seconds)

    def give_up(self) -> int:
        """The gateway ends, and those who wait are told so; returns how many there were."""
        return self.solver.give_up()

    async def finish(self) -> None:
        """At the end of the process."""
        await self.solver.finish()
        await self._log.flush()

    def _pump(self) -> None:
        self._lanes.sweep(0.0)
