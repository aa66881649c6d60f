"""Two things that only Linux offers to a process about its relatives; elsewhere they do nothing."""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def set_child_subreaper() -> None:
    """Become the parent of descendants whose own parent dies, so that their exit status is not lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_parent_death_signal(number: signal.Signals) -> None:
    """Get this signal when the thread that forked us ends; kept over exec.

    The parent may have died before the call: compare `os.getppid()` with what it should be, afterwards.
    """
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, argument: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes  # 1 MB, which most processes do not need

    libc = ctypes.CDLL(None, use_errno=True)
    word = ctypes.c_ulong
    if libc.prctl(ctypes.c_int(option), word(argument), word(0), word(0), word(0)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
