"""`mooring async list` and `show` for people.

A terminal may break these lines, but nothing in them is shortened: ids and locations are copied into the next command.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_COLOURS = {"Completed": "green", "Failed": "red", "Expired": "red"}
_COLUMNS = ("id", "inference id", "status", "accepted", "finished", "reason")
_MEMBERS = (
    ("inference id", "inference_id"),
    ("status", "status"),
    ("reason", "reason"),
    ("accepted", "accepted_at"),
    ("finished", "finished_at"),
    ("attempts", "attempts"),
    ("replica", "replica"),
    ("input", "input_location"),
    ("output", "output_location"),
    ("failure", "failure_location"),
    ("written", "written"),
    ("may wait", "ttl_s"),
    ("may take", "timeout_s"),
)


def show_list(document: dict[str, Any]) -> None:
    """Print a page of invocations."""
    console = _console()
    waiting, in_process = document.get("waiting", 0), document.get("in_process", 0)
    console.print(Text(f"{document.get('endpoint')}: {waiting} waiting, {in_process} in process"))
    invocations = document.get("invocations", [])
    if invocations:
        header = [Text(title, style="bold") for title in _COLUMNS]
        rows = [header, *([_line(value) for value in _row(each)] for each in invocations)]
        widths = [max(cell_len(row[place].plain) for row in rows) for place in range(len(header) - 1)]
        for row in rows:
            for cell, width in zip(row, widths, strict=False):
                cell.align("left", width)
            line = Text(" ").append_text(Text("  ").join(row))
            line.rstrip()
            console.print(line, soft_wrap=True)
    if document.get("next") is not None:
        console.print(Text(f"there are more: --after {document['next']}"))


def show_each(document: dict[str, Any]) -> None:
    """Print all there is about some invocations."""
    console = _console()
    for each in document.get("invocations", []):
        console.print(Text(str(each.get("id"))))
        for title, member in _MEMBERS:
            if (value := _value(member, each.get(member))) is not None:
                console.print(Text(f"   {title:<14}").append_text(_line(value)), soft_wrap=True)


def _row(invocation: dict[str, Any]) -> list[Any]:
    given = "" if invocation.get("inference_id") == invocation.get("id") else invocation.get("inference_id")
    times = [_time(invocation.get(member)) for member in ("accepted_at", "finished_at")]
    return [invocation.get("id"), given, invocation.get("status"), *times, invocation.get("reason") or ""]


def _value(member: str, value: Any) -> str | None:
    if member == "input_location":
        return "in the request" if value is None else str(value)
    if value is None:
        return None
    if member.endswith("_at"):
        return _time(value)
    return f"{value} s" if member.endswith("_s") else str(value)


def _time(value: Any) -> str:
    if not isinstance(value, int | float):
        return ""
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _line(value: Any) -> Text:
    text = "".join(each if each.isprintable() else " " for each in str(value))
    # Text, not str: what a caller or a model said must not be read as markup.
    return Text(text, style=_COLOURS.get(text, ""))


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False)
