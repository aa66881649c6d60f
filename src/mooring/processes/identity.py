"""Who a process is, beyond its pid.

A pid alone proves nothing: it may have been given to another process since it was written down. A pid together with
the start time (kernel ticks since boot) and the boot's id is never used twice, so a record of the three can be trusted
after any crash of ours. A zombie has an identity, but is not alive: it computes nothing and holds nothing.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mooring.processes.files import read_small

PS_TIMEOUT_S = 5.0
_DEAD_STATES = frozenset("ZXx")


class _Stat(NamedTuple):
    state: str
    start_time: str


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process of one boot of this machine."""

    pid: int
    start_time: str
    boot_id: str

    def alive(self) -> bool:
        """Whether this very process runs: not another one with its pid, not a zombie."""
        found = self._stat()
        return found is not None and found.state not in _DEAD_STATES

    def present(self) -> bool:
        """Whether this very process is in the process table, be it as a zombie: its pid and group are then its own."""
        return self._stat() is not None

    def _stat(self) -> _Stat | None:
        if self.boot_id != boot_id():
            return None
        found = _stat(self.pid)
        return found if found is not None and found.start_time == self.start_time else None

    def to_document(self) -> dict[str, object]:
        """For JSON; `from_document` is the inverse."""
        return {"pid": self.pid, "start_time": self.start_time, "boot_id": self.boot_id}

    @staticmethod
    def from_document(document: Mapping[str, object]) -> ProcessIdentity:
        """From a JSON object, which may hold more; raises ValueError when a field is missing or of a wrong kind."""
        pid, started, boot = (document.get(name) for name in ("pid", "start_time", "boot_id"))
        if type(pid) is not int or pid <= 0 or not isinstance(started, str) or not isinstance(boot, str):
            raise ValueError(f"not the identity of a process: {dict(document)!r}")
        return ProcessIdentity(pid, started, boot)

    @staticmethod
    def read(path: Path) -> ProcessIdentity | None:
        """From a JSON file; None when it is missing or does not hold an identity."""
        try:
            document = json.loads(read_small(path))
            return ProcessIdentity.from_document(document) if isinstance(document, dict) else None
        except (OSError, ValueError):
            return None


def of(pid: int) -> ProcessIdentity | None:
    """The identity of the process that has `pid` now; None when there is none."""
    started = start_time(pid)
    return None if started is None else ProcessIdentity(pid, started, boot_id())


def start_time(pid: int) -> str | None:
    """When the process began, as opaque text to compare; None when there is no such process. A zombie still has one."""
    found = _stat(pid)
    return None if found is None else found.start_time


@functools.cache
def boot_id() -> str:
    """What names this boot of the machine."""
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return _output(["sysctl", "-n", "kern.boottime"])


def _stat(pid: int) -> _Stat | None:
    return _stat_of_proc(pid) if sys.platform == "linux" else _stat_of_ps(pid)


def _stat_of_proc(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command is in parentheses and may itself hold spaces and parentheses: fields are counted after the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return _Stat(fields[0].decode(), fields[19].decode())


def _stat_of_ps(pid: int) -> _Stat | None:
    state, _, started = _output(["ps", "-o", "state=,lstart=", "-p", str(pid)]).partition(" ")
    return _Stat(state[:1], started.strip()) if started else None


def _output(command: list[str]) -> str:
    found = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=PS_TIMEOUT_S,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )
    return found.stdout.strip()
