"""`mooring endpoints events`: what happened to an endpoint, and with `--follow` what happens to it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from mooring.cli.client import Client
from mooring.cli.terminal import safe
from mooring.errors import NotFound

POLL_S = 0.25


def show(client: Client, name: str, region: str, *, follow: bool) -> None:
    """Print every event so far; with `follow` go on until the endpoint is gone, or until interrupted."""
    for each in (watched if follow else recorded)(client, name, region):
        print(line(each), flush=follow)


def recorded(client: Client, name: str, region: str, after: int = 0) -> Iterator[dict[str, Any]]:
    """The events behind the position `after`. Raises `NotFound`."""
    yield from client.events(name, region, after).get("events", [])


def watched(client: Client, name: str, region: str) -> Iterator[dict[str, Any]]:
    """Every event so far and each that follows, until the endpoint is gone. Raises `NotFound` if it is not there."""
    position, seen = 0, False
    while True:
        try:
            events = list(recorded(client, name, region, position))
        except NotFound:
            if seen:
                return
            raise
        seen = True
        for each in events:
            position = int(each.get("position", position))
            yield each
        if not events:
            time.sleep(POLL_S)


def line(each: dict[str, Any]) -> str:
    """One event for people, in local time."""
    at = time.strftime("%H:%M:%S", time.localtime(float(each.get("at", 0))))
    text = f"{at}  {each.get('kind', ''):<14} {each.get('text', '')}"
    return safe(text) if sys.stdout.isatty() else text
