"""All alarms: in memory to be read and evaluated, in the store to last.

Every change is made under one lock, on disk first. An alarm is replaced, never altered, so that whoever looked at one
can tell whether it is still the same.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from mooring.clock import Clock
from mooring.hosting.naming import Scope
from mooring.metrics.alarms import Alarm, Entry, moved
from mooring.metrics.composites import named, rule
from mooring.metrics.evaluating import State
from mooring.store import Connection, Store, alarms, tags

T = TypeVar("T")

Key = tuple[str, str, str]
"""Account, region, name."""


class AlarmBook:
    """Open with `AlarmBook.open`."""

    def __init__(self, store: Store, clock: Clock, held: Iterable[Alarm]) -> None:
        self._store = store
        self._clock = clock
        self._alarms: dict[Key, Alarm] = {_key(alarm): alarm for alarm in held}
        self._lock = asyncio.Lock()
        self.changed = asyncio.Event()
        """Set at every change."""

    @staticmethod
    async def open(store: Store, clock: Clock) -> AlarmBook:
        """With what the store has."""
        return AlarmBook(store, clock, await store.read(alarms.all))

    def all(self) -> list[Alarm]:
        """Every alarm of every account and region."""
        return list(self._alarms.values())

    def of(self, scope: Scope) -> list[Alarm]:
        """Those of one account and region, by name."""
        mine = (alarm for key, alarm in self._alarms.items() if key[:2] == (scope.account, scope.region))
        return sorted(mine, key=lambda alarm: alarm.name)

    def get(self, scope: Scope, name: str) -> Alarm | None:
        """The one of a name."""
        return self._alarms.get((scope.account, scope.region, name))

    def state_of(self, scope: Scope, name: str) -> State | None:
        """The state of the one of a name."""
        found = self.get(scope, name)
        return None if found is None else found.state

    async def put(self, new: Alarm, added_tags: dict[str, str]) -> None:
        """Make an alarm, or define one anew, which keeps its state. Tags are given to a new one only, as on AWS."""
        async with self._lock:
            held = self._alarms.get(_key(new))
            if held is not None:
                kept = {
                    name: getattr(held, name) for name in ("state", "reason", "reason_data", "updated_at", "by_hand")
                }
                new = replace(new, **kept, transitioned_at=held.transitioned_at, owed=held.owed)
            word = "created" if held is None else "updated"
            data = {"version": "1.0", "type": "Create" if held is None else "Update", "updatedAlarm": new.definition}
            entry = Entry(self._clock.wall(), "ConfigurationUpdate", f'Alarm "{new.name}" {word}', data)

            def change(conn: Connection) -> None:
                alarms.save(conn, new)
                alarms.note(conn, new, entry)
                if held is None and added_tags:
                    tags.put(conn, new.arn, added_tags)

            await self._store.write(change)
            self._hold(new)

    async def delete(self, scope: Scope, names: Iterable[str]) -> None:
        """Delete what there is of these."""
        async with self._lock:
            gone = [alarm for name in names if (alarm := self.get(scope, name)) is not None]
            entries = [
                Entry(self._clock.wall(), "ConfigurationUpdate", f'Alarm "{alarm.name}" deleted',
                      {"version": "1.0", "type": "Delete"})
                for alarm in gone
            ]  # fmt: skip

            def change(conn: Connection) -> None:
                for alarm, entry in zip(gone, entries, strict=True):
                    alarms.remove(conn, alarm.arn)
                    alarms.note(conn, alarm, entry)
                    tags.delete_all(conn, alarm.arn)

            await self._store.write(change)
            for alarm in gone:
                del self._alarms[_key(alarm)]
            self.changed.set()

    async def move(
        self, alarm: Alarm, state: State, reason: str, reason_data: str, *, by_hand: bool = False
    ) -> Alarm | None:
        """Set the state of an alarm; None when `alarm` is not what it is any more, and nothing was done."""
        async with self._lock:
            if self._alarms.get(_key(alarm)) is not alarm:
                return None
            now = self._clock.wall()
            if state is alarm.state:
                new, entry = (
                    replace(alarm, reason=reason, reason_data=reason_data, updated_at=now, by_hand=by_hand),
                    None,
                )
            else:
                new, entry = moved(alarm, state, reason, reason_data, now, str(uuid.uuid4()))
                new = replace(new, by_hand=by_hand)
            await self._save(new, entry)
            return new

    async def enable_actions(self, scope: Scope, names: Iterable[str], *, enabled: bool) -> None:
        """Let changes of state act or not."""
        async with self._lock:
            for alarm in [alarm for name in names if (alarm := self.get(scope, name)) is not None]:
                definition = {**alarm.definition, "ActionsEnabled": enabled}
                word = "enabled" if enabled else "disabled"
                data = {"version": "1.0", "type": "Update", "updatedAlarm": definition}
                entry = Entry(
                    self._clock.wall(), "ConfigurationUpdate", f'Actions of alarm "{alarm.name}" {word}', data
                )
                await self._save(replace(alarm, definition=definition), entry)

    async def done(self, alarm: Alarm, owed_id: str, summary: str, data: dict[str, object]) -> None:
        """An action of an alarm was taken, or cannot be."""
        async with self._lock:
            entry = Entry(self._clock.wall(), "Action", summary, data)
            held = self._alarms.get(_key(alarm))
            if held is None:
                await self._store.write(lambda conn: alarms.note(conn, alarm, entry))
                return
            await self._save(replace(held, owed=tuple(each for each in held.owed if each.id != owed_id)), entry)

    def parents_of(self, scope: Scope, name: str) -> list[Alarm]:
        """The composite alarms whose rules name this one."""
        return [alarm for alarm in self.of(scope) if name in children_of(alarm)]

    async def with_store(self, query: Callable[[Connection], T]) -> T:
        """Something about alarms that only the store has, such as their history."""
        return await self._store.read(query)

    async def change_store(self, change: Callable[[Connection], None]) -> None:
        """Change what only the store has, such as tags."""
        await self._store.write(change)

    async def _save(self, alarm: Alarm, entry: Entry | None) -> None:
        def change(conn: Connection) -> None:
            alarms.save(conn, alarm)
            if entry is not None:
                alarms.note(conn, alarm, entry)

        await self._store.write(change)
        self._hold(alarm)

    def _hold(self, alarm: Alarm) -> None:
        self._alarms[_key(alarm)] = alarm
        self.changed.set()


def children_of(alarm: Alarm) -> set[str]:
    """The alarms that a composite one names; of others there are none."""
    text = alarm.definition.get("AlarmRule")
    return set() if text is None else named(rule(text))


def _key(alarm: Alarm) -> Key:
    return alarm.account, alarm.region, alarm.name
