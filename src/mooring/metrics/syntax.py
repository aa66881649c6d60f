"""The syntax of metric math and of composite alarms' rules: text to a small tree.

A tree is made of tuples: `("number", 1.5)`, `("text", "abc")`, `("name", "m1")`, `("list", [...])`,
`("call", "SUM", [...])`, `("chain", first, [("+", second), ("-", third)])`, `("negative", operand)`. Text is hostile:
its length and its nesting are bounded, and whatever is wrong is a `Refused`. What is long without being nested, as a
sum of hundreds, is one flat chain of operators that bind alike, so nobody who walks a tree meets a deep one.
"""

from __future__ import annotations

import re
from typing import Any

from mooring.errors import Refused

LONGEST = 10_240
DEEPEST = 50

Tree = tuple[Any, ...]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<op>&&|\|\||[<>=!]=|[-+*/^<>(),\[\]]))"
)
_LEVELS = (("||", "OR"), ("&&", "AND"), ("<", ">", "<=", ">=", "==", "!="), ("+", "-"), ("*", "/"))
"""Binary operators, the weakest first."""
_SAME = {"OR": "||", "AND": "&&"}


def parsed(text: str) -> Tree:
    """The tree of an expression. Raises `Refused`."""
    if len(text) > LONGEST:
        raise Refused(f"An expression may have {LONGEST} characters.")
    parser = _Parser(text)
    tree = parser.expression(0)
    if parser.kind is not None:
        raise parser.unexpected()
    return tree


class _Parser:
    """A token ahead: `kind` and `value`, None at the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.kind: str | None = None
        self.value = ""
        self._next()

    def unexpected(self) -> Refused:
        """What stands here cannot."""
        what = "it ends too early" if self.kind is None else f"{self.value!r} is not expected there"
        return Refused(f"The expression {self._text[:200]!r} cannot be read: {what}.")

    def expression(self, level: int) -> Tree:
        if level == len(_LEVELS):
            return self._unary()
        first = self.expression(level + 1)
        others: list[tuple[str, Tree]] = []
        while self.kind in ("op", "name") and self.value in _LEVELS[level]:
            operator = _SAME.get(self.value, self.value)
            self._next()
            others.append((operator, self.expression(level + 1)))
        return ("chain", first, others) if others else first

    def _unary(self) -> Tree:
        if self.kind == "op" and self.value == "-":
            self._next()
            return ("negative", self._deeper(self._unary))
        if self.kind == "name" and self.value == "NOT":
            self._next()
            return ("not", self._deeper(self._unary))
        base = self._primary()
        if self.kind == "op" and self.value == "^":
            self._next()
            return ("chain", base, [("^", self._deeper(self._unary))])
        return base

    def _primary(self) -> Tree:
        kind, value = self.kind, self.value
        if kind == "number":
            self._next()
            return ("number", float(value))
        if kind in ("double", "single"):
            self._next()
            return ("text", value)
        if kind == "name":
            self._next()
            if self.kind == "op" and self.value == "(":
                return ("call", value, self._arguments(")"))
            return ("name", value)
        if kind == "op" and value == "[":
            return ("list", self._arguments("]"))
        if kind == "op" and value == "(":
            self._next()
            inner = self._deeper(lambda: self.expression(0))
            self._expect(")")
            return inner
        raise self.unexpected()

    def _arguments(self, closing: str) -> list[Tree]:
        self._next()
        found: list[Tree] = []
        while not (self.kind == "op" and self.value == closing):
            if found:
                self._expect(",")
            found.append(self._deeper(lambda: self.expression(0)))
        self._next()
        return found

    def _expect(self, value: str) -> None:
        if self.kind != "op" or self.value != value:
            raise self.unexpected()
        self._next()

    def _deeper(self, parse: Any) -> Tree:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Refused(f"An expression may be nested {DEEPEST} deep.")
        tree: Tree = parse()
        self._depth -= 1
        return tree

    def _next(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            if self._text[self._at :].strip():
                self.kind, self.value = "op", self._text[self._at :].strip()[:20]
                raise self.unexpected()
            self.kind, self.value = None, ""
            return
        self._at = found.end()
        self.kind = found.lastgroup
        self.value = found[self.kind or 0]
