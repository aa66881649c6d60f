"""CSV as RFC 4180 has it, without loss: a cell keeps its text, and is quoted again only where it must be.

Most bodies hold no quote, and then a record is one line of the text, divided only when somebody wants its cells. Lines
end with CR, LF or both; empty ones are no records.
"""

from __future__ import annotations

import csv
import io
import re

from mooring.explainer.faults import Unexplainable

Row = str | list[str]
"""A record: its line where the body holds no quote, else its cells."""

# The module's limit of 128 KiB is one for the whole interpreter. Bodies are bounded before they come here, and no cell
# is larger than its body.
csv.field_size_limit(1 << 30)

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def rows_of(text: str, whose: str, fault: str) -> list[Row]:
    """The records of a body."""
    if '"' not in text:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return [line for line in text.split("\n") if line]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        raise Unexplainable(f"{whose} is not CSV: {error}, at line {reader.line_num}.", fault) from None


def cells_of(row: Row) -> list[str]:
    """The cells of a record."""
    return row.split(",") if isinstance(row, str) else row


def columns_of(row: Row) -> int:
    """How many cells a record has."""
    return row.count(",") + 1 if isinstance(row, str) else len(row)


def written(text: str, *, alone: bool) -> str:
    """A cell, quoted where it must be. A record of an empty cell alone would be an empty line, and no record."""
    if _NEEDS_QUOTES.search(text) or (alone and not text):
        return '"' + text.replace('"', '""') + '"'
    return text
