"""JSON Lines without loss: a number keeps its text, so that neither 1.0 nor 1e5 nor a number of 30 digits changes."""

from __future__ import annotations

import json
from typing import Any, Self

from mooring.explainer.faults import Unexplainable, shown

DEEPEST = 64
"""Levels of lists and objects in one feature."""


class Number(float):
    """A number with its text."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        """Of JSON's text, `NaN` and `Infinity` included, as Python writes them."""
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text


# JMESPath tells what a value is by the name of its type.
Number.__name__ = "float"

_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=Number)
# Python's own integers have a limit of digits.
_SKIMMING = json.JSONDecoder(parse_int=float)


def rows_of(text: str) -> list[str]:
    """The records of a body: its lines that are not blank."""
    return [line for line in text.split("\n") if line and not line.isspace()]


def value_of(line: str, where: str, fault: str) -> Any:
    """The value of a record, with `Number` for numbers."""
    return _decoded(_DECODER, line, where, fault)


def skimmed(line: str, where: str, fault: str) -> Any:
    """The same with numbers that have no text, which costs a tenth."""
    return _decoded(_SKIMMING, line, where, fault)


def _decoded(decoder: json.JSONDecoder, line: str, where: str, fault: str) -> Any:
    try:
        return decoder.decode(line)
    except RecursionError:
        raise Unexplainable(f"{where} is nested too deeply.", fault) from None
    except json.JSONDecodeError as error:
        # As of JSON that somebody has set out over several lines.
        ends_early = error.pos >= len(line.rstrip())
        hint = ". In JSON Lines each record is on one line of its own, as a whole." if ends_early else ""
        raise Unexplainable(f"{where} is not JSON: {error}: {shown(line)}{hint}", fault) from None


def written(value: Any, deepest: int = DEEPEST) -> str:
    """Compact JSON; ValueError for a value that is nested too deeply."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | dict):
        if not deepest:
            raise ValueError("nested too deeply")
        if isinstance(value, list):
            return "[" + ",".join(written(each, deepest - 1) for each in value) + "]"
        return "{" + ",".join(f"{_string(name)}:{written(each, deepest - 1)}" for name, each in value.items()) + "}"
    return json.dumps(value)


def _string(text: str) -> str:
    found = json.dumps(text, ensure_ascii=False)
    try:
        found.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape and UTF-8 cannot write
        return json.dumps(text)
    return found
