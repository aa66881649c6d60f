"""`mooring async list` and `show` for people."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {"Completed": "green", "Failed": "red", "Expired": "red"}
_UNBROKEN = 100_000
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
        table = Table("id", "inference id", "status", "accepted", "finished", "reason", box=None)
        for each in invocations:
            # Text, not str: what a caller or a model said must not be read as markup.
            given = "" if each.get("inference_id") == each.get("id") else each.get("inference_id")
            times = [_time(each.get(member)) for member in ("accepted_at", "finished_at")]
            row = [each.get("id"), given, each.get("status"), *times, each.get("reason") or ""]
            table.add_row(*(_line(value) for value in row))
        console.print(table)
    if document.get("next") is not None:
        console.print(Text(f"there are more: --after {document['next']}"))


def show_each(document: dict[str, Any]) -> None:
    """Print all there is about some invocations."""
    console = _console()
    for each in document.get("invocations", []):
        console.print(Text(str(each.get("id"))))
        table = Table(box=None, show_header=False)
        for title, member in _MEMBERS:
            if (value := _value(member, each.get(member))) is not None:
                table.add_row(f"  {title}", _line(value))
        console.print(table)


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
    return Text(text, style=_COLOURS.get(text, ""))


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _UNBROKEN)
