"""CloudWatch Logs' filter patterns, as far as they are about the words of a line.

Terms are looked for anywhere in a line, in their case: all of them, none of those behind a `-`, or, where every term
has a `?`, any of them. A term in double quotes may hold spaces. Patterns for JSON, for columns and regular expressions
are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mooring.errors import Refused

_TERM = re.compile(r'\s*(?P<sign>[-?]?)(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s"]+))(?=\s|$)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_OTHER = {
    "{": "a pattern for JSON",
    "[": "a pattern for columns",
    "%": "a regular expression",
}


@dataclass(frozen=True, slots=True)
class FilterPattern:
    """What a line must and must not hold."""

    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    def matches(self, text: str) -> bool:
        """Whether a line is one of those that are looked for."""
        return (
            all(term in text for term in self.wanted)
            and not any(term in text for term in self.unwanted)
            and (not self.any_of or any(term in text for term in self.any_of))
        )


EVERYTHING = FilterPattern()


def filter_pattern(text: str) -> FilterPattern:
    """The pattern that a text says. Raises `Refused` for one that Mooring, or AWS, does not take."""
    stripped = text.strip()
    if what := _OTHER.get(stripped[:1]):
        taken = "terms, phrases, -term and ?term"
        raise Refused(f"Invalid filter pattern: Mooring takes {taken}, and not {what}.")
    found: dict[str, list[str]] = {"": [], "-": [], "?": []}
    place = 0
    while place < len(stripped):
        match = _TERM.match(stripped, place)
        if match is None:
            raise Refused("Invalid filter pattern")
        quoted = match["quoted"]
        term = match["plain"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        if term:
            found[match["sign"]].append(term)
        place = match.end()
    wanted, unwanted, optional = (tuple(found[sign]) for sign in ("", "-", "?"))
    if wanted or unwanted:  # AWS ignores the question marks then
        return FilterPattern(wanted + optional, unwanted)
    return FilterPattern(any_of=optional)
