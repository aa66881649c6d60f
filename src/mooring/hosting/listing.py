"""What a List call asks for, and where its next page begins.

A page is cut by the last item's sort key and name, never by an offset, so items that are made or deleted between two
pages neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mooring.errors import Refused

SortKey = Literal["CreationTime", "Name", "Status"]


class Cursor(NamedTuple):
    """The place just behind one item."""

    key: float | str
    name: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters, order and size of one page; the defaults are AWS's."""

    sort_by: SortKey = "CreationTime"
    descending: bool = True
    limit: int = 10
    after: Cursor | None = None
    name_contains: str | None = None
    created_before: float | None = None
    created_after: float | None = None
    modified_before: float | None = None
    modified_after: float | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list shows of one resource; only endpoints change, and have a status."""

    arn: str
    name: str
    created_at: float
    modified_at: float | None = None
    status: str | None = None


def next_token(selection: Selection, cursor: Cursor) -> str:
    """The opaque NextToken for the page behind `cursor`."""
    document = [selection.sort_by, selection.descending, cursor.key, cursor.name]
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


def cursor_of(token: str, sort_by: SortKey, descending: bool) -> Cursor:
    """The inverse of `next_token`. Raises `Refused` for a token that is not ours, or of another order."""
    try:
        found = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        order, direction, key, name = found
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise Refused("Invalid NextToken.") from None
    kinds: dict[SortKey, Callable[[object], bool]] = {"CreationTime": _is_time, "Name": _is_text, "Status": _is_text}
    if order != sort_by or direction is not descending or not kinds[sort_by](key) or not _is_text(name):
        raise Refused("Invalid NextToken.")
    return Cursor(key, name)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
