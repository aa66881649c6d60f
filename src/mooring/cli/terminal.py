"""What may be shown on a terminal: models, endpoints and servers elsewhere chose some of the text."""

from __future__ import annotations

_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")
del _CONTROLS[ord("\t")]


def safe(text: str) -> str:
    """`text` without control characters, with which it could steer the terminal."""
    return text.translate(_CONTROLS)
