"""The feature of a gateway that has calls copied to shadow variants: it passes them on to the copier, and no more.

A lane is a shadow of one endpoint config; it outlives the versions of its route. What the copier counts begins anew
when it is started anew, so each report names the life that it is of.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict
from random import random
from time import perf_counter
from typing import Any, Protocol

from mooring.data_capture.observing import is_sampled
from mooring.hosting.routes import Route, RouteShadow, RouteVariant
from mooring.http1.ticking import Ticker
from mooring.processes.attendants import Attendant, Frame
from mooring.settings import ShadowSettings
from mooring.shadow.frames import COPY, DATA_KEYS, ORIGINAL, SHADOW
from mooring.shadow.tally import Tally
from mooring.upstream.call import Failure
from mooring.upstream.observing import Answer, Asked, Failed, ModelAnswer

INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
COPIED = frozenset({"InvokeEndpoint"})
COPIED_WITH_STREAMS = frozenset({"InvokeEndpoint", "InvokeEndpointWithResponseStream"})
COPIER = "mooring.shadow.copier"
_FRAME_BYTES = 128
"""What a frame takes besides heads and bodies, about."""
_FAILURES = {failure.value: failure for failure in Failure}


class Counters(Protocol):
    """What is counted of a variant for its metrics (`mooring.gateway.counting`)."""

    instances: int

    def answered(self, model: float, overhead: float) -> None: ...

    def failed(self, status: int, failure: Failure | None) -> None: ...


class Pair:
    """The observation of a call that was passed on to be copied."""

    __slots__ = ("_child", "_lane", "_limit", "_number", "_sent")

    def __init__(self, child: Attendant, limit: int, lane: int, number: int, sent: float) -> None:
        self._child = child
        self._limit = limit
        self._lane = lane
        self._number = number
        self._sent = sent

    def answered(self, answer: Answer, go: Callable[[], None]) -> None:
        replied = perf_counter()
        go()
        if answer.model is not None:
            self._tell(answer.model, len(answer.model.body))
        else:
            self._tell(ModelAnswer(answer.headers, answer.body, replied), answer.size, answer.status)

    def failed(self, failed: Failed) -> None:
        if failed.model is not None:
            self._tell(failed.model, len(failed.model.body))
            return
        seconds = perf_counter() - self._sent
        failure = None if failed.status else _FAILURES.get(failed.reason, Failure.BROKEN).name
        frame = (ORIGINAL, self._lane, self._number, failed.status, failure, seconds, b"", None)
        self._child.say(frame, _FRAME_BYTES)

    def abandoned(self) -> None:
        self._child.say((ORIGINAL, self._lane, self._number, 0, None, None, b"", None), _FRAME_BYTES)

    def _tell(self, answer: ModelAnswer, size: int, status: int = 200) -> None:
        content_type = next((value for name, value in reversed(answer.headers) if name == b"content-type"), b"")
        body = answer.body if size <= self._limit and self._child.has_room else None
        frame = (ORIGINAL, self._lane, self._number, status, None, answer.at - self._sent, content_type, body)
        self._child.say(frame, (0 if body is None else size) + _FRAME_BYTES)


class Mirror:
    """Passes on a part of the calls of one production variant, under one version of its route."""

    __slots__ = ("_captured", "_child", "_lane", "_operations", "_part", "_settings", "_tally")

    def __init__(
        self,
        settings: ShadowSettings,
        child: Attendant,
        lane: _Lane,
        operations: frozenset[str],
    ) -> None:
        self._settings = settings
        self._child = child
        self._lane = lane.number
        self._tally = lane.tally
        self._part = lane.shadow.part
        self._captured = lane.shadow.capture.percentage if lane.shadow.capture is not None else 0
        self._operations = operations

    def began(self, asked: Asked) -> Pair | None:
        """An independent draw a call, as between variants."""
        if asked.operation not in self._operations or (self._part < 1.0 and random() >= self._part):
            return None
        child = self._child
        if not child.has_room:
            self._tally.copied += 1
            self._tally.dropped["full"] += 1
            return None
        number = next(_numbers)
        inference_id = asked.headers.get(INFERENCE_ID, b"")
        head, body = asked.head, asked.body
        # Decided as for production's record, so that both are there or neither.
        captured = dict(asked.headers) if self._captured and is_sampled(asked, self._captured) else None
        streams = asked.operation not in COPIED
        child.say(
            (
                COPY, self._lane, number, asked.began, asked.sent, asked.request_id, inference_id, head, body, captured,
                streams,
            ),
            len(head) + len(body) + _FRAME_BYTES,
        )  # fmt: skip
        return Pair(child, self._settings.compare_limit_bytes, self._lane, number, asked.sent)


class Mirroring:
    """One for a gateway. The copier is started with the first shadow."""

    def __init__(
        self,
        settings: ShadowSettings,
        ticker: Ticker,
        counters: Callable[[str, str], Counters],
        on_captured: Callable[[dict[str, Any]], None],
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._on_captured = on_captured
        self._operations = COPIED_WITH_STREAMS if settings.streams else COPIED
        self._child: Attendant | None = None
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._numbers = itertools.count(1)
        self._reports: dict[tuple[int, int], dict[str, Any]] = {}
        self._data_keys: dict[str, Frame] = {}
        self._untold: set[tuple[int, int]] = set()
        ticker.add(self)

    def observer(self, route: Route, variant: RouteVariant) -> Mirror | None:
        """What copies the calls of a variant that has a shadow."""
        self._leave_others(route)
        shadow = variant.shadow
        if shadow is None:
            return None
        if self._child is None:
            self._child = Attendant(COPIER, self._settings.queue_bytes, self._introduction, self._heard)
        lane = self._lanes.get((route.key, shadow.comparison))
        if lane is None:
            counters = self._counters(route.key, shadow.name)
            lane = self._lanes[route.key, shadow.comparison] = _Lane(next(self._numbers), shadow, counters)
        lane.shadow = shadow
        if shadow.capture is not None:
            whose = {"scope": asdict(route.scope), "endpoint": route.endpoint, "variant": shadow.name}
            lane.capture = json.dumps({**whose, "capture": asdict(shadow.capture)})
        else:
            lane.capture = None
        lane.counters.instances = len(shadow.replicas)
        lane.names = {"production": variant.name, "shadow": shadow.name}
        self._child.say(lane.frame, _FRAME_BYTES)
        return Mirror(self._settings, self._child, lane, self._operations)

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        self._data_keys.pop(route_key, None)
        for key in [key for key in self._lanes if key[0] == route_key]:
            self._leave(key)

    def take_keys(self, message: dict[str, Any]) -> None:
        """Data keys of one endpoint, for a copier that seals records (`mooring.data_capture.observing`)."""
        frame = self._data_keys[message["route"]] = (DATA_KEYS, json.dumps(message))
        if self._child is not None:
            self._child.say(frame, _FRAME_BYTES)

    def reports(self, *, all_of_them: bool) -> list[dict[str, Any]]:
        """What was counted, of each life of the copier and of what it was not given; what is untold, or all of it."""
        for lane in self._lanes.values():
            if lane.tally.copied != lane.copied:
                lane.copied = lane.tally.copied
                self._note((0, lane.number), lane.report("gateway", lane.tally.to_document()))
        found = [report for key, report in self._reports.items() if all_of_them or key in self._untold]
        self._untold.clear()
        return found

    def sweep(self, now: float) -> None:
        if self._child is not None:
            self._child.sweep(now)

    async def finish(self) -> None:
        """At the end of the process."""
        if self._child is not None:
            await self._child.finish()

    # Inside

    def _introduction(self) -> list[Frame]:
        """What a copier that has just been started must know first."""
        return [*self._data_keys.values(), *(lane.frame for lane in self._lanes.values())]

    def _heard(self, number: int, said: dict[str, Any]) -> None:
        if captured := said["captured"]:
            self._on_captured(captured)
        lanes = {lane.number: lane for lane in self._lanes.values()}
        for report in said["lanes"]:
            lane = lanes.get(report["lane"])
            if lane is None:
                continue
            for model, overhead in report["metrics"].get("answered", ()):
                lane.counters.answered(model, overhead)
            for status, failure in report["metrics"].get("failed", ()):
                lane.counters.failed(status, None if failure is None else Failure[failure])
            self._note((number, lane.number), lane.report(f"copier {number}", report["counted"]))

    def _note(self, key: tuple[int, int], report: dict[str, Any]) -> None:
        self._reports[key] = report
        self._untold.add(key)

    def _leave_others(self, route: Route) -> None:
        """Shadows that only older versions of a route have."""
        named = {each.shadow.comparison for each in route.variants if each.shadow is not None}
        for key in [key for key in self._lanes if key[0] == route.key and key[1] not in named]:
            self._leave(key)

    def _leave(self, key: tuple[str, str]) -> None:
        lane = self._lanes.pop(key)
        for each in [each for each in self._reports if each[1] == lane.number]:
            del self._reports[each]
        if self._child is not None:
            self._child.say((SHADOW, lane.number, None, False, None), _FRAME_BYTES)


class _Lane:
    __slots__ = ("capture", "copied", "counters", "names", "number", "shadow", "tally")

    def __init__(self, number: int, shadow: RouteShadow, counters: Counters) -> None:
        self.number = number
        self.capture: str | None = None
        self.shadow = shadow
        self.counters = counters
        self.names: dict[str, str] = {}
        self.tally = Tally()  # of what the copier was not given
        self.copied = 0

    @property
    def frame(self) -> Frame:
        """What the copier has to know."""
        replicas = [(each.id, each.address) for each in self.shadow.replicas]
        return SHADOW, self.number, replicas, self.shadow.strategy == "RANDOM", self.capture

    def report(self, life: str, counted: dict[str, Any]) -> dict[str, Any]:
        """What control is told."""
        return {"comparison": self.shadow.comparison, "life": life, "names": self.names, "counted": counted}


_numbers = itertools.count()
