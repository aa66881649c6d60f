"""Which calls ask their models while there are more than can be served: first those that are over soonest.

A call whose time is over before its end has taken its model's time for nothing. If a crowd of calls took turns, each
would take as long as all of them together, and all would be late. So of each model only a few calls ask at a time:
those with the least work left, and of equal ones the oldest. One that waits long for an answer holds nobody up.
"""

from __future__ import annotations

from typing import Protocol

AT_ONCE, BY_WIDTH = 4, 2
"""Calls of a model, or so many for each request that its replicas take at a time, where that is more: enough that there
is something to do while one call is solved, or has one request left."""
STALLED_S = 5.0
"""A call that has had no answer for so long does not count."""


class Call(Protocol):
    """One that is being explained."""

    is_held: bool
    """Whether it is to ask for nothing now."""
    width: int
    """How many requests the replicas of its model take at a time."""
    heard_at: float
    """When it had its last answer, or began to ask."""

    @property
    def work_left(self) -> int:
        """About how many rows it has to ask for."""
        ...


class Turns:
    """Of the calls of a process, which are known by their numbers; those are larger for later ones."""

    def __init__(self) -> None:
        self._of_model: dict[str, dict[int, Call]] = {}
        self._models: dict[int, str] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._models

    @property
    def is_crowded(self) -> bool:
        """Whether some calls are held."""
        return any(call.is_held for calls in self._of_model.values() for call in calls.values())

    def join(self, number: int, model: str, call: Call, now: float) -> list[int]:
        """A call begins to ask, or is held; the numbers of those that may go on from now."""
        self._models[number] = model
        call.is_held = True
        self._of_model.setdefault(model, {})[number] = call
        return self._settle(model, now)

    def leave(self, number: int, now: float) -> list[int]:
        """A call has ended, if it ever began; the numbers of those that may go on from now."""
        model = self._models.pop(number, None)
        if model is None:
            return []
        calls = self._of_model[model]
        del calls[number]
        if calls:
            return self._settle(model, now)
        del self._of_model[model]
        return []

    def settle(self, now: float) -> list[int]:
        """Some time has gone by; the numbers of those that may go on from now."""
        return [number for model in self._of_model for number in self._settle(model, now)]

    def _settle(self, model: str, now: float) -> list[int]:
        asking, freed = 0, []
        calls = self._of_model[model]
        for number, call in sorted(calls.items(), key=lambda each: (each[1].work_left, each[0])):
            was_held, call.is_held = call.is_held, asking >= max(AT_ONCE, BY_WIDTH * call.width)
            if was_held and not call.is_held:
                call.heard_at = now
                freed.append(number)
            asking += now - call.heard_at < STALLED_S
        return freed
