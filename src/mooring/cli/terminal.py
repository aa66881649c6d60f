"""What may be shown on a terminal: models, endpoints and servers elsewhere chose some of the text."""

from __future__ import annotations

_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")
del _CONTROLS[ord("\t")]


JOINERS = "\u200c\u200d"
"""Between letters, in some scripts; they have no width of their own."""


def legible(text: str, kept: str = "") -> str:
    """`text` of characters that show something, blanks, and those that are in `kept`."""
    return "".join(each if each.isprintable() or each in kept else " " if each.isspace() else "\ufffd" for each in text)


def safe(text: str) -> str:
    """`text` without control characters, with which it could steer the terminal."""
    return text.translate(_CONTROLS)
