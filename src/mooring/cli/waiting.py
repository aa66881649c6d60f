"""Waiting for a server: said once it has taken longer than a second, and gone on with when it is away for a moment."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from mooring.errors import Unavailable

PATIENCE_S = 1.0
AWAY_S = 60.0
"""How long a server that does not answer is waited for, as one that is being restarted."""

Found = TypeVar("Found")


@contextlib.contextmanager
def said(what: str) -> Iterator[None]:
    """Print `what…` on standard error if the block takes longer than a second."""
    timer = threading.Timer(PATIENCE_S, _say, [f"{what}…"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def patiently(ask: Callable[[], Found], poll_s: float, sleep: Callable[[float], None] = time.sleep) -> Found:
    """What `ask` returns, asked again while the server is away. Raises `Unavailable` when it stays away."""
    deadline = time.monotonic() + AWAY_S
    told = False
    while True:
        try:
            return ask()
        except Unavailable as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                _say(f"mooring: {error}; trying again")
                told = True
            sleep(poll_s)


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
