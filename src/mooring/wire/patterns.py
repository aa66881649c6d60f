r"""AWS's patterns, which are Java's, as Python's: `matcher(pattern)` tells whether a whole value fits.

Patterns come from the service models only, never from a caller. What Java means differently is translated: ``\p{..}``
and ``\P{..}``, ``.`` (no line terminator of five kinds), ``\z``, ``\Z`` and ``$``, ``\x{..}``, surrogate pairs written
as two escapes, and ``[``, ``&``, ``-`` inside classes, which Python warns of. ``\d``, ``\w`` and ``\s`` are ASCII in
both, by `re.ASCII`. Messages print the pattern verbatim; this translation is never seen by a caller.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable

from mooring.wire.character_classes import Ranges, complement, ranges_of

_LOG = logging.getLogger("mooring.wire")

_TERMINATORS = "\\n\\r\\x85\\u2028\\u2029"
_ANY = f"[^{_TERMINATORS}]"
_BEFORE_LAST_TERMINATOR = rf"(?=(?:\r\n|[{_TERMINATORS}])?\Z)"
_OUTSIDE = {"z": r"\Z", "Z": _BEFORE_LAST_TERMINATOR, "h": r"[ \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]"}
_SHORTHANDS = "dDsSwW"
_CONTROLS = {"t": 0x09, "n": 0x0A, "r": 0x0D, "f": 0x0C, "a": 0x07, "e": 0x1B}
_HEXADECIMAL = re.compile(r"u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]{1,6})\}")
_LOW_SURROGATE = re.compile(r"\\u([dD][c-fC-F][0-9A-Fa-f]{2})")
_PROPERTY = re.compile(r"([pP])(?:\{(\w+)\}|(\w))")
_NAMED_GROUP = re.compile(r"(?<!\\)\(\?<(?=[A-Za-z])")


class UnsupportedPattern(ValueError):
    """A construct of Java's that has no translation here."""


@functools.cache
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether the whole of a value matches; compiled once per pattern.

    A pattern that cannot be translated lets everything pass, with a line in the log: a newer botocore must not turn
    valid requests away.
    """
    if pattern == r"\p{ASCII}*":
        return str.isascii
    try:
        compiled = re.compile(translated(pattern), re.ASCII)
    except (UnsupportedPattern, re.error) as reason:
        _LOG.warning("the pattern %r is not checked: %s", pattern, reason)
        return _anything
    return lambda value: compiled.fullmatch(value) is not None


def translated(pattern: str) -> str:
    """The pattern in Python's syntax."""
    reader = _Reader(_NAMED_GROUP.sub("(?P<", pattern))
    parts: list[str] = []
    while not reader.at_end():
        character = reader.take()
        if character == "\\":
            parts.append(_escape_outside(reader))
        elif character == "[":
            parts.append(_character_class(reader))
        elif character == ".":
            parts.append(_ANY)
        elif character == "$":
            parts.append(_BEFORE_LAST_TERMINATOR)
        else:
            parts.append(character)
    return "".join(parts)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def peek(self, ahead: int = 0) -> str:
        return self._text[self._at + ahead : self._at + ahead + 1]

    def take(self) -> str:
        if self.at_end():
            raise UnsupportedPattern(f"{self._text} ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def take_match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found


def _escape_outside(reader: _Reader) -> str:
    ranges = _property(reader)
    if ranges is not None:
        return f"[{_spelled(ranges)}]"
    point = _code_point(reader)
    if point is not None:
        return _literal(point)
    letter = reader.take()
    if letter in _OUTSIDE:
        return _OUTSIDE[letter]
    if letter in _SHORTHANDS or letter in "AbB" or letter.isdigit():
        return "\\" + letter
    return _punctuation(letter)


def _character_class(reader: _Reader) -> str:
    parts = ["["]
    if reader.peek() == "^":
        parts.append(reader.take())
    while True:
        if reader.peek() == "]" and len(parts) > 1 and parts[-1] != "^":
            reader.take()
            return "".join([*parts, "]"])
        low = _class_item(reader)
        if isinstance(low, str):
            parts.append(low)
        elif reader.peek() == "-" and reader.peek(1) not in ("]", ""):
            reader.take()
            high = _class_item(reader)
            if isinstance(high, str):
                raise UnsupportedPattern("a range that ends in a class")
            parts.append(f"{_literal(low)}-{_literal(high)}")
        else:
            parts.append(_literal(low))


def _class_item(reader: _Reader) -> int | str:
    """A code point, or the text of several."""
    character = reader.take()
    if character != "\\":
        if character == "&" and reader.peek() == "&":
            raise UnsupportedPattern("an intersection of classes")
        return ord(character)
    ranges = _property(reader)
    if ranges is not None:
        return _spelled(ranges)
    point = _code_point(reader)
    if point is not None:
        return point
    letter = reader.take()
    if letter in _SHORTHANDS:
        return "\\" + letter
    _punctuation(letter)
    return ord(letter)


def _property(reader: _Reader) -> Ranges | None:
    found = reader.take_match(_PROPERTY)
    if found is None:
        return None
    try:
        ranges = ranges_of(found[2] or found[3])
    except KeyError:
        raise UnsupportedPattern(f"the property {found[0]}") from None
    return ranges if found[1] == "p" else complement(ranges)


def _code_point(reader: _Reader) -> int | None:
    found = reader.take_match(_HEXADECIMAL)
    if found is None:
        return _CONTROLS[reader.take()] if reader.peek() in _CONTROLS else None
    point = int(found[1] or found[2] or found[3], 16)
    if found[1] and 0xD800 <= point <= 0xDBFF:
        low = reader.take_match(_LOW_SURROGATE)
        if low is not None:
            return 0x10000 + ((point - 0xD800) << 10) + (int(low[1], 16) - 0xDC00)
    return point


def _punctuation(letter: str) -> str:
    if letter.isalnum():
        raise UnsupportedPattern(f"the escape \\{letter}")
    return re.escape(letter)


def _spelled(ranges: Ranges) -> str:
    return "".join(_literal(low) if low == high else f"{_literal(low)}-{_literal(high)}" for low, high in ranges)


def _literal(point: int) -> str:
    character = chr(point)
    if character.isascii() and character.isalnum():
        return character
    return f"\\x{point:02x}" if point <= 0xFF else f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _anything(value: str) -> bool:
    return True
