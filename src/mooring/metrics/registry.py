"""What a process tells of itself: counters and gauges by name, read when they are wanted.

For `/metrics` only. A name is Prometheus' own form without the prefix `mooring_`; a counter's ends in `_total`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Labels = tuple[tuple[str, str], ...]
Reading = Callable[[], float | Mapping[Labels, float]]
"""One number, or one for each set of labels."""


class Told(NamedTuple):
    """One metric of a process with its values, as JSON has it too."""

    name: str
    kind: str
    help: str
    values: list[tuple[Labels, float]]


@dataclass(slots=True)
class Registry:
    """Metrics of one process. Whoever has something to tell adds it, once."""

    _metrics: list[tuple[str, str, str, Reading]] = field(default_factory=list)

    def add(self, name: str, kind: Literal["counter", "gauge"], help_text: str, reading: Reading) -> None:
        """`reading` is called each second, from the loop's thread; a counter never goes down."""
        self._metrics.append((name, kind, help_text, reading))

    def told(self) -> list[Told]:
        """All of them, now."""
        found = []
        for name, kind, help_text, reading in self._metrics:
            value = reading()
            values: list[tuple[Labels, float]] = [((), value)] if isinstance(value, int | float) else [*value.items()]
            found.append(Told(name, kind, help_text, values))
        return found

    @staticmethod
    def told_by(document: Any) -> list[Told]:
        """What another process told. Raises ValueError or TypeError for what is none."""
        return [
            Told(str(name), str(kind), str(help_text), [(_labels(labels), float(value)) for labels, value in values])
            for name, kind, help_text, values in document
        ]


def _labels(document: Any) -> Labels:
    return tuple((str(name), str(value)) for name, value in document)
