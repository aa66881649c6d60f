"""One child process: started, found ready, ended, started again after a pause."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence

from mooring.supervisor.children import ChildSpec

BACKOFF_FIRST_S = 0.05
BACKOFF_LONGEST_S = 5.0
SETTLED_S = 10.0
"""A child that lived this long is not failing: the next pause is the first again."""


class Child:
    """The life of one `ChildSpec`. It never waits: the supervisor's loop asks and tells."""

    def __init__(self, spec: ChildSpec, lifeline: int, inherited: Sequence[int]) -> None:
        self.spec = spec
        self.ready = False
        self.failures = 0
        """Ends in a row, each within `SETTLED_S` of its start."""
        self.pid: int | None = None
        self.ready_fd: int | None = None
        """Readable when the child says that it serves; ours to close."""
        self.restart_at: float | None = None
        self._lifeline = lifeline
        self._inherited = tuple(inherited)
        self._started_at = 0.0

    @property
    def running(self) -> bool:
        """Whether there is a process that was not reaped yet."""
        return self.pid is not None

    def start(self) -> None:
        """Start the process; raises OSError when the system refuses."""
        self.restart_at = None
        self._started_at = time.monotonic()
        self.ready_fd, theirs = os.pipe()
        try:
            self._spawn([*self.spec.descriptors, ("--lifeline-fd", self._lifeline), ("--ready-fd", theirs)])
        except OSError:
            self.close_ready()
            raise
        finally:
            os.close(theirs)

    def _spawn(self, flags: Sequence[tuple[str, int]]) -> None:
        words = [word for flag, descriptor in flags for word in (flag, str(descriptor))]
        process = subprocess.Popen(
            [*self.spec.command, *words],
            stdin=subprocess.DEVNULL,
            pass_fds=[*(descriptor for _, descriptor in flags), *self._inherited],
            env={**_inherited(), **self.spec.environment},
            start_new_session=True,
        )
        self.pid = process.pid
        # We reap every process ourselves: Popen must neither wait for this one nor warn that nobody did.
        process.returncode = 0

    def start_in(self, seconds: float) -> None:
        """Plan the first start."""
        self.restart_at = time.monotonic() + seconds

    def report_ready(self) -> bool:
        """Read the ready descriptor; True when the child serves, False when it ended without having said so."""
        assert self.ready_fd is not None
        self.ready = os.read(self.ready_fd, 1) == b"1"
        self.close_ready()
        return self.ready

    def close_ready(self) -> None:
        """Close our end of the ready pipe, if it is open."""
        if self.ready_fd is not None:
            os.close(self.ready_fd)
            self.ready_fd = None

    def ended(self) -> None:
        """Note that the process was reaped, and when to start the next one."""
        self.pid = None
        self.postpone()

    def postpone(self) -> None:
        """Plan the next start: at once-ish after a settled life, later and later after short ones."""
        now = time.monotonic()
        self.ready = False
        self.close_ready()
        self.failures = 1 if now - self._started_at >= SETTLED_S else self.failures + 1
        self.restart_at = now + min(BACKOFF_FIRST_S * 2 ** min(self.failures - 1, 10), BACKOFF_LONGEST_S)

    def terminate(self) -> None:
        """Ask the process to stop."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and all of its session's first group."""
        if self.pid is not None:
            kill_unreaped_group(self.pid)


def kill_unreaped_group(pid: int) -> None:
    """SIGKILL to the group of a child that was not reaped, so that the number is certainly its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _inherited() -> dict[str, str]:
    """Our environment without settings: a child has them resolved, and only those that it needs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MOORING_")}
