"""Collecting what ended: our children, and the orphans that the kernel gives us as a child subreaper.

A replica's parent is its zygote or control. When that parent is gone, we reap the replica, and leave its exit record
where the next control looks for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mooring.processes.exits import write_exit
from mooring.processes.groups import signal_group
from mooring.processes.identity import ProcessIdentity, start_time
from mooring.supervisor.child import kill_unreaped_group

logger = logging.getLogger("mooring.supervisor")

IDENTITY = "identity.json"
KILL_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that was reaped."""

    pid: int
    status: int
    """As `os.waitpid` returns it."""

    @property
    def code(self) -> int:
        """The exit code; negative for the signal that ended it."""
        return os.waitstatus_to_exitcode(self.status)

    def __str__(self) -> str:
        return f"exit code {self.code}" if self.code >= 0 else f"signal {-self.code}"


def reap(is_child: Callable[[int], bool], replicas: Path) -> Iterator[Ended]:
    """Reap all that has ended, with what is left of its group; orphaned replicas get their exit record."""
    if not hasattr(os, "waitid"):
        yield from _reap_blindly()
        return
    while (pid := _peek()) is not None:
        replica = None if is_child(pid) else _recorded(replicas, pid)
        # Before reaping: a zombie still owns its number, so this group can be no other's.
        if replica is not None or is_child(pid):
            kill_unreaped_group(pid)
        ended = Ended(*os.waitpid(pid, 0))
        if replica is not None:
            _record_exit(replica, ended)
        yield ended


def _reap_blindly() -> Iterator[Ended]:
    # macOS can neither look before it reaps nor give us orphans. The group is still ours: no pid is used again so soon.
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            kill_unreaped_group(found[0])
            yield Ended(*found)


def _peek() -> int | None:
    """The pid of a process that has ended and was not reaped."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    with contextlib.suppress(ChildProcessError):
        found = os.waitid(os.P_ALL, 0, options)
        return None if found is None else found.si_pid
    return None


def _recorded(replicas: Path, pid: int) -> Path | None:
    started = start_time(pid)
    for directory, identity in _identities(replicas):
        if identity.pid == pid and identity.start_time == started:
            return directory
    return None


def _identities(replicas: Path) -> Iterator[tuple[Path, ProcessIdentity]]:
    for path in replicas.glob(f"*/{IDENTITY}"):
        if (identity := ProcessIdentity.read(path)) is not None:
            yield path.parent, identity


def _record_exit(directory: Path, ended: Ended) -> None:
    logger.info("orphaned replica %s ended: %s", directory.name, ended)
    try:
        write_exit(directory, pid=ended.pid, status=ended.status, reaped_by="supervisor")
    except OSError as error:
        logger.warning("cannot record the end of replica %s: %s", directory.name, error)


def living(replicas: Path) -> dict[str, ProcessIdentity]:
    """Every recorded replica that is alive, by id."""
    return {directory.name: identity for directory, identity in _identities(replicas) if identity.alive()}


def child_pids() -> set[int]:
    """The pids of this process's children, orphans that it was given included; empty where the kernel does not tell."""
    try:
        return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    except (OSError, ValueError):
        return set()


def kill_orphans(ours: Callable[[int], bool], collect: Callable[[], None]) -> int:
    """Kill what models left running: orphans become our children, and theirs do in turn. Returns how many there were.

    `ours` says which children are not to be touched. `collect` reaps; until then a pid is no other process's.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_WAIT_S
    while time.monotonic() < deadline:
        orphans = {pid for pid in child_pids() if not ours(pid)}
        if not orphans:
            break
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= orphans
        time.sleep(0.005)
        collect()
    return len(killed)


def kill_replicas(replicas: Path, collect: Callable[[], None]) -> dict[str, ProcessIdentity]:
    """Kill every recorded replica that is still alive and wait until it is gone, collecting what we must reap.

    Returns those that were killed, by id. After `KILL_WAIT_S` one that the kernel still holds is left to it.
    """
    found = living(replicas)
    for identity in found.values():
        signal_group(identity, signal.SIGKILL)
    deadline = time.monotonic() + KILL_WAIT_S
    while any(identity.alive() for identity in found.values()) and time.monotonic() < deadline:
        time.sleep(0.005)
    collect()
    return found
