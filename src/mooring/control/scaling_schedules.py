"""Scheduled actions run: the bounds of their targets change when they are due, and capacity follows.

When each is due next is stored. One that was missed while no control was there is run once, when there is one again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace

from mooring.clock import Clock
from mooring.control import scaling_moves
from mooring.hosting.events import EventKind, event
from mooring.scaling import deciding, schedules, wording
from mooring.scaling.documents import ScheduledAction
from mooring.store import Connection, Store, events, scaling

SET_BACK_S = 5.0
"""What a wall clock goes back by when it is set, and not only adjusted."""


class ScalingSchedules:
    """Looks at what is due; control asks it each moment."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ahead: float | None = None
        """By how much the wall clock was ahead of the other one at the last look."""

    async def look(self, actions: Iterable[ScheduledAction]) -> bool:
        """Run what is due, in the order in which it was. Returns whether anything was changed."""
        now = self._clock.wall()
        actions = list(actions)
        if self._was_set_back(now):
            changed = [each for each in actions if _next(each, now) != each.due_at]
            for action in changed:
                await self._store.write(functools.partial(_put_off, action=action, now=now))
            return bool(changed)
        due = [(each.due_at, each) for each in actions if each.due_at is not None and each.due_at <= now]
        for _, action in sorted(due, key=lambda pair: pair[0]):
            await self._store.write(functools.partial(run, action=action, now=round(now, 3)))
        return bool(due)

    def _was_set_back(self, now: float) -> bool:
        """Also at the first look: who knows what the clock did before."""
        ahead = now - self._clock.monotonic()
        before, self._ahead = self._ahead, ahead
        return before is None or ahead < before - SET_BACK_S


def run(conn: Connection, action: ScheduledAction, now: float) -> None:
    """What is due is done, unless it is another by now."""
    held, registered = scaling.actions.get(conn, action.target, action.name), scaling.targets.get(conn, action.target)
    if held != action or registered is None:
        return
    scaling.actions.save(conn, replace(action, due_at=_following(action, now)))
    changed = deciding.scheduled(registered, action)
    suspended = registered.suspended.get("ScheduledScalingSuspended", False)
    if changed != registered:
        scaling.targets.save(conn, changed)
    if not suspended:
        scaling_moves.move_inside(conn, changed, now, functools.partial(wording.by_schedule, action.name))
    record = scaling_moves.endpoint_of(conn, action.target)
    if record is not None:
        what = "is suspended" if suspended else f"sets the capacity to {changed.least} at least, {changed.most} at most"
        text = f"Scheduled action {action.name} of variant {action.target.variant} {what}."
        events.add(conn, record.uid, [event(now, EventKind.SCALING, text)])


def _put_off(conn: Connection, action: ScheduledAction, now: float) -> None:
    if scaling.actions.get(conn, action.target, action.name) == action:
        scaling.actions.save(conn, replace(action, due_at=_next(action, now)))


def _next(action: ScheduledAction, now: float) -> float | None:
    """When an action is due, by a clock that may have been set back: never later than its schedule says by now."""
    if action.due_at is None or action.due_at <= now:
        return action.due_at
    following = _following(action, now)
    return action.due_at if following is None else min(action.due_at, following)


def _following(action: ScheduledAction, now: float) -> float | None:
    return schedules.next_due(
        action.schedule,
        action.timezone,
        now,
        created_at=action.created_at,
        starts_at=action.starts_at,
        ends_at=action.ends_at,
    )
