"""When a scheduled action is due: `at(…)`, `rate(…)` and `cron(…)` in AWS's syntax.

`at` and `cron` are read in the action's time zone, `rate` counts seconds. Where clocks are put forward, a time of a
cron expression that does not exist that day is left out; where they are put back, one that exists twice is due at its
first. So it is with EventBridge Scheduler, whose expressions these are. An `at` that does not exist is due as much
later as the clocks are put forward.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mooring.errors import Refused
from mooring.scaling.cron import Cron, cron

_FORM = re.compile(r"(at|rate|cron)\((.*)\)", re.DOTALL)
_RATE = re.compile(r"([0-9]{1,9})\s?(minute|hour|day)s?")
_AT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", re.ASCII)
_NO_ZONES = ("localtime", "posix", "posixrules", "right", "Factory")
"""What else is in a time zone database."""
_SYNTAX = (
    "Invalid schedule expression. Schedule expressions must have the following syntax: rate(<number>\\s?"
    "(minutes?|hours?|days?)), cron(<cron_expression>) or at(yyyy-MM-dd'T'HH:mm:ss)"
)
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class At:
    """Once."""

    local: datetime


@dataclass(frozen=True, slots=True)
class Rate:
    """Again and again."""

    seconds: int


Schedule = At | Rate | Cron


@lru_cache(maxsize=1024)
def schedule(text: str) -> Schedule:
    """The meaning of an expression. Raises `Refused`."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise Refused(_SYNTAX)
    kind, inside = found[1], found[2].strip()
    if kind == "cron":
        return cron(inside)
    return _rate(inside) if kind == "rate" else _at(inside)


def _at(text: str) -> At:
    try:
        if _AT.fullmatch(text) is None:
            raise ValueError
        return At(datetime.fromisoformat(text))
    except ValueError:
        raise Refused(f"Invalid schedule at DateTime expression: at({text}) is not at(yyyy-mm-ddThh:mm:ss)") from None


def _rate(text: str) -> Rate:
    found = _RATE.fullmatch(text)
    if found is None:
        raise Refused(_SYNTAX)
    if int(found[1]) == 0:
        raise Refused("Invalid schedule frequency: runs are less than 60 seconds apart")
    return Rate(int(found[1]) * _SECONDS[found[2]])


def zone(name: str) -> tzinfo:
    """The time zone of a name of IANA's, by the machine's time zone database. Raises `Refused`."""
    if name == "UTC":
        return UTC
    try:
        if name.partition("/")[0] in _NO_ZONES:
            raise ValueError
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(f"Timezone {name!r} is not the name of a time zone.") from None


def next_due(
    text: str,
    timezone: str,
    after: float,
    *,
    created_at: float,
    starts_at: float | None = None,
    ends_at: float | None = None,
) -> float | None:
    """When an action is due next, later than `after`; None for never again.

    One that repeats is due at its StartTime first, as on AWS, and a rate counts from there. None is due past EndTime.
    """
    found = _due(schedule(text), zone(timezone), after, created_at, starts_at)
    return found if found is None or ends_at is None or found <= ends_at else None


def _due(
    expression: Schedule, in_zone: tzinfo, after: float, created_at: float, starts_at: float | None
) -> float | None:
    if isinstance(expression, At):
        at = expression.local.replace(tzinfo=in_zone).timestamp()
        return at if at > after and (starts_at is None or at >= starts_at) else None
    if starts_at is not None and after < starts_at:
        return starts_at
    if isinstance(expression, Rate):
        first = created_at if starts_at is None else starts_at
        return first + expression.seconds * max(1, int((after - first) // expression.seconds) + 1)
    return next(_times(expression, in_zone, after), None)


def _times(expression: Cron, in_zone: tzinfo, after: float) -> Iterator[float]:
    """The times of a cron expression that exist, in order."""
    try:
        first = datetime.fromtimestamp(after, in_zone).date() - timedelta(days=1)
    except (OverflowError, ValueError, OSError):
        return
    for local in expression.times_from(first):
        at = local.replace(tzinfo=in_zone).timestamp()
        if at > after and datetime.fromtimestamp(at, in_zone).replace(tzinfo=None) == local:
            yield at
