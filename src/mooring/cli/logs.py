"""`mooring logs`: what the replicas of an endpoint wrote, now and, with `--follow`, as it is written."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mooring.cli.client import Client
from mooring.cli.terminal import safe
from mooring.errors import Unavailable

POLL_S = 0.5
PATIENCE_S = 60.0
"""How long `--follow` waits for a server that does not answer, as one that is being restarted."""
SHORT = 16 * 1024
SHORT_ANSWERS = 8
"""A log that goes on fills an answer, far beyond `SHORT` characters; so many short ones in a row are no longer what
there was but what is being written, which may never pause.
"""


def show(client: Client, name: str, region: str, *, follow: bool, last: int | None = None) -> None:
    """Print all lines so far, or the `last` of them; with `follow` go on until interrupted, or until it is gone."""
    after = _so_far(client, name, region, last, patient=follow)
    while follow:
        answer = _patiently(client, name, region, after)
        after = str(answer.get("next") or "")
        if not _printed(answer.get("lines", [])):
            time.sleep(POLL_S)


def _so_far(client: Client, name: str, region: str, last: int | None, *, patient: bool) -> str:
    """Print what there is and return the token of its end. An answer is a part of it; an empty one comes after all."""
    kept: deque[Mapping[str, Any]] = deque(maxlen=last)
    after, answers, short = "", 0, 0
    while short < SHORT_ANSWERS:
        answer = _patiently(client, name, region, after) if patient and after else client.logs(name, region, after)
        lines, after = answer.get("lines", []), str(answer.get("next") or "")
        if not lines:
            break
        answers += 1
        short = short + 1 if _size(lines) < SHORT else 0
        if last is None:
            _printed(lines)
        else:
            kept.extend(lines)
    _printed(kept)
    if not answers:
        _explain_silence(client, name, region)
    return after


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


def _patiently(
    client: Client, name: str, region: str, after: str, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    said = False
    while True:
        try:
            return client.logs(name, region, after)
        except Unavailable as error:
            if time.monotonic() >= deadline:
                raise
            if not said:
                print(f"mooring: {error}; trying again", file=sys.stderr, flush=True)
                said = True
            sleep(POLL_S)


def _text(line: Mapping[str, Any]) -> str:
    text = str(line.get("text", ""))
    if sys.stdout.isatty():
        text = safe(text)
    return f"{line.get('variant', '')}/{line.get('replica', '')} | {text}"
