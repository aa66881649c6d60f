"""When scheduled actions are due: AWS's own examples, days when clocks change, and a reference minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.scaling.cron import DAYS, MONTHS
from mooring.scaling.schedules import next_due, schedule, zone

DAY_S = 86_400


def due(text: str, after: str, timezone: str = "UTC", times: int = 1, **given: float) -> list[str]:
    """The next local times of an expression, after a local time."""
    in_zone = zone(timezone)
    at: float | None = datetime.fromisoformat(after).replace(tzinfo=in_zone).timestamp()
    assert at is not None
    found, created = [], at
    for _ in range(times):
        at = next_due(text, timezone, at, created_at=created, **given)
        if at is None:
            break
        found.append(datetime.fromtimestamp(at, in_zone).strftime("%Y-%m-%d %a %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cron(0 10 * * ? *)", ["2026-03-05 Thu 10:00", "2026-03-06 Fri 10:00"]),
        ("cron(15 12 * * ? *)", ["2026-03-05 Thu 12:15", "2026-03-06 Fri 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-03-05 Thu 18:00", "2026-03-06 Fri 18:00", "2026-03-09 Mon 18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-04-01 Wed 08:00", "2026-05-01 Fri 08:00"]),
        ("cron(0/15 * * * ? *)", ["2026-03-05 Thu 09:30", "2026-03-05 Thu 09:45", "2026-03-05 Thu 10:00"]),
        ("cron(0/10 * ? * mon-fri *)", ["2026-03-05 Thu 09:30", "2026-03-05 Thu 09:40"]),
        ("cron(0/5 8-17 ? * MON-FRI *)", ["2026-03-05 Thu 09:25", "2026-03-05 Thu 09:30"]),
        ("cron(0 9 ? * 2#1 *)", ["2026-04-06 Mon 09:00", "2026-05-04 Mon 09:00"]),
        ("cron(0 9 ? * TUE#5 *)", ["2026-03-31 Tue 09:00", "2026-06-30 Tue 09:00"]),
        ("cron(0 9 L * ? *)", ["2026-03-31 Tue 09:00", "2026-04-30 Thu 09:00"]),
        ("cron(0 9 LW * ? *)", ["2026-03-31 Tue 09:00", "2026-04-30 Thu 09:00", "2026-05-29 Fri 09:00"]),
        ("cron(0 9 ? * L *)", ["2026-03-07 Sat 09:00", "2026-03-14 Sat 09:00"]),
        ("cron(0 9 ? * 6L *)", ["2026-03-27 Fri 09:00", "2026-04-24 Fri 09:00"]),
        ("cron(0 9 15W * ? *)", ["2026-03-16 Mon 09:00", "2026-04-15 Wed 09:00"]),
        ("cron(0 9 1W 8 ? *)", ["2026-08-03 Mon 09:00"]),
        ("cron(0 9 31W 1,5 ? 2027-2028)", ["2027-01-29 Fri 09:00", "2027-05-31 Mon 09:00", "2028-01-31 Mon 09:00"]),
        ("cron(0 0 29 FEB ? *)", ["2028-02-29 Tue 00:00", "2032-02-29 Sun 00:00"]),
        ("cron(0 0 30 2 ? *)", []),
        ("cron(0 22-2/2 ? * FRI-MON *)", ["2026-03-06 Fri 00:00", "2026-03-06 Fri 02:00", "2026-03-06 Fri 22:00"]),
        ("cron(0 0 1 1 ? 2025)", []),
        ("rate(5 minutes)", ["2026-03-05 Thu 09:27", "2026-03-05 Thu 09:32"]),
        ("rate(1 day)", ["2026-03-06 Fri 09:22"]),
        ("rate(1 minutes)", ["2026-03-05 Thu 09:23"]),
        ("rate(2hour)", ["2026-03-05 Thu 11:22"]),
        ("cron(0 10 * * ?)", ["2026-03-05 Thu 10:00", "2026-03-06 Fri 10:00"]),
        ("at(2026-03-05T09:24)", ["2026-03-05 Thu 09:24"]),
        ("at(2026-03-05T09:23:00)", ["2026-03-05 Thu 09:23"]),
        ("at(2026-03-05T09:22:00)", []),
    ],
)
def test_expressions_are_due_as_aws_says(text: str, expected: list[str]) -> None:
    assert due(text, "2026-03-05T09:22:00", times=max(1, len(expected))) == expected


BERLIN, YORK = "Europe/Berlin", "America/New_York"


@pytest.mark.parametrize(
    ("text", "after", "timezone", "expected"),
    [
        ("cron(30 2 * * ? *)", "2026-03-28T12:00", BERLIN, ["2026-03-30 Mon 02:30"]),  # not on the 29th
        ("cron(0 3 * * ? *)", "2026-03-28T12:00", BERLIN, ["2026-03-29 Sun 03:00"]),
        ("cron(0/30 * * * ? *)", "2026-03-29T01:00", BERLIN, ["2026-03-29 Sun 01:30", "2026-03-29 Sun 03:00"]),
        ("cron(30 2 * * ? *)", "2026-10-24T12:00", BERLIN, ["2026-10-25 Sun 02:30", "2026-10-26 Mon 02:30"]),
        ("cron(30 1 * * ? *)", "2026-10-31T12:00", YORK, ["2026-11-01 Sun 01:30", "2026-11-02 Mon 01:30"]),
        ("at(2026-03-29T02:30:00)", "2026-03-28T12:00", BERLIN, ["2026-03-29 Sun 03:30"]),
    ],
)
def test_days_when_clocks_change(text: str, after: str, timezone: str, expected: list[str]) -> None:
    assert due(text, after, timezone, times=len(expected)) == expected


def test_what_repeats_begins_at_its_start_and_ends_at_its_end() -> None:
    start, hour = 1_000_000.0, 3600.0
    args = {"created_at": start - 5000, "starts_at": start, "ends_at": start + 2 * hour}
    assert next_due("rate(1 hour)", "UTC", start - 100, **args) == start
    assert next_due("rate(1 hour)", "UTC", start, **args) == start + hour
    assert next_due("rate(1 hour)", "UTC", start + hour, **args) == start + 2 * hour
    assert next_due("rate(1 hour)", "UTC", start + 2 * hour, **args) is None
    assert next_due("cron(0 * * * ? *)", "UTC", start - 100, **args) == start


@given(
    minutes=st.integers(1, 10_000),
    after=st.floats(0, 4e9),
    created=st.floats(0, 4e9),
    starts=st.none() | st.floats(0, 4e9),
)
def test_a_rate_is_due_at_multiples_of_itself(minutes: int, after: float, created: float, starts: float | None) -> None:
    text = f"rate({minutes} minute{'s' if minutes > 1 else ''})"
    at = next_due(text, "UTC", after, created_at=created, starts_at=starts)
    first = created if starts is None else starts
    assert at is not None
    assert at > after
    assert at - first == pytest.approx(60 * minutes * round((at - first) / 60 / minutes), abs=1e-3)
    assert at <= max(after, first) + 60 * minutes + 1e-3


@pytest.mark.parametrize(
    "text",
    [
        "", "cron()", "cron(* * ? *)", "cron(* * * * ? * *)", "cron(* * * * *)", "cron(* * * * * *)",
        "cron(0 0 ? * ? *)", "cron(60 * * * ? *)",
        "cron(0 24 * * ? *)", "cron(0 0 0 * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 ? * 0 *)", "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * MON#6 *)", "cron(0 0 1 13 ? *)", "cron(0 0 1 * ? 1969)", "cron(0/0 * * * ? *)",
        "cron(1, * * * ? *)", "cron(-1 * * * ? *)", "cron(0 0 0W * ? *)", "cron(٣ 0 1 * ? *)", "cron(? 0 1 * ? *)",
        "rate(0 minutes)", "rate(5 weeks)", "rate(-5 minutes)",
        "at(2026-03-29)", "at(2026-13-29T00:00:00)", "at(2026-03-29T00:00:00Z)", "on(Sunday)", "0 0 * * ? *",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        schedule(text)


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Land", "../../etc/passwd", "/etc/localtime", "Europe", "A\0B", "é", "localtime", "posix/UTC"]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        zone(name)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for given_text in (text, f"cron({text})", f"rate({text})", f"at({text})"):
        try:
            schedule(given_text)
        except Refused:
            continue


@pytest.mark.parametrize("timezone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_ends_of_the_calendar_are_times_too(timezone: str) -> None:
    assert next_due("at(9999-12-31T23:59:59)", timezone, 0.0, created_at=0.0) is not None
    assert next_due("at(0001-01-01T00:00:00)", timezone, 0.0, created_at=0.0) is None
    assert next_due("cron(59 23 31 12 ? 2199)", timezone, 0.0, created_at=0.0) is not None
    for after in (-1e18, -1.0, 1e12, 1e18):
        assert next_due("cron(* * * * ? 1970)", timezone, after, created_at=0.0) is None or after < 0


# The reference looks at every minute, and reads fields in its own way.


def in_field(text: str, value: int, least: int, most: int, names: tuple[str, ...] = ()) -> bool:
    for number, name in enumerate(names):
        text = text.replace(name, str(number + least))
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, dash, high = span.partition("-")
        first = least if span == "*" else int(low)
        last = most if span == "*" or (step and not dash) else int(high or low)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def in_days(fields: list[str], local: datetime) -> bool:
    _, _, day, _, weekday, _ = fields
    last_day = (local.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    number = (local.weekday() + 1) % 7 + 1
    if day == "L":
        return local.day == last_day.day
    if day.endswith("W"):
        nearest = [
            each
            for each in range(1, last_day.day + 1)
            if local.replace(day=each).weekday() < 5 and int(day[:-1]) <= last_day.day
        ]
        return bool(nearest) and local.day == min(nearest, key=lambda each: (abs(each - int(day[:-1])), each))
    if day != "?":
        return in_field(day, local.day, 1, 31)
    if weekday.endswith("L"):
        return number == int(weekday[:-1] or 7) and (weekday == "L" or local.day + 7 > last_day.day)
    if "#" in weekday:
        kind, nth = weekday.split("#")
        return number == int(kind) and (local.day - 1) // 7 + 1 == int(nth)
    return in_field(weekday, number, 1, 7, DAYS)


def reference(fields: list[str], timezone: str, after: int, days: int) -> float | None:
    in_zone = ZoneInfo(timezone)
    for at in range(after - after % 60 + 60, after + days * DAY_S, 60):
        local = datetime.fromtimestamp(at, in_zone)
        if local.fold or not in_field(fields[0], local.minute, 0, 59) or not in_field(fields[1], local.hour, 0, 23):
            continue
        if in_field(fields[3], local.month, 1, 12, MONTHS) and in_days(fields, local):
            return float(at)
    return None


def fields_of(least: int, most: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    value = st.integers(least, most)
    named = value.map(lambda each: names[each - least] if names else str(each))
    span = st.tuples(value, value).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.one_of(st.just("*"), value.map(str), span), st.integers(1, most)).map(
        lambda p: f"{p[0]}/{p[1]}"
    )
    return st.one_of(st.just("*"), st.lists(st.one_of(named, span, step), min_size=1, max_size=3).map(",".join))


days = st.one_of(
    st.one_of(fields_of(1, 31), st.just("L"), st.integers(1, 31).map(lambda day: f"{day}W")).map(
        lambda day: (day, "?")
    ),
    st.one_of(
        fields_of(1, 7, DAYS),
        st.just("L"),
        st.integers(1, 7).map(lambda day: f"{day}L"),
        st.tuples(st.integers(1, 7), st.integers(1, 5)).map(lambda pair: f"{pair[0]}#{pair[1]}"),
    ).map(lambda day: ("?", day)),
)


@settings(max_examples=60, deadline=None)
@given(
    minute=fields_of(0, 59),
    hour=fields_of(0, 23),
    day=days,
    month=fields_of(1, 12, MONTHS),
    timezone=st.sampled_from([BERLIN, YORK, "UTC", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    after=st.one_of(
        st.integers(
            int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 4, 10, tzinfo=UTC).timestamp())
        ),
        st.integers(
            int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 11, 5, tzinfo=UTC).timestamp())
        ),
    ),
)
def test_cron_is_as_the_slow_reference(
    minute: str, hour: str, day: tuple[str, str], month: str, timezone: str, after: int
) -> None:
    fields = [minute, hour, day[0], month, day[1], "*"]
    horizon = 4
    expected = reference(fields, timezone, after, horizon)
    found = next_due(f"cron({' '.join(fields)})", timezone, after, created_at=0.0)
    if expected is None:
        assert found is None or found >= after + horizon * DAY_S - 60
    else:
        assert found == expected
