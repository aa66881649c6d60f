"""Attributions in a terminal: bars from a common axis, and texts with their units marked.

What is shown cannot steer the terminal: whatever is not printable gives way to a mark, and a name that is written from
right to left is closed, so that numbers stay where they are. Bars fit into the width that there is; without colours, or
without more than ASCII, signs say the same.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Sequence
from itertools import groupby

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from mooring.cli.explain.answers import Record
from mooring.cli.explain.answers import Text as Explained
from mooring.cli.explain.portions import Portions, Shown, number, portions
from mooring.cli.terminal import JOINERS, legible

MOST_CLASSES = 16
"""Of one record; a JSON answer has them all."""
LONGEST_TEXT = 4000
"""Characters of one text; a page has them all."""
FAINT = 0.05
"""Units with less than this part of the largest attribution are left unmarked."""
_INDENT = 4
_LEAST_BAR, _LEAST_VALUE, _MOST_VALUE = 9, 6, 18
_UP, _DOWN = (255, 76, 106), (64, 150, 255)
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI"})
_LEFT_TO_RIGHT_MARK = "\u200e"
_IN_TEXT = f"\n{JOINERS}"


def show(shown: Shown, top: int, console: Console | None = None) -> None:
    """Print each record."""
    console = console or Console(file=sys.stdout, highlight=False)
    if console.options.ascii_only and isinstance(console.file, io.TextIOWrapper):
        console.file.reconfigure(errors="replace")  # a name need not be of ASCII
    drawing = _Drawing(console, top)
    both = zip(shown.answer.records, shown.scores, strict=True)
    for is_explained, found in groupby(both, key=lambda each: bool(each[0].parts)):
        if is_explained:
            for record, scores in found:
                drawing.record(shown, record, scores)
        else:
            drawing.unexplained(list(found))


def printable(text: str) -> str:
    """`text` on one line, without what a terminal would obey."""
    clean = legible(text)
    turned = any(unicodedata.bidirectional(each) in _RIGHT_TO_LEFT for each in clean)
    return clean + _LEFT_TO_RIGHT_MARK if turned else clean


class _Drawing:
    def __init__(self, console: Console, top: int) -> None:
        self._console = console
        self._top = top
        self._ascii = console.options.ascii_only
        self._coloured = console.color_system is not None and not console.no_color

    def unexplained(self, run: Sequence[tuple[Record, tuple[float, ...] | None]]) -> None:
        """Records one after the other, in one line: what was predicted for one alone is told."""
        (first, scores), (last, _) = run[0], run[-1]
        if len(run) > 1:
            title = Text(f"records {first.number} to {last.number}", style="bold")
            self._line(title.append(" are not explained: the expression is false for them", style="not bold"))
            return
        said = "" if scores is None else f", predicted {', '.join(number(each) for each in scores[:MOST_CLASSES])}"
        title = Text(f"record {first.number}", style="bold")
        self._line(title.append(f" is not explained{said}: the expression is false for it", style="not bold"))

    def record(self, shown: Shown, record: Record, scores: tuple[float, ...] | None) -> None:
        """One that is explained."""
        self._line(Text(f"record {record.number}", style="bold"))
        labels = tuple(printable(each) for each in shown.answer.labels)
        for kind in range(min(record.classes, MOST_CLASSES)):
            self._class(portions(record, kind, labels, scores, self._top), shown.unit)
            for text in record.texts:
                self._text(text, kind)
        if record.classes > MOST_CLASSES:
            self._line(Text(f"{record.classes - MOST_CLASSES} more classes: --json has them"))

    def _class(self, found: Portions, unit: str) -> None:
        heading = f"{found.heading}: " if found.heading else ""
        total = number(found.total, signed=True)
        if found.score is None or found.base is None:
            said = f"all parts together {total}{unit}; what was predicted cannot be read, so there is no base value"
        else:
            sign = "->" if self._ascii else "→"
            said = f"base {number(found.base)} {total} {sign} predicted {number(found.score)}{unit}"
        self._line(Text(f"{heading}{said}"))
        self._bars(found)

    def _bars(self, found: Portions) -> None:
        names = [printable(each.name) for each in found.bars]
        values = [printable(each.value) for each in found.bars]
        numbers = found.amounts()
        widths = _widths(self._console.width, _most(names), _most(values), _most(numbers))
        scale = _Scale(found, widths.bar)
        for bar, name, value, amount in zip(found.bars, names, values, numbers, strict=True):
            line = Text("  ").append(self._cut(name, widths.name), style="dim" if bar.rest else "")
            if widths.value:
                line.append("  ").append(self._cut(value, widths.value), style="dim")
            line.append("  ").append(amount.rjust(widths.number), style=self._style(bar.attribution))
            if widths.bar:
                line.append("  ").append_text(self._bar(bar.attribution, scale))
            line.rstrip()
            self._console.print(line, no_wrap=True, overflow="crop", crop=True)

    def _bar(self, attribution: float, scale: _Scale) -> Text:
        """From the axis, in steps of half a cell."""
        full, half = divmod(scale.halves(attribution), 2)
        down = attribution < 0
        if self._ascii:
            drawn, axis = ("-" if down else "+") * (full + half), "|"
        else:
            drawn, axis = ("▐" * half + "█" * full if down else "█" * full + "▌" * half), "│"
        style = self._style(attribution)
        if down:
            return Text(" " * (scale.left - len(drawn))).append(drawn, style=style).append(axis, style="dim")
        return Text(" " * scale.left).append(axis, style="dim").append(drawn, style=style)

    def _text(self, text: Explained, kind: int) -> None:
        """The text, each unit marked by what it adds."""
        most = max(abs(part.attributions[kind]) for _, _, part in text.spans) or 1.0
        drawn = Text()
        edges = [(0, 0), *((start, end) for start, end, _ in text.spans)]
        for (_, after), (start, end, part) in zip(edges, text.spans, strict=False):
            if end > LONGEST_TEXT:
                drawn.append(f" ({len(text.text) - after} more characters)", style="dim")
                break
            drawn.append(legible(text.text[after:start], _IN_TEXT))
            drawn.append_text(self._unit(legible(part.name, _IN_TEXT), part.attributions[kind] / most))
        else:
            drawn.append(legible(text.text[text.spans[-1][1] :][:LONGEST_TEXT], _IN_TEXT))
        self._line(Text("  ").append(f"{printable(text.name)}:", style="dim"))
        self._line(drawn, _INDENT)

    def _unit(self, unit: str, strength: float) -> Text:
        if abs(strength) < FAINT or not unit.strip():
            return Text(unit)
        if not self._coloured:
            sign = "+" if strength > 0 else "-"
            return Text(f"[{sign}{unit}]")
        return Text(unit, style=Style(color="black", bgcolor=Color.from_rgb(*_blended(strength))))

    def _style(self, attribution: float) -> Style:
        return Style(color=Color.from_rgb(*(_DOWN if attribution < 0 else _UP)))

    def _cut(self, text: str, width: int) -> str:
        """The text in exactly so many cells."""
        if cell_len(text) <= width:
            return set_cell_size(text, width)
        end = "." if self._ascii else "…"
        closing = _LEFT_TO_RIGHT_MARK if text.endswith(_LEFT_TO_RIGHT_MARK) else ""
        return set_cell_size(text, width - 1) + end + closing

    def _line(self, text: Text, indent: int = 0) -> None:
        for line in text.wrap(self._console, max(self._console.width - indent, 1), overflow="fold"):
            line.rstrip()
            self._console.print(Text(" " * indent).append_text(line), overflow="fold")


class _Scale:
    """Where the axis of some bars is, and how long they are: the longest to each side fill the width together."""

    def __init__(self, found: Portions, width: int) -> None:
        amounts = [bar.attribution for bar in found.bars]
        self._least, self._most = min(0.0, *amounts), max(0.0, *amounts)
        # Each in halves: their sum may be more than the largest number.
        self._half_span = (self._most / 2 - self._least / 2) or 1.0
        self._cells = width - 2  # each side may end in the midst of a cell
        self.left = (self.halves(self._least) + 1) // 2

    def halves(self, attribution: float) -> int:
        """How many halves of a cell a bar has."""
        return round(abs(attribution) / 2 / self._half_span * self._cells * 2)


class _Widths:
    """Of the columns of bars; 0 for one that has no room."""

    def __init__(self, name: int, value: int, number: int, bar: int) -> None:
        self.name, self.value, self.number, self.bar = name, value, number, bar


def _widths(width: int, name: int, value: int, number: int) -> _Widths:
    """The bar gets half of what is there, but goes first where there is little of it."""
    room = width - 2 - 2 - number
    bar = max(room // 2, _LEAST_BAR) if room >= 3 * _LEAST_BAR else 0
    room -= bar + 2 if bar else 0
    value = min(value, _MOST_VALUE, room // 3)
    value = value if value >= min(_LEAST_VALUE, value or 1) and room >= 2 * _LEAST_VALUE else 0
    room -= value + 2 if value else 0
    return _Widths(max(min(name, room), 1), value, number, bar)


def _most(texts: list[str]) -> int:
    return max(map(cell_len, texts))


def _blended(strength: float) -> tuple[int, int, int]:
    """From white to the colour of a sign."""
    full = _DOWN if strength < 0 else _UP
    red, green, blue = (round(255 + (each - 255) * abs(strength)) for each in full)
    return red, green, blue
