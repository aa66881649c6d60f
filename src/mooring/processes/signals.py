"""Ending a process group politely, then surely."""

from __future__ import annotations

import signal

from mooring.processes.groups import kill_rest, signal_group
from mooring.processes.identity import ProcessIdentity
from mooring.processes.pidfd import wait_for_exit

KILL_WAIT_S = 5.0
"""How long a killed process may take to end: only one in an uninterruptible system call needs any of it."""


async def terminate_group(identity: ProcessIdentity, grace_s: float) -> bool:
    """SIGTERM to the group, SIGKILL to what is left of it after `grace_s` seconds or when its leader has ended.

    Returns whether the leader has ended. Nothing is signalled when `identity` is gone: its pid may be another's.
    """
    if not signal_group(identity, signal.SIGTERM):
        return True
    if await wait_for_exit(identity, grace_s):
        kill_rest(identity)
        return True
    signal_group(identity, signal.SIGKILL)
    return await wait_for_exit(identity, KILL_WAIT_S)
