"""An endpoint's history: in order, without gaps, bounded, and gone with the endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine

from mooring.hosting.endpoints import EndpointStatus
from mooring.hosting.events import LONGEST_TEXT, EventKind, event
from mooring.store import endpoints, events
from mooring.store.schema import metadata
from tests.store.making import an_endpoint


@pytest.fixture
def conn() -> Any:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


def texts(conn: Connection, uid: str, position: int = 0) -> list[str]:
    return [each.text for _, each in events.after(conn, uid, position)]


def test_every_change_of_status_is_in_it(conn: Connection) -> None:
    record = an_endpoint()
    endpoints.insert(conn, record)
    endpoints.save(conn, replace(record, status=EndpointStatus.IN_SERVICE, modified_at=11.0))
    endpoints.save(conn, replace(record, status=EndpointStatus.IN_SERVICE, modified_at=12.0))
    endpoints.save(conn, replace(record, status=EndpointStatus.FAILED, failure_reason="no\nmodel", modified_at=13.0))
    found = events.after(conn, record.uid)
    assert [(each.at, each.text) for _, each in found] == [
        (10.25, "Creating"),
        (11.0, "InService"),
        (13.0, "Failed: no model"),
    ]


def test_a_reader_goes_on_behind_what_it_has_seen(conn: Connection) -> None:
    events.add(conn, "a", [event(1.0, EventKind.STEP, "one"), event(2.0, EventKind.STEP, "two")])
    events.add(conn, "b", [event(1.5, EventKind.STEP, "another's")])
    (first, _), _ = events.after(conn, "a")
    assert texts(conn, "a", first) == ["two"]


def test_only_the_newest_are_kept_and_no_position_returns(conn: Connection) -> None:
    for number in range(events.MOST_KEPT + 5):
        events.add(conn, "a", [event(1.0, EventKind.STEP, str(number))])
    found = events.after(conn, "a")
    assert [each.text for _, each in found] == [str(number) for number in range(5, events.MOST_KEPT + 5)]
    events.delete_all(conn, "a")
    events.add(conn, "a", [event(1.0, EventKind.STEP, "new")])
    assert events.after(conn, "a")[0][0] > found[-1][0]


def test_it_goes_with_the_endpoint(conn: Connection) -> None:
    record = an_endpoint()
    endpoints.insert(conn, record)
    endpoints.delete(conn, record.uid)
    assert texts(conn, record.uid) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [("a\x1b[2Jb\r\nc", lambda text: text == "a [2Jb  c"), ("x" * 9000, lambda text: len(text) == LONGEST_TEXT)],
)
def test_a_text_is_one_printable_line(text: str, kept: Callable[[str], bool]) -> None:
    assert kept(event(1.0, EventKind.REPLICA, text).text)
