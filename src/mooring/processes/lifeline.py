"""The lifeline: how a process learns that its supervisor is dead, even after kill -9.

It is a pipe whose write end only the supervisor holds and never writes to. The kernel closes that end whatever the
supervisor dies of, and every reader sees the end of the file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

ORPHANED = 75
"""Exit code of a process whose supervisor died (EX_TEMPFAIL)."""


def watch(fd: int, on_death: Callable[[], None]) -> None:
    """Call `on_death` once, from the running asyncio loop, when the supervisor has died."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)

    def readable() -> None:
        try:
            if os.read(fd, 4096):
                return
        except BlockingIOError:
            return
        loop.remove_reader(fd)
        on_death()

    loop.add_reader(fd, readable)


def exit_on_death(fd: int) -> None:
    """End this process at once, without clean-up, when the supervisor has died; needs a running asyncio loop."""
    watch(fd, lambda: os._exit(ORPHANED))
