"""Waiting for the end of a process that need not be our child.

On Linux a pidfd becomes readable when the process ends, also when nobody reaps it. Where there is none (macOS, old
kernels, no descriptor left) the process table is asked again and again instead.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys

from mooring.processes.identity import ProcessIdentity

POLL_FIRST_S = 0.005
POLL_LONGEST_S = 0.1

_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EMFILE, errno.ENFILE, errno.ENODEV})


def open_pidfd(pid: int) -> int | None:
    """A descriptor of the process, readable when it ends; None where there are no pidfds.

    Raises `ProcessLookupError` when there is no such process.
    """
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise


async def wait_for_exit(identity: ProcessIdentity, timeout: float) -> bool:  # noqa: ASYNC109 - the wait's own deadline
    """Wait until the process has ended; False when it still runs after `timeout` seconds."""
    try:
        descriptor = open_pidfd(identity.pid)
    except ProcessLookupError:
        return True
    if descriptor is None:
        return await _poll(identity, timeout)
    try:
        # Asked after opening: from here on the descriptor is this very process's or it has already ended.
        if not identity.alive():
            return True
        return await _readable(descriptor, timeout)
    finally:
        os.close(descriptor)


async def _readable(descriptor: int, timeout: float) -> bool:  # noqa: ASYNC109
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(timeout):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True


async def _poll(identity: ProcessIdentity, timeout: float) -> bool:  # noqa: ASYNC109
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause = POLL_FIRST_S
    while identity.alive():
        left = deadline - loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, POLL_LONGEST_S)
    return True
