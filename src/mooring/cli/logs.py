"""`mooring logs`: what the replicas of an endpoint wrote, now and, with `--follow`, as it is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from mooring.cli.client import Client
from mooring.errors import Unavailable

POLL_S = 0.5
PATIENCE_S = 60.0
"""How long `--follow` waits for a server that does not answer, as one that is being restarted."""

_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")
del _CONTROLS[ord("\t")]


def show(client: Client, name: str, region: str, *, follow: bool) -> None:
    """Print all lines so far; with `follow` go on until interrupted, or until the endpoint is gone."""
    after: str | None = None
    while True:
        answer = (
            client.logs(name, region, after) if after is None or not follow else _patiently(client, name, region, after)
        )
        for line in answer.get("lines", []):
            print(_text(line))
        finished, after = not answer.get("lines"), str(answer.get("next") or "")
        sys.stdout.flush()
        if finished and not follow:
            return
        if finished:
            time.sleep(POLL_S)


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
        text = text.translate(_CONTROLS)  # a model must not be able to steer the terminal
    return f"{line.get('variant', '')}/{line.get('replica', '')} | {text}"
