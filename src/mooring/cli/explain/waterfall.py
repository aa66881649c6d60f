"""A waterfall as inline SVG: from the base value, part by part, to what was predicted.

Without a prediction that could be read it begins at 0. Names are cut to what fits; the whole of one is its title.
"""

from __future__ import annotations

from html import escape

from mooring.cli.explain.portions import Portion, Portions, number
from mooring.cli.terminal import JOINERS, legible

WIDTH, LEFT, RIGHT, ROW, BAR = 790, 250, 110, 24, 16
"""In pixels of the drawing, which scales with the page."""
LONGEST_NAME = 34
"""Characters."""


def waterfall(found: Portions, unit: str) -> str:
    """One `<svg>`."""
    base = found.base or 0.0
    ends = [base]
    for bar in found.bars:
        ends.append(ends[-1] + bar.attribution)
    scale = _Scale([*ends, base])
    height = ROW * (len(found.bars) + 2)
    rows = [_mark(scale, 0, "base value" if found.score is not None else "base value not known", base, unit)]
    for place, (bar, amount) in enumerate(zip(found.bars, found.amounts(), strict=True), 1):
        rows.append(_step(scale, place, bar, amount, *ends[place - 1 : place + 1]))
    last = "prediction" if found.score is not None else "all parts together"
    rows.append(_mark(scale, len(found.bars) + 1, last, ends[-1] if found.score is None else found.score, unit))
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="waterfall">'
        f"{''.join(_connectors(scale, ends))}{''.join(rows)}</svg>"
    )


class _Scale:
    def __init__(self, values: list[float]) -> None:
        self._least = min(values)
        # In halves: the difference of two numbers may be more than the largest one.
        self._half_span = (max(values) / 2 - self._least / 2) or 1.0

    def __call__(self, value: float) -> float:
        share = (value / 2 - self._least / 2) / self._half_span
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)


def _step(scale: _Scale, place: int, bar: Portion, amount: str, start: float, end: float) -> str:
    left, right = sorted((scale(start), scale(end)))
    kind = "down" if bar.attribution < 0 else "up"
    top = place * ROW + (ROW - BAR) // 2
    return (
        f"<g><title>{cleaned(bar.whole)}: {amount}</title>{_label(place, bar.whole)}"
        f'<rect class="{kind}" x="{left}" y="{top}" width="{max(right - left, 1):.2f}" height="{BAR}"/>'
        f'<text class="amount" x="{right + 5}" y="{place * ROW + 16}">{amount}</text></g>'
    )


def _mark(scale: _Scale, place: int, name: str, value: float, unit: str) -> str:
    at = scale(value)
    return (
        f'<g class="mark">{_label(place, name)}'
        f'<line x1="{at}" x2="{at}" y1="{place * ROW + 3}" y2="{place * ROW + ROW - 3}"/>'
        f'<text class="amount" x="{at + 5}" y="{place * ROW + 16}">{number(value)}{cleaned(unit)}</text></g>'
    )


def _label(place: int, name: str) -> str:
    shown = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return f'<text class="name" x="{LEFT - 12}" y="{place * ROW + 16}">{cleaned(shown)}</text>'


def _connectors(scale: _Scale, ends: list[float]) -> list[str]:
    """From the end of a step to the begin of the next."""
    return [_connector(scale(end), place * ROW) for place, end in enumerate(ends)]


def _connector(at: float, top: int) -> str:
    return f'<line class="between" x1="{at}" x2="{at}" y1="{top + 4}" y2="{top + ROW + 20}"/>'


def cleaned(text: str) -> str:
    """Text for HTML: nothing of it is markup, and no character is none."""
    return escape(legible(text, f"\n\t{JOINERS}"))
