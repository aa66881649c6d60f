"""What is counted of a shadow beside its production variant: the documents that gateways send, and their sum.

A gateway sends what it has counted since it started, so that a message that is lost changes nothing; whoever adds them
up keeps the last of each gateway. Latencies are counted in buckets that are 4.4 % wide, which add up exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import log2
from typing import Any

BUCKETS_AN_OCTAVE = 16
MOST_EXAMPLES = 20
PERCENTILES = (50, 90, 99)

SIDE = ("answers", "errors_4xx", "errors_5xx", "timeouts", "broken")
"""What becomes of a call: answered with 2xx; with 4xx; with anything else; not in time; not at all."""
DROPPED = ("full", "late", "gone")
"""Why a copy was not sent: the queue was full; it waited for too long; its shadow went meanwhile."""
AGREEMENT = ("same", "equal", "different", "uncompared")
"""Of answers that both are 2xx: the same bytes; the same values; neither; not looked at."""


def bucket(seconds: float) -> int:
    """The bucket of a latency."""
    return int(log2(seconds * 1e6 + 1.0) * BUCKETS_AN_OCTAVE) if seconds > 0 else 0


def middle(number: int) -> float:
    """The seconds that a bucket stands for."""
    return float(2 ** ((number + 0.5) / BUCKETS_AN_OCTAVE) - 1) / 1e6


def percentile(latencies: Mapping[int, int], percent: float) -> float | None:
    """In seconds; None of no latencies."""
    total = sum(latencies.values())
    if not total:
        return None
    numbers = sorted(latencies)
    for number, below in zip(numbers, accumulate(latencies[each] for each in numbers), strict=True):
        if below * 100 >= percent * total:
            return middle(number)
    return middle(numbers[-1])


def summed(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of what several gateways have counted. Raises what a document that is none raises."""
    documents = list(documents)
    examples = sorted((each for document in documents for each in document["examples"]), key=lambda each: each["at"])
    return {
        "copied": sum(document["copied"] for document in documents),
        "dropped": _added([document["dropped"] for document in documents], DROPPED),
        "agreement": _added([document["agreement"] for document in documents], AGREEMENT),
        "production": _side([document["production"] for document in documents]),
        "shadow": _side([document["shadow"] for document in documents]),
        "examples": examples[-MOST_EXAMPLES:],
    }


def told(document: Mapping[str, Any]) -> dict[str, Any]:
    """A sum with percentiles in milliseconds in the place of buckets."""
    return {**document, **{side: _told_side(document[side]) for side in ("production", "shadow")}}


def _told_side(side: Mapping[str, Any]) -> dict[str, Any]:
    latencies = {int(number): count for number, count in side["latencies"].items()}
    found = {f"p{percent}_ms": percentile(latencies, percent) for percent in PERCENTILES}
    in_ms = {name: None if value is None else round(value * 1000, 3) for name, value in found.items()}
    return {**{name: side[name] for name in SIDE}, **in_ms}


def _side(sides: list[Mapping[str, Any]]) -> dict[str, Any]:
    latencies: dict[str, int] = {}
    for side in sides:
        for number, count in side["latencies"].items():
            latencies[number] = latencies.get(number, 0) + count
    return {**_added(sides, SIDE), "latencies": latencies}


def _added(parts: list[Mapping[str, Any]], names: Iterable[str]) -> dict[str, int]:
    return {name: sum(int(part[name]) for part in parts) for name in names}
