"""What happened to an endpoint, told to people: the steps of a deployment, and whatever they should know of it.

AWS has no such thing for endpoints: it shows a status and, at the end, one reason. An event says what is going on
meanwhile (model data, environment, load, ping), and what an endpoint in service does not show by itself (a field
without effect, a framework of another version than the image's tag, a replica that was replaced).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

LONGEST_TEXT = 2000


class EventKind(StrEnum):
    """What an event is about."""

    STATUS = "status"
    """The endpoint has another status."""
    DEPLOYMENT = "deployment"
    """A move of an update, or back."""
    STEP = "step"
    """A step towards a healthy replica."""
    REPLICA = "replica"
    """A replica went, and why."""
    LIMITS = "limits"
    """How what a replica uses is limited."""
    VERSIONS = "versions"
    """What serves is not what the image's tag names."""
    CAPTURE = "capture"
    """Captured records cannot be taken or shipped; or can be again."""
    QUEUE = "queue"
    """Asynchronous jobs are not begun for now, or are again; or what they come to cannot be written."""
    EXPLAINER = "explainer"
    """A baseline was loaded, or cannot be; or why nothing can be explained as configured."""
    SCALING = "scaling"
    """Capacity was changed by Application Auto Scaling, or was not, and why."""
    NO_EFFECT = "no effect yet"
    """A field was accepted and stored, and does nothing yet."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an endpoint's history. `at` is the wall clock, seconds since the epoch."""

    at: float
    kind: EventKind
    text: str


Note = Callable[[EventKind, str], None]
"""How a part that does not know the endpoint tells of it; it returns at once."""


def event(at: float, kind: EventKind, text: str) -> Event:
    """An event whose text is one printable line, cut to its bound: names and exceptions in it may be hostile."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return Event(at, kind, line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…")
