"""Signal handlers for the length of a block."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What people and shells end a command with."""


@contextlib.contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """What SIGTERM and SIGHUP end is left as after an exception."""
    with handling(signal.SIGTERM, _leave), handling(signal.SIGHUP, _leave):
        yield


@contextlib.contextmanager
def ignoring(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """For what must not be cut short."""
    with contextlib.ExitStack() as stack:
        for number in numbers:
            stack.enter_context(handling(number, lambda number, frame: None))
        yield


@contextlib.contextmanager
def handling(number: int, handler: signal._HANDLER) -> Iterator[None]:
    """Handle a signal so, unless it is ignored."""
    previous = signal.getsignal(number)
    if previous is signal.SIG_IGN:  # as under nohup: so it stays, for the command too
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
