"""The members that all List operations share, and the page that answers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from mooring.api.calls import Call
from mooring.hosting.listing import Cursor, Selection, cursor_of, next_token

T = TypeVar("T")


def selection_of(call: Call) -> Selection:
    """The page that the call asks for. Raises `Refused` for a NextToken that is not ours."""
    given = call.input
    sort_by = given.get("SortBy", "CreationTime")
    descending = given.get("SortOrder", "Descending") == "Descending"
    token = given.get("NextToken")
    return Selection(
        sort_by=sort_by,
        descending=descending,
        limit=given.get("MaxResults", 10),
        after=None if token is None else cursor_of(token, sort_by, descending),
        name_contains=given.get("NameContains"),
        created_before=_seconds(given.get("CreationTimeBefore")),
        created_after=_seconds(given.get("CreationTimeAfter")),
        modified_before=_seconds(given.get("LastModifiedTimeBefore")),
        modified_after=_seconds(given.get("LastModifiedTimeAfter")),
        status=given.get("StatusEquals"),
    )


def page_answer(
    member: str, page: tuple[Iterable[T], Cursor | None], selection: Selection, summary: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """The summaries under `member`, and NextToken only when more remain."""
    rows, cursor = page
    answer: dict[str, Any] = {member: [summary(row) for row in rows]}
    if cursor is not None:
        answer["NextToken"] = next_token(selection, cursor)
    return answer


def _seconds(when: Any) -> float | None:
    if isinstance(when, datetime):
        return when.timestamp()
    return None if when is None else float(when)
