"""Signalling a whole process group, and never somebody else's.

A process of ours that leads a group owns the group's number for as long as it is in the process table, even as a
zombie. So the identity is verified first; a process that does not lead a group (a fork that has not called setsid
yet) is signalled alone, because its group is its parent's.
"""

from __future__ import annotations

import os
import signal

from mooring.processes.identity import ProcessIdentity, start_time


def signal_group(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """Send a signal to the group that `identity` leads, or to it alone; False when it is gone."""
    if not identity.present():
        return False
    try:
        if os.getpgid(identity.pid) == identity.pid:
            os.killpg(identity.pid, number)
        else:
            os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS answers so for a group of zombies; on Linux the process has changed its user, and is not ours to end.
        return not identity.alive()
    return True


def kill_rest(identity: ProcessIdentity) -> None:
    """SIGKILL what is left of the group of a leader that was verified a moment ago and has ended since."""
    # The kernel does not give a number to a new process while a group still has it; a process that has
    # this pid and another start time therefore means that our group is gone and its number in use again.
    if start_time(identity.pid) not in (None, identity.start_time):
        return
    try:
        os.killpg(identity.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
