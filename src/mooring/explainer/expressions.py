"""EnableExplanations and the attributes of InferenceConfig: JMESPath, compiled once, with errors that say where.

Shared by control (an endpoint is not created with an expression that does not compile), by gateways (a header) and by
the solver process, which alone evaluates them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import IncompleteExpressionError, JMESPathError, ParseError

from mooring.errors import BadInput
from mooring.explainer.growth import LARGEST, BoundedFunctions, growth

KEPT = 256
"""Compiled expressions that are kept; a caller may send another with each call."""


_OPTIONS = jmespath.Options(custom_functions=BoundedFunctions())


class BadExpression(BadInput):
    """It does not compile; the message says where and why, on one line."""


_REMEDIES = (
    (re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"), "a number stands in backquotes, as in [0]>`0.5`"),
    (re.compile(r"(and|or)\b"), "JMESPath has && and ||"),
    (re.compile(r"=(?!=)"), "JMESPath compares with =="),
    (re.compile(r"(?<=\w)-(?=\w)"), "a name with other characters than letters, digits and _ stands in double quotes"),
    (re.compile(r"\$"), "a path begins with a name"),
)
"""What would do in the place of what stands where an expression breaks off: what other languages write."""


class Outsized(ValueError):
    """What an expression would make of a value is too much."""


class Expression:
    """One that compiles."""

    def __init__(self, expression: str, parsed: Any) -> None:
        self.expression = expression
        self.parsed: dict[str, Any] = parsed.parsed
        self._search = parsed.search
        self._growth = growth(self.parsed)

    def search(self, value: Any, length: int = 0) -> Any:
        """What it gives for a value that was so many characters (0 for what one trusts); may raise anything."""
        self.refuse_length(length)
        return self._search(value, _OPTIONS)

    def refuse_length(self, length: int) -> None:
        """Raises `Outsized` where so many characters would become too many."""
        if self._growth > 1 and self._growth * length > LARGEST:
            raise Outsized(f"it makes up to {self._growth} times as much of {length} characters, which is too much")


@lru_cache(maxsize=KEPT)
def compiled(expression: str) -> Expression:
    """Raises `BadExpression`."""
    try:
        return Expression(expression, jmespath.compile(expression))
    except ParseError as error:
        position = getattr(error, "lex_position", None)
        where = "" if position is None or position < 0 else f" at position {position}"
        remedy = "" if position is None else _remedy(expression, position)
        raise BadExpression(f"{expression!r} is not a JMESPath expression{where}: {_reason(error)}{remedy}") from None
    except JMESPathError as error:
        raise BadExpression(f"{expression!r} is not a JMESPath expression: {_reason(error)}") from None


def constant_of(expression: Expression | None) -> bool | None:
    """What an expression gives without looking at any record, such as `false` in backquotes; None for another one."""
    if expression is None:
        return True
    parsed = expression.parsed
    value = parsed.get("value") if parsed.get("type") == "literal" else None
    return value if type(value) is bool else None


def _reason(error: Exception) -> str:
    if isinstance(error, IncompleteExpressionError):
        return "it ends too early"
    # The text of a ParseError repeats the whole expression, with a line that points into it. A lexer's error has its
    # reason in `message`, and the same `msg` for all.
    said = getattr(error, "message", None) or getattr(error, "msg", None) or str(error)
    return " ".join(str(said).split())


def _remedy(expression: str, position: int) -> str:
    for pattern, remedy in _REMEDIES:
        if position >= 0 and pattern.match(expression, position):
            return f"; {remedy}"
    return ""
