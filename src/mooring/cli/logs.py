"""`mooring logs`: what the replicas of an endpoint wrote, now and, with `--follow`, as it is written."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

from mooring.cli import waiting
from mooring.cli.client import Client
from mooring.cli.terminal import safe

POLL_S = 0.5
SHORT = 16 * 1024
SHORT_ANSWERS = 8
"""A log that goes on fills an answer, far beyond `SHORT` characters; so many short ones in a row are no longer what
there was but what is being written, which may never pause.
"""


def show(client: Client, name: str, region: str, *, follow: bool, last: int | None = None) -> None:
    """Print all lines so far, or the `last` of each replica; with `follow` go on until interrupted or it is gone."""
    after = _so_far(client, name, region, last, patient=follow)
    while follow:
        answer = waiting.patiently(partial(client.logs, name, region, after), POLL_S)
        after = str(answer.get("next") or "")
        if not _printed(answer.get("lines", [])):
            time.sleep(POLL_S)


def tail(client: Client, name: str, region: str, count: int) -> list[str]:
    """The last `count` lines so far, which are those of the replica that was told of last."""
    kept: deque[Mapping[str, Any]] = deque(maxlen=count)
    for lines, _ in _answers(client, name, region, patient=False):
        kept.extend(lines)
    return [_text(line) for line in kept]


def _so_far(client: Client, name: str, region: str, last: int | None, *, patient: bool) -> str:
    """Print what there is and return the token of its end."""
    kept = _Last(last or 0)
    after, silent = "", True
    for lines, after in _answers(client, name, region, patient=patient):  # noqa: B007 - the last one is returned
        silent = silent and not lines
        if last is None:
            _printed(lines)
        else:
            kept.add(lines)
    _printed(kept.lines())
    if silent:
        _explain_silence(client, name, region)
    return after


class _Last:
    """The newest lines of each replica: lines come a replica at a time, so the newest of all would be of one alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[tuple[Any, Any], deque[Mapping[str, Any]]] = {}

    def add(self, lines: Collection[Mapping[str, Any]]) -> None:
        for line in lines:
            replica = line.get("variant"), line.get("replica")
            self._kept.setdefault(replica, deque(maxlen=self._count)).append(line)

    def lines(self) -> list[Mapping[str, Any]]:
        return [line for kept in self._kept.values() for line in kept]


def _answers(
    client: Client, name: str, region: str, *, patient: bool
) -> Iterator[tuple[Collection[Mapping[str, Any]], str]]:
    """What there is, in parts with the token of their end; the last part may be empty."""
    after, short = "", 0
    while short < SHORT_ANSWERS:
        ask = partial(client.logs, name, region, after)
        answer = waiting.patiently(ask, POLL_S) if patient and after else ask()
        lines, after = answer.get("lines", []), str(answer.get("next") or "")
        yield lines, after
        if not lines:
            return
        short = short + 1 if _size(lines) < SHORT else 0


def _size(lines: Collection[Mapping[str, Any]]) -> int:
    return sum(len(str(line.get("text", ""))) + 1 for line in lines)


def _printed(lines: Collection[Mapping[str, Any]]) -> bool:
    for line in lines:
        print(_text(line))
    sys.stdout.flush()
    return bool(lines)


def _explain_silence(client: Client, name: str, region: str) -> None:
    """An endpoint that failed before any of its replicas could write has at least a reason."""
    for endpoint in client.status().get("endpoints", []):
        if (endpoint.get("name"), endpoint.get("region")) == (name, region) and endpoint.get("failure_reason"):
            reason = " ".join(str(endpoint["failure_reason"]).split())
            print(f"mooring: {name} wrote nothing; it is {endpoint.get('status')}: {reason}", file=sys.stderr)


def _text(line: Mapping[str, Any]) -> str:
    text = str(line.get("text", ""))
    if sys.stdout.isatty():
        text = safe(text)
    return f"{line.get('variant', '')}/{line.get('replica', '')} | {text}"
