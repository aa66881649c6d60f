"""`mooring endpoints events`: what happened to an endpoint, and with `--follow` what happens to it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from mooring.cli import waiting
from mooring.cli.client import Client
from mooring.cli.terminal import safe
from mooring.errors import NotFound

POLL_S = 0.25


def show(client: Client, name: str, region: str, *, follow: bool) -> None:
    """Print every event so far; with `follow` go on until the endpoint is gone, or until interrupted."""
    for each in (watched if follow else recorded)(client, name, region):
        print(line(each), flush=follow)


def recorded(client: Client, name: str, region: str, after: int = 0) -> list[dict[str, Any]]:
    """The events behind the position `after`. Raises `NotFound`."""
    found: list[dict[str, Any]] = client.events(name, region, after).get("events", [])
    return found


def watched(client: Client, name: str, region: str, deadline: float = math.inf) -> Iterator[dict[str, Any]]:
    """Every event so far and each that follows, until the endpoint is gone, or until `deadline` (monotonic time).

    A server that is being restarted is waited for. Raises `NotFound` if the endpoint is not there.
    """
    events = recorded(client, name, region)
    position = 0
    while True:
        for each in events:
            position = int(each.get("position", position))
            yield each
        if time.monotonic() >= deadline:
            return
        if not events:
            time.sleep(POLL_S)
        try:
            events = waiting.patiently(partial(recorded, client, name, region, position), POLL_S)
        except NotFound:
            return


def line(each: dict[str, Any]) -> str:
    """One event for people, in local time."""
    at = time.strftime("%H:%M:%S", time.localtime(float(each.get("at", 0))))
    text = f"{at}  {each.get('kind', ''):<14} {each.get('text', '')}"
    return safe(text) if sys.stdout.isatty() else text
