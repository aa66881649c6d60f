"""`mooring shadow report` for people: a shadow variant beside the production variant whose calls it gets copies of."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_ROWS = (
    ("2xx", "answers"),
    ("4xx", "errors_4xx"),
    ("5xx and other", "errors_5xx"),
    ("timed out", "timeouts"),
    ("no answer", "broken"),
    ("p50 ms", "p50_ms"),
    ("p90 ms", "p90_ms"),
    ("p99 ms", "p99_ms"),
)
_DROPPED = {"full": "the queue was full", "late": "waited for too long", "gone": "the shadow went"}
_NO_SHADOW = "it has no shadow variant: ShadowProductionVariants of an endpoint config give it one (docs/shadow.md)"
_UNBROKEN = 100_000


def show(document: dict[str, Any]) -> None:
    """Print a report."""
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _UNBROKEN)
    comparisons = document.get("comparisons", [])
    if not comparisons:
        has = "no call was copied to its shadow yet" if document.get("has_shadow") else _NO_SHADOW
        console.print(Text(f"{document.get('endpoint')}: {has}"))
    for each in comparisons:
        console.print(Text(f"{document.get('endpoint')}, {each.get('config')}: {_copies(each)}"))
        console.print(_sides(each))
        console.print(_agreement(each.get("agreement", {})))
        for example in each.get("examples", []):
            name = example.get("inference_id") or example.get("request_id")
            console.print(Text(f"  {name}: {example.get('what')}"))


def _copies(comparison: dict[str, Any]) -> str:
    dropped = comparison.get("dropped", {})
    told = [f"{count} dropped ({_DROPPED.get(why, why)})" for why, count in dropped.items() if count]
    return ", ".join([f"{comparison.get('copied', 0)} calls to be copied", *told])


def _sides(comparison: dict[str, Any]) -> Table:
    names, production, other = (comparison.get(each, {}) for each in ("names", "production", "shadow"))
    # Text, not str: a name must not be read as markup.
    heads = ["", f"{names.get('production')} (production)", f"{names.get('shadow')} (shadow)"]
    table = Table(*(Column(Text(head)) for head in heads), box=None)
    for title, member in _ROWS:
        number = _milliseconds if member.endswith("_ms") else _count
        table.add_row(title, number(production.get(member)), number(other.get(member)))
    return table


def _agreement(agreement: dict[str, int]) -> Text:
    total = sum(agreement.values())
    if not total:
        return Text("no pair of answers yet")
    words = {
        "same": "the same bytes",
        "equal": "the same values",
        "different": "different",
        "uncompared": "not compared",
    }
    told = [f"{100 * agreement.get(name, 0) / total:.1f} % {text}" for name, text in words.items()]
    return Text(f"of {total} pairs of answers: {', '.join(told)}")


def _count(value: float | None) -> str:
    return "–" if value is None else str(int(value))


def _milliseconds(value: float | None) -> str:
    """No more digits than buckets that are 4.4 % wide can tell."""
    if value is None:
        return "–"
    return f"{value:.2g}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
