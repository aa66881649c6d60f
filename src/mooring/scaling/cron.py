"""Cron expressions as AWS has them: minutes, hours, day of month, month, day of week, year.

`*`, `?`, values, ranges, steps and lists; names of months and days of the week; days of the week from 1, a Sunday; `L`,
`LW`, `15W` for days of the month, `L`, `6L`, `6#3` for days of the week. Exactly one of the two kinds of day is `?`.
The year may be left out, which AWS takes too.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from mooring.errors import Refused

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIRST_YEAR, LAST_YEAR = 1970, 2199
_LONGEST = 1024
_INVALID = "Invalid CRON expression"


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the six, as plain values go."""

    name: str
    least: int
    most: int
    names: Sequence[str] = ()

    def value(self, text: str) -> int:
        if text.upper() in self.names:
            return self.least + self.names.index(text.upper())
        if not text.isascii() or not text.isdigit() or len(text) > 4 or not self.least <= int(text) <= self.most:
            raise Refused(f"{_INVALID}: {text!r} cannot be in the field {self.name}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        found: set[int] = set()
        for part in text.split(","):
            found.update(self._part(part))
        return frozenset(found)

    def _part(self, part: str) -> Sequence[int]:
        span, slash, step = part.partition("/")
        every = 1
        if slash:
            if not step.isascii() or not step.isdigit() or not 1 <= len(step) <= 4 or int(step) == 0:
                raise Refused(f"{_INVALID}: {part!r} cannot be in the field {self.name}")
            every = int(step)
        if span == "*":
            return range(self.least, self.most + 1, every)
        low, dash, high = span.partition("-")
        first = self.value(low)
        last = self.value(high) if dash else (self.most if slash else first)
        if first > last:  # over the end, such as FRI-MON
            size = self.most - self.least + 1
            return [self.least + (at - self.least) % size for at in range(first, last + size + 1, every)]
        return range(first, last + 1, every)


MINUTE, HOUR = _Field("minutes", 0, 59), _Field("hours", 0, 23)
MONTH, YEAR = _Field("month", 1, 12, MONTHS), _Field("year", FIRST_YEAR, LAST_YEAR)
DAY_OF_MONTH, DAY_OF_WEEK = _Field("day of month", 1, 31), _Field("day of week", 1, 7, DAYS)

_NEAREST = re.compile(r"([0-9]{1,2})W", re.IGNORECASE)
_LAST_OF_KIND = re.compile(r"([0-9]|[a-z]{3})L", re.IGNORECASE)
_NTH_OF_KIND = re.compile(r"([0-9]|[a-z]{3})#([1-5])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cron:
    """`days_of_month` or `days_of_week` is None, for `?`."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]
    days_of_month: tuple[str, ...] | None
    days_of_week: tuple[str, ...] | None

    def times_from(self, first: date) -> Iterator[datetime]:
        """All local times from a day on, in order."""
        for day in self._days_from(first):
            for hour in self.hours:
                for minute in self.minutes:
                    yield datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - of no zone yet

    def _days_from(self, first: date) -> Iterator[date]:
        for year in self.years:
            if year < first.year:
                continue
            for month in self.months:
                if (year, month) < (first.year, first.month):
                    continue
                yield from (day for day in sorted(self._days_in(year, month)) if day >= first)

    def _days_in(self, year: int, month: int) -> set[date]:
        if self.days_of_month is not None:
            return {day for part in self.days_of_month for day in _days_of_month(part, year, month)}
        return {day for part in self.days_of_week or () for day in _days_of_week(part, year, month)}


def cron(text: str) -> Cron:
    """The expression between the brackets of `cron(…)`. Raises `Refused`."""
    fields = text.split()
    if len(fields) == 5:
        fields.append("*")
    if len(fields) != 6 or len(text) > _LONGEST:
        raise Refused(f"{_INVALID}: cron({text[:200]}) has {len(fields)} fields, not 6")
    minutes, hours, days, month, weekdays, year = fields
    if (days == "?") == (weekdays == "?"):
        raise Refused(f"{_INVALID}: exactly one of day of month and day of week must be ?")
    return Cron(
        tuple(sorted(MINUTE.values(minutes))),
        tuple(sorted(HOUR.values(hours))),
        tuple(sorted(MONTH.values(month))),
        tuple(sorted(YEAR.values(year))),
        None if days == "?" else _checked(days, _days_of_month),
        None if weekdays == "?" else _checked(weekdays, _days_of_week),
    )


def _checked(text: str, days_of: Callable[[str, int, int], list[date]]) -> tuple[str, ...]:
    parts = tuple(text.upper().split(","))
    for part in parts:
        days_of(part, FIRST_YEAR, 1)
    return parts


def _days_of_month(part: str, year: int, month: int) -> list[date]:
    last = calendar.monthrange(year, month)[1]
    if part == "L":
        return [date(year, month, last)]
    if part == "LW":
        return [_nearest_weekday(date(year, month, last))]
    if found := _NEAREST.fullmatch(part):
        wanted = DAY_OF_MONTH.value(found[1])
        return [_nearest_weekday(date(year, month, wanted))] if wanted <= last else []
    return [date(year, month, day) for day in DAY_OF_MONTH.values(part) if day <= last]


def _nearest_weekday(day: date) -> date:
    """The nearest from Monday to Friday, within the month."""
    if day.weekday() < 5:
        return day
    days = (-1, 2) if day.weekday() == 5 else (1, -2)
    return next(near for each in days if (near := day + timedelta(days=each)).month == day.month)


def _days_of_week(part: str, year: int, month: int) -> list[date]:
    last = calendar.monthrange(year, month)[1]
    if part == "L":
        part = "7"
    if found := _LAST_OF_KIND.fullmatch(part):
        return _of_kind(DAY_OF_WEEK.value(found[1]), year, month)[-1:]
    if found := _NTH_OF_KIND.fullmatch(part):
        nth = int(found[2])
        return _of_kind(DAY_OF_WEEK.value(found[1]), year, month)[nth - 1 : nth]
    wanted = DAY_OF_WEEK.values(part)
    return [day for number in range(1, last + 1) if _number(day := date(year, month, number)) in wanted]


def _of_kind(number: int, year: int, month: int) -> list[date]:
    last = calendar.monthrange(year, month)[1]
    return [day for each in range(1, last + 1) if _number(day := date(year, month, each)) == number]


def _number(day: date) -> int:
    """1 for a Sunday, 7 for a Saturday."""
    return day.isoweekday() % 7 + 1
