"""Signals for the length of a block: what a command does when it is told to end in the middle of something."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from types import FrameType

TOLD_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block with `SystemExit`, as Ctrl-C does with `KeyboardInterrupt`."""
    with handling(signal.SIGTERM, _leave), handling(signal.SIGHUP, _leave):
        yield


@contextlib.contextmanager
def ignoring(numbers: Sequence[int] = TOLD_TO_END) -> Iterator[None]:
    """The signals do nothing while something is put in order, whose time is bounded."""
    with contextlib.ExitStack() as stack:
        for number in numbers:
            stack.enter_context(handling(number, lambda number, frame: None))
        yield


@contextlib.contextmanager
def handling(number: int, handler: signal._HANDLER) -> Iterator[None]:
    """`handler` for a signal, unless it is ignored already."""
    previous = signal.getsignal(number)
    if previous is signal.SIG_IGN:  # as under nohup: so it stays, for what is started too
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
