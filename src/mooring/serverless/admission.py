"""All serverless variants of one gateway: what is told to control, and the clock of the calls that wait.

Control is told at once for which slots calls are held, and again and again while they are, also when it has only just
come: what it was told before may be lost. A variant whose calls all run costs nothing here but its share of `report`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from mooring.hosting.routes import Route, RouteVariant
from mooring.hosting.serverless import ServerlessRoute, Slots
from mooring.serverless.concurrency import Concurrency, Held, Taken
from mooring.serverless.locking import SlotLocks
from mooring.upstream.replica import Replica

REPEAT_S = 0.25

_Key = tuple[str, int, str]
"""An endpoint's uid, a generation and a variant: one variant of one fleet."""


class Admission:
    """One for each gateway."""

    def __init__(self, locks: SlotLocks, tell: Callable[[dict[str, Any]], object]) -> None:
        self._locks = locks
        self._tell = tell
        self._taken: WeakValueDictionary[str, Taken] = WeakValueDictionary()
        self._of_route: dict[str, dict[_Key, Concurrency]] = {}
        self._waiting: set[Concurrency] = set()
        self._news: set[Concurrency] = set()
        self._timer: asyncio.TimerHandle | None = None

    def of(self, route_key: str, variant: str, serverless: ServerlessRoute) -> Concurrency:
        """The slots of a variant, the same for all versions of its fleet's route."""
        key = (serverless.uid, serverless.generation, variant)
        held = self._of_route.setdefault(route_key, {})
        if key not in held:
            taken = self._taken.get(serverless.uid)
            if taken is None:
                taken = self._taken[serverless.uid] = Taken(serverless.uid, self._locks)
            held[key] = Concurrency(variant, serverless, taken)
        return held[key]

    def follow(self, route: Route, replicas: Mapping[str, Replica], pipeline: Any) -> None:
        """The endpoint has this route now, which `pipeline` serves."""
        before = self._of_route.get(route.key)
        if before is None:
            return
        now: set[Concurrency] = set()
        for variant in route.variants:
            if variant.serverless is not None:
                concurrency = self.of(route.key, variant.name, variant.serverless)
                now.add(concurrency)
                concurrency.follow(variant.serverless, _live(variant, replicas))
        self._end({key: each for key, each in before.items() if each not in now}, before, pipeline)
        if not before:
            self._of_route.pop(route.key, None)

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        gone = self._of_route.pop(route_key, {})
        self._end(dict(gone), gone, None)

    def hold(self, concurrency: Concurrency, call: Held) -> None:
        """`call` waits; control hears of it at the end of this turn of the loop, once for all that come in it."""
        loop = asyncio.get_running_loop()
        call.until = call.until or loop.time() + concurrency.hold_s
        concurrency.hold(call)
        if not self._news:
            loop.call_soon(self._tell_news)
        self._news.add(concurrency)
        self._waiting.add(concurrency)
        if self._timer is None:
            self._timer = loop.call_later(REPEAT_S, self._repeat)

    def unstarted(self, message: dict[str, Any]) -> None:
        """Control cannot start replicas that calls wait for."""
        slots = Slots.from_document(message["unstarted"])
        for concurrency in tuple(self._waiting):
            if (concurrency.uid, concurrency.generation, concurrency.variant) == slots[:3]:
                concurrency.unstarted(slots.slots, str(message["reason"]))

    def greet(self) -> None:
        """Control has only just come."""
        self._demand(self._waiting)

    def report(self) -> None:
        """Tell control which slots are in use; called each second."""
        used = [told for held in self._of_route.values() for each in held.values() if (told := each.report())]
        if used:
            self._tell({"used": used})

    def give_up(self) -> int:
        """This gateway ends, and its held calls are told so; returns how many there were."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return sum(concurrency.expire(math.inf) for concurrency in tuple(self._waiting))

    def _repeat(self) -> None:
        loop = asyncio.get_running_loop()
        for concurrency in tuple(self._waiting):
            concurrency.expire(loop.time())
            concurrency.pump()
            if not concurrency.waits:
                self._waiting.discard(concurrency)
        self._demand(self._waiting)
        self._timer = loop.call_later(REPEAT_S, self._repeat) if self._waiting else None

    def _tell_news(self) -> None:
        news, self._news = self._news, set()
        self._demand(news)

    def _demand(self, concurrencies: set[Concurrency]) -> None:
        demand = [told for each in concurrencies if (told := each.demanded()) is not None]
        if demand:
            self._tell({"demand": demand})

    def _end(self, over: dict[_Key, Concurrency], among: dict[_Key, Concurrency], pipeline: Any) -> None:
        for key, concurrency in over.items():
            among.pop(key, None)
            self._waiting.discard(concurrency)
            concurrency.end(pipeline)


def _live(variant: RouteVariant, replicas: Mapping[str, Replica]) -> dict[int, Replica]:
    return {each.slot: replicas[each.id] for each in variant.replicas if each.slot is not None}
