r"""Java's character properties (`\p{L}`, `\p{Print}`, ...) as ranges of code points for Python's `re`.

POSIX names mean ASCII, as in Java without UNICODE_CHARACTER_CLASS; everything else is a Unicode general category. A
category's table takes some 0.1 s of walking through all code points, so it is made when a pattern first needs it.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]

LAST = sys.maxunicode

_POSIX: dict[str, Ranges] = {
    "ASCII": ((0x00, 0x7F),),
    "Alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "Alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "Blank": ((0x09, 0x09), (0x20, 0x20)),
    "Cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "Digit": ((0x30, 0x39),),
    "Graph": ((0x21, 0x7E),),
    "Lower": ((0x61, 0x7A),),
    "Print": ((0x20, 0x7E),),
    "Punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "Space": ((0x09, 0x0D), (0x20, 0x20)),
    "Upper": ((0x41, 0x5A),),
    "XDigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}
_SUBCATEGORIES = {"L": "ultmo", "M": "nce", "N": "dlo", "P": "cdseifo", "S": "mcko", "Z": "slp", "C": "cfson"}
_CATEGORIES = frozenset(major + minor for major, minors in _SUBCATEGORIES.items() for minor in minors)


def ranges_of(name: str) -> Ranges:
    r"""The code points of ``\p{name}``; KeyError for a property that is not known here."""
    posix = _POSIX.get(name)
    if posix is not None:
        return posix
    category = name.removeprefix("Is") if name.startswith("Is") and len(name) <= 4 else name
    wanted = frozenset(known for known in _CATEGORIES if category and known.startswith(category))
    if not wanted:
        raise KeyError(name)
    return merged(span for known in wanted for span in _category_table()[known])


def complement(ranges: Ranges) -> Ranges:
    """All code points that are not in `ranges`, which are sorted and apart."""
    gaps, start = [], 0
    for low, high in ranges:
        if low > start:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same code points, sorted, with neighbours joined."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


@functools.cache
def _category_table() -> dict[str, list[tuple[int, int]]]:
    table: dict[str, list[tuple[int, int]]] = {known: [] for known in _CATEGORIES}
    category_of, start, current = unicodedata.category, 0, unicodedata.category("\0")
    for point in range(1, LAST + 1):
        category = category_of(chr(point))
        if category != current:
            table[current].append((start, point - 1))
            start, current = point, category
    table[current].append((start, LAST))
    return table
