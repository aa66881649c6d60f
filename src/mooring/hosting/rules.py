"""How a rule is written: a function named after it that returns what to tell the caller, or None when it holds.

Rules run after the validation of the shapes, in the order of their table, and the first that does not hold is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mooring.errors import Refused

Members = dict[str, Any]
"""The input of an operation, or a part of it, in AWS's member names."""

Rule = Callable[[Members], str | None]


def refuse_unless(rules: Iterable[Rule], members: Members) -> None:
    """Raises `Refused` with the message of the first rule that does not hold."""
    for rule in rules:
        message = rule(members)
        if message is not None:
            raise Refused(message)
