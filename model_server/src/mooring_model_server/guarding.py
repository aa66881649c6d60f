"""What the server keeps an eye on while user code has the process: its descriptors, and who it is.

A script can close any descriptor and can fork. A server without its sockets would be alive and deaf, so it ends and is
started anew; a forked child must neither answer in its parent's place nor keep its parent's peers waiting for the end
of a connection.
"""

from __future__ import annotations

import os
import time
from typing import Callable, Iterable

from mooring_model_server.output import Output, is_open

IDENTIFY_S = 0.001
"""Whether the descriptors are open is asked after every call; whether they are the same, at most so often."""


class Guard:
    """Made before user code runs; `check` after each time it ran."""

    def __init__(self, output: Output, descriptors: Iterable[int]) -> None:
        self._output = output
        self._pid = os.getpid()
        self._held: dict[int, tuple[int, int] | None] = {}
        self._identified = 0.0
        self.watch(*descriptors, output.fileno())

    def watch(self, *descriptors: int) -> None:
        """These too must stay what they are now."""
        self._held.update((descriptor, _identity(descriptor)) for descriptor in descriptors)

    def lost(self) -> list[int]:
        """The descriptors that are not what they were."""
        return [number for number, identity in self._held.items() if _identity(number) != identity]

    def leave_if_forked(self) -> None:
        """End a process that user code forked and let run on."""
        if os.getpid() != self._pid:
            os._exit(0)

    def check(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """End the process when it cannot serve any longer, or is not the one that served.

        `stopping` is asked last, since the server closes descriptors of its own after it says so.
        """
        self.leave_if_forked()
        now = time.monotonic()
        if now - self._identified < IDENTIFY_S and all(map(is_open, self._held)):
            return
        self._identified = now
        lost = self.lost()
        if lost and not stopping():
            self._output.say(f"the script closed descriptors that serve its calls ({lost}): this process ends")
            os._exit(1)


def release_in_children(release: Callable[[int], None]) -> None:
    """Have every forked child call `release(null)`, with a descriptor of /dev/null to put in place of others."""

    def after_fork() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        release(null)
        os.close(null)

    os.register_at_fork(after_in_child=after_fork)


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino
