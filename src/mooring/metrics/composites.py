"""AlarmRule: composite alarms, which follow from other alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from mooring.errors import Refused
from mooring.metrics.evaluating import State
from mooring.metrics.syntax import Tree, parsed

STATES = frozenset(map(str, State))

StateOf = Callable[[str], State | None]
"""The state of an alarm by its name; None when there is none."""


@lru_cache(maxsize=1024)
def rule(text: str) -> Tree:
    """The tree of a rule. Raises `Refused`."""
    tree = parsed(text)
    _check(tree)
    return tree


def named(tree: Tree) -> set[str]:
    """The alarms that a rule names."""
    return set(_named(tree))


def holds(tree: Tree, state_of: StateOf) -> bool:
    """Whether a rule is true. Of an alarm that is not there nothing is."""
    match tree:
        case ("name", "TRUE"):
            return True
        case ("not", inner):
            return not holds(inner, state_of)
        case ("chain", first, others):  # of one operator, as no other binds like it
            every = (holds(each, state_of) for each in (first, *(operand for _, operand in others)))
            return all(every) if others[0][0] == "&&" else any(every)
        case ("call", function, [argument]):
            return state_of(_plain(argument[1])) is State(function)
    return False


def _check(tree: Tree) -> None:
    match tree:
        case ("name", "TRUE" | "FALSE"):
            return
        case ("not", inner):
            _check(inner)
        case ("chain", first, others) if others[0][0] in ("&&", "||"):
            for inner in (first, *(operand for _, operand in others)):
                _check(inner)
        case ("call", "ALARM" | "OK" | "INSUFFICIENT_DATA", [("text" | "name", _)]):
            return
        case _:
            raise Refused(
                'An AlarmRule is made of ALARM("name"), OK("name"), INSUFFICIENT_DATA("name"), TRUE, FALSE, AND, OR, '
                "NOT and parentheses; names with other characters than letters, digits and _ stand in quotation marks."
            )


def _named(tree: Any) -> Iterator[str]:
    match tree:
        case ("call", str(function), [(("text" | "name"), str(name))]) if function in STATES:
            yield _plain(name)
        case tuple() | list():
            for inner in tree:
                yield from _named(inner)


def _plain(name: str) -> str:
    """The name of an alarm whose ARN it may be."""
    return name.partition(":alarm:")[2] or name
