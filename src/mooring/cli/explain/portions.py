"""What is shown of a record for one class: its largest parts, the rest as one, and numbers as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from mooring.cli.explain.answers import Answer, Part, Record


class Portion(NamedTuple):
    """One bar."""

    name: str
    value: str
    """What the record has there, or where in its text a unit stands; empty where that is not known."""
    attribution: float
    rest: bool = False
    """It stands for all parts that are not shown."""

    @property
    def whole(self) -> str:
        """Name and value in one."""
        return f"{self.name}{' ' if self.value.startswith('@') else ' = '}{self.value}" if self.value else self.name


@dataclass(frozen=True, slots=True)
class Portions:
    """The bars of one class of a record, the largest first."""

    heading: str
    """Which class; empty where there is one only."""
    bars: tuple[Portion, ...]
    total: float
    score: float | None
    """None where it could not be read."""

    @property
    def base(self) -> float | None:
        """What the model says of the baseline."""
        return None if self.score is None else self.score - self.total

    def amounts(self) -> list[str]:
        """The attributions as people read them, with as many decimals as the largest needs for four digits."""
        largest = max(abs(bar.attribution) for bar in self.bars)
        if not 1e-4 <= largest < 1e6:
            return [number(bar.attribution, signed=True) for bar in self.bars]
        decimals = max(0, 3 - math.floor(math.log10(largest)))
        return [_amount(bar.attribution, decimals) for bar in self.bars]


@dataclass(frozen=True, slots=True)
class Shown:
    """What was asked, and what came of it."""

    endpoint: str
    expression: str
    answer: Answer
    scores: list[tuple[float, ...] | None]
    unit: str
    """Of scores and attributions, to be put behind a number; empty but for log-odds."""


def portions(
    record: Record, kind: int, labels: tuple[str, ...], scores: tuple[float, ...] | None, top: int
) -> Portions:
    """The `top` largest parts (0 for all) of a class, and the others as one."""
    ordered = sorted(record.parts, key=lambda part: -abs(part.attributions[kind]))
    shown = ordered if top == 0 or len(ordered) <= top + 1 else ordered[:top]
    bars = [Portion(_name(part), _value(part), part.attributions[kind]) for part in shown]
    if len(shown) < len(ordered):
        rest = sum(part.attributions[kind] for part in ordered[len(shown) :])
        bars.append(Portion(f"{len(ordered) - len(shown)} others", "", rest, rest=True))
    heading = ""
    if record.classes > 1:
        heading = labels[kind] if len(labels) == record.classes else f"class {kind}"
    elif len(labels) == 1:
        heading = labels[0]
    return Portions(heading, tuple(bars), record.total(kind), None if scores is None else scores[kind])


def _name(part: Part) -> str:
    return part.name if part.name.strip() else repr(part.name)  # a unit may be a line's end


def _value(part: Part) -> str:
    return part.value or "" if part.start is None else f"@{part.start}"


def _amount(value: float, decimals: int) -> str:
    amount = f"{value:+.{decimals}f}"
    return amount if float(amount) else f"{0:.{decimals}f}"


def number(value: float, *, signed: bool = False) -> str:
    """Five digits that count, as a rule without an exponent."""
    if value == 0:
        return "0"
    sign = "+" if signed else ""
    size = abs(value)
    if size >= 1e5:
        return f"{value:{sign}.0f}" if size < 1e12 else f"{value:{sign}.4e}"
    if size >= 1e-4:
        return f"{value:{sign}.5g}"
    return f"{value:{sign}.2e}"
