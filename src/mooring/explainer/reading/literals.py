"""Cells that are more than text: numbers, and lists written as strings, as Autopilot's containers do."""

from __future__ import annotations

import ast
import json
import re
import warnings
from functools import lru_cache
from typing import Any

LONGEST = 65_536
"""Characters of a list that is read as Python's; a longer one must be JSON."""
DEEPEST = 3
"""Lists in lists of it."""
_DIGITS = 300
"""Of an integer that is read as one; a longer one is read as a float."""


def number_of(text: str) -> float | None:
    """The number that a cell is: `1`, `-0.5`, `1e5`, `nan`; None for any other text."""
    # Python's own readers take more than any container writes: 1_000 and the digits of every script.
    if not text.isascii() or "_" in text:
        return None
    try:
        return int(text) if len(text) <= _DIGITS else float(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def list_of(text: str) -> list[Any] | None:
    """The list that a cell holds, in Python's or JSON's form; None for any other text."""
    stripped = text.strip()
    if stripped[:1] not in ("[", "("):
        return None
    # Where both forms read a text they read it alike, but for backslashes in strings; JSON's reader costs far less.
    if "\\" not in stripped:
        return _as_json(stripped) or _as_python(stripped)
    return _as_python(stripped) or _as_json(stripped)


def _as_json(text: str) -> list[Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _forms(deepest: int) -> str:
    """Of what `ast.literal_eval` is given: flat work, whatever a container writes. Possessive, hence linear."""
    text = r"""'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+\""""
    number = r"[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+"
    item = rf"(?:{text}|{number}|True|False|None{'|' + _forms(deepest - 1) if deepest > 1 else ''})"
    return rf"[\[(]\s*+(?:{item}\s*+(?:,\s*+|(?=[\])])))*+[\])]"


_LIST = re.compile(_forms(DEEPEST))


@lru_cache(maxsize=128)
def _as_python(text: str) -> list[Any] | None:
    if len(text) > LONGEST or not _LIST.fullmatch(text):
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in strings that Python does not know
            found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return list(found) if isinstance(found, list | tuple) else None
