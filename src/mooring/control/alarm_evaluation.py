"""Alarms are evaluated: those on metrics at the ends of their periods, composite ones when others have changed.

An alarm on metrics is looked at `SETTLED_S` after each full minute, or each 10 s where its periods are shorter: by then
gateways have told what they counted. A new one is looked at at once. What SetAlarmState sets holds for a whole step, so
that whoever sets a state to try something out can see it.

Composite alarms come behind those that they name, so that one look settles all. What leads back to itself is not
evaluated, nor what depends on that, as on AWS: a rule such as `NOT ALARM(itself)` would change at every look.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from mooring.clock import Clock
from mooring.control.alarm_book import AlarmBook, Key, children_of
from mooring.control.measuring import Measured, measured
from mooring.control.metering import Metering
from mooring.errors import MooringError
from mooring.hosting.naming import Scope
from mooring.metrics.alarms import COMPOSITE, METRIC, Alarm, explained
from mooring.metrics.composites import holds, rule
from mooring.metrics.evaluating import State, evaluated

log = logging.getLogger("mooring.control")

LOOK_S = 0.5
SETTLED_S = 2.0


class AlarmEvaluation:
    """`run` is the one task."""

    def __init__(self, book: AlarmBook, metering: Metering, clock: Clock) -> None:
        self._book = book
        self._metering = metering
        self._clock = clock
        self._next: dict[str, tuple[float, float]] = {}
        """By ARN: since when the alarm is defined as it is, and when it is due."""

    async def run(self) -> None:
        """Evaluate until cancelled."""
        await asyncio.sleep(SETTLED_S)  # gateways tell what they counted while no control was there
        while True:
            try:
                await self.look()
            except MooringError as error:
                log.error("alarms cannot be evaluated: %s", error)
            except Exception:
                log.exception("alarms cannot be evaluated")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Evaluate what is due."""
        now = self._clock.wall()
        alarms = self._book.all()
        due = [alarm for alarm in alarms if alarm.kind == METRIC and self._is_due(alarm, now)]
        if due:
            found = await self._metering.read(lambda data: [measured(data, alarm, now - SETTLED_S) for alarm in due])
            for alarm, seen in zip(due, found, strict=True):
                await self._judge(alarm, seen, now)
        for alarm in in_order(self._book.all()):
            await self._combine(alarm)
        self._next = {alarm.arn: self._next[alarm.arn] for alarm in alarms if alarm.arn in self._next}

    def _is_due(self, alarm: Alarm, now: float) -> bool:
        configured_at, due_at = self._next.get(alarm.arn, (0.0, 0.0))
        if configured_at != alarm.configured_at:
            due_at = now
        if alarm.by_hand:
            due_at = max(due_at, alarm.updated_at + alarm.step)
        elif due_at > now + alarm.step + SETTLED_S:  # the clock was set back
            due_at = now
        if due_at > now:
            self._next[alarm.arn] = (alarm.configured_at, due_at)
            return False
        settled = now - SETTLED_S
        self._next[alarm.arn] = (alarm.configured_at, settled - settled % alarm.step + alarm.step + SETTLED_S)
        return True

    async def _judge(self, alarm: Alarm, seen: Measured, now: float) -> None:
        if seen.indistinct:
            return
        result = evaluated(alarm.condition, [value for _, value in seen.window], alarm.state)
        if result.state is not alarm.state:
            reason, data = explained(alarm, result, seen.window, now)
            await self._move(alarm, result.state, reason, data)
        elif alarm.by_hand:
            await self._book.move(alarm, alarm.state, alarm.reason, alarm.reason_data)

    async def _combine(self, alarm: Alarm) -> None:
        scope = Scope(alarm.account, alarm.region)
        if alarm.by_hand and not self._has_new_children(scope, alarm):
            return
        tree = rule(alarm.definition["AlarmRule"])
        state = State.ALARM if holds(tree, functools.partial(self._book.state_of, scope)) else State.OK
        if state is not alarm.state:
            reason = f"{alarm.arn} transitioned to {state}: its rule {alarm.definition['AlarmRule']} is "
            await self._move(alarm, state, (reason + ("true." if state is State.ALARM else "false."))[:1023], "")

    def _has_new_children(self, scope: Scope, alarm: Alarm) -> bool:
        children = (self._book.get(scope, name) for name in children_of(alarm))
        return any(child is not None and child.transitioned_at > alarm.updated_at for child in children)

    async def _move(self, alarm: Alarm, state: State, reason: str, data: str) -> None:
        if await self._book.move(alarm, state, reason, data) is not None:
            log.info("alarm %a of %s went from %s to %s: %a", alarm.name, alarm.region, alarm.state, state, reason)


def in_order(alarms: list[Alarm]) -> Iterator[Alarm]:
    """The composite alarms, each behind those that it names; without those that lead back to themselves."""
    composites: dict[Key, Alarm] = {
        (alarm.account, alarm.region, alarm.name): alarm for alarm in alarms if alarm.kind == COMPOSITE
    }
    sorter: TopologicalSorter[Key] = TopologicalSorter()
    for key, alarm in composites.items():
        named = ((alarm.account, alarm.region, name) for name in children_of(alarm))
        sorter.add(key, *(child for child in named if child in composites))
    with contextlib.suppress(CycleError):  # what comes before a cycle is still given
        sorter.prepare()
    while ready := sorter.get_ready():
        yield from (composites[key] for key in ready)
        sorter.done(*ready)
