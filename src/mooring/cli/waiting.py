"""Saying what a command waits for, once that has taken longer than a second."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

PATIENCE_S = 1.0


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


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
