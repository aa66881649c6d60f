"""How many calls each variant has at a moment, told to control each second.

Control adds up what all gateways say, which they could not do themselves. A moment at which nobody has a call is told
once and then not any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Count = Callable[[], Mapping[tuple[str, str], int]]
"""Calls that are with replicas, by route and variant; without those that have none."""


class Outstanding:
    """`report` is called once a second."""

    def __init__(self, count: Count, tell: Callable[[dict[str, Any]], bool]) -> None:
        self._count = count
        self._tell = tell
        self._busy = False

    def report(self) -> None:
        """Tell control, if there is something to tell."""
        busy = [[route, variant, count] for (route, variant), count in self._count().items()]
        if busy or self._busy:
            self._tell({"outstanding": busy})
        self._busy = bool(busy)
