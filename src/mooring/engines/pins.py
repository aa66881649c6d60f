"""What uv is asked for so that a version of a framework works: the pin, what belongs beside it, and which Python.

An old release says in its own metadata what it needed then, and nothing of what came later: scikit-learn 1.2 takes any
numpy and cannot be imported beside numpy 2. `data/companions.json` holds what is known of that.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from mooring.engines.tags import release

OLDEST_PYTHON = (3, 8)
"""Of the model server."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A distribution at a version, which may have two places or three; without one any version will do."""

    distribution: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}" if self.version else self.distribution


def pinned(pin: Pin, *, gpu: bool) -> tuple[str, ...]:
    """Requirements for `pin` with its companions: `1.2` is the newest of 1.2, `1.2.1` is that one."""
    known = _companions(pin.distribution)
    name = pin.distribution
    cpu = known.get("cpu")
    if pin.version and cpu and not gpu and release(pin.version) >= release(cpu["from"]):
        name = cpu["name"]
    needs = [need for rule in _rules(pin) for need in rule.get("needs", ())]
    return (f"{name}{_specifier(pin.version)}", *known.get("beside", ()), *needs)


def default_python(pins: Iterable[Pin]) -> str:
    """What to ask uv for: the Python that runs Mooring (empty) where the pins work with it, else a range."""
    bounds = [release(rule["python_below"]) for pin in pins for rule in _rules(pin) if "python_below" in rule]
    below = min(bounds, default=None)
    if below is None or sys.version_info[:2] < below:
        return ""
    return f">={_text(OLDEST_PYTHON)},<{_text(below)}"


def running_python() -> str:
    """The Python that runs Mooring: `3.11`."""
    return _text(sys.version_info[:2])


def serves_under(python: str | None) -> bool:
    """Whether the model server runs under that Python."""
    return python is not None and release(python) >= OLDEST_PYTHON


def name_of(requirement: str) -> str:
    """The distribution that a requirement names, normalized as indexes do; empty where it names none."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def _specifier(version: str | None) -> str:
    if version is None:
        return ""
    return f"=={version}" if version.count(".") > 1 else f"=={version}.*"


def _rules(pin: Pin) -> list[dict[str, Any]]:
    if pin.version is None:
        return []
    rules = _companions(pin.distribution).get("rules", ())
    return [rule for rule in rules if release(pin.version) < release(rule["below"])]


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _companions(distribution: str) -> dict[str, Any]:
    return _table().get(distribution, {})


@cache
def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = json.loads(
        files("mooring.engines").joinpath("data/companions.json").read_text("utf-8")
    )
    return table
