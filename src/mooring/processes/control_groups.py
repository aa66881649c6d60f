"""Linux's control groups: the kernel's own limits of memory and processors for some processes and all that they start.

Both generations are known: v1 has a hierarchy for memory and one for processors, v2 one for everything. A group of ours
is made below the one that this process is in, or beside it where v2 allows none below; so whatever limits this process
as a whole goes on limiting what it starts. Nothing outside a directory that was made here is written to, but for v2's
list of controllers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PERIOD_US = 100_000
END_TIMEOUT_S = 2.0
PROC = Path("/proc/self")
_MOST_AND_LIMIT = ("memory.max_usage_in_bytes", "memory.limit_in_bytes")
_FULL = 0.98
"""The kernel charges in batches, and gives up before the last."""
_DELEGATED = ("trusted.delegate", "user.delegate")
"""systemd's marks of a group whose inside is not its own business."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where groups may be made: a directory of the hierarchy of memory, and one of that of processors if there is."""

    memory: Path
    cpu: Path | None
    unified: bool

    def group(self, name: str) -> ControlGroup:
        """The group of this name, which need not be there."""
        above = (self.memory,) if self.cpu in (None, self.memory) else (self.memory, self.cpu)
        return ControlGroup(tuple(str(each / name) for each in above if each is not None))


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One group: its directory below memory, and the one below processors where that is another."""

    directories: tuple[str, ...]

    def make(self, memory_bytes: int, vcpus: float) -> None:
        """Make it, with its limits. Raises OSError; `end` takes back what was made by then."""
        directories = [Path(directory) for directory in self.directories]
        for directory in directories:
            directory.mkdir(exist_ok=True)
        memory = self._memory
        if (memory / "memory.max").exists():
            _write(memory / "memory.max", memory_bytes)
            _write_if_there(memory / "memory.swap.max", 0)
            _write_if_there(memory / "memory.oom.group", 1)
        else:
            _write(memory / "memory.limit_in_bytes", memory_bytes)
            _write_if_there(memory / "memory.memsw.limit_in_bytes", memory_bytes)
        quota = max(int(vcpus * PERIOD_US), 1000)
        for directory in directories:
            _write_if_there(directory / "cpu.max", f"{quota} {PERIOD_US}")
            _write_if_there(directory / "cpu.cfs_period_us", PERIOD_US)
            _write_if_there(directory / "cpu.cfs_quota_us", quota)
            # What was not used of one period may be used in the next: a short call is then seldom made to wait.
            _write_if_there(directory / "cpu.max.burst", quota)
            _write_if_there(directory / "cpu.cfs_burst_us", quota)

    def add(self, pid: int) -> None:
        """Move a process in: what it has used stays with where it was, what it uses from now on is limited."""
        for directory in self.directories:
            _write(Path(directory) / "cgroup.procs", pid)

    @property
    def limits_processors(self) -> bool:
        """Whether it has a share of the processors, and not only of memory."""
        names = ("cpu.max", "cpu.cfs_quota_us")
        return any((Path(directory) / name).exists() for directory in self.directories for name in names)

    def outgrown(self) -> bool:
        """Whether the kernel has killed of its processes because they used more memory than they may.

        It also kills when the whole machine has no more, and counts that alike; then the group's limit was not reached.
        """
        with contextlib.suppress(OSError, ValueError):
            events = self._memory / "memory.events"
            return _field(events, "oom_kill") > 0 and _field(events, "oom") > 0
        with contextlib.suppress(OSError, ValueError):
            killed = _field(self._memory / "memory.oom_control", "oom_kill") > 0
            most, limit = (int((self._memory / name).read_text()) for name in _MOST_AND_LIMIT)
            return killed and most >= limit * _FULL
        return False

    def used_bytes(self) -> int | None:
        """What it uses, without the files that the kernel would drop first; None when it is gone."""
        for usage, dropped in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
            with contextlib.suppress(OSError, ValueError):
                used = int((self._memory / usage).read_text())
                return max(used - _field(self._memory / "memory.stat", dropped), 0)
        return None

    def end(self, timeout_s: float = END_TIMEOUT_S) -> bool:
        """Kill what is still in it, and in groups made inside, and remove it; False when it is there after `timeout_s`.

        Each call kills at least once.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = [directory for directory in self.directories if not _removed(directory)]
            if not left:
                return True
            for directory in left:  # to die takes processors too
                _write_if_there(Path(directory) / "cpu.max", "max")
                _write_if_there(Path(directory) / "cpu.cfs_quota_us", -1)
            for directory in left:
                for each in _with_those_inside(directory):
                    for pid in _members(each):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)

    @property
    def _memory(self) -> Path:
        return Path(self.directories[0])


def place(proc: Path = PROC) -> Place:
    """Where this process may make groups. Raises OSError that says why nowhere."""
    mine = dict(_memberships(proc))
    mounts = list(_mounts(proc))
    memory = _directory(mounts, mine, "memory")
    if memory is not None:
        return Place(memory, _directory(mounts, mine, "cpu"), unified=False)
    own = _directory(mounts, mine, "")
    if own is None:
        raise OSError("no control groups are mounted")
    above = _with_controllers(own)
    return Place(above, above, unified=True)


def prove(where: Place, name: str) -> None:
    """Make a group, move a process into it, remove it. Raises OSError; leaves nothing behind."""
    group = where.group(name)
    try:
        group.make(64 * 2**20, 1.0)
        child = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
        try:
            group.add(child.pid)
            if any(child.pid not in _members(directory) for directory in group.directories):
                raise OSError("a process does not stay in the control group that it was moved into")
        finally:
            child.kill()
            child.wait()
    finally:
        if not group.end():
            raise OSError("a control group cannot be removed")


def _memberships(proc: Path) -> Iterator[tuple[str, str]]:
    """(controller, path) of this process; of v2 the controller is empty."""
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(proc: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """(root, mount point, controllers) of every hierarchy, see proc(5); v2 has one controller, the empty one."""
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            fields = before.split()
            yield fields[3], Path(fields[4]), [""] if kind == "cgroup2" else options.split(",")


def _directory(mounts: list[tuple[str, Path, list[str]]], mine: dict[str, str], controller: str) -> Path | None:
    path = mine.get(controller)
    if path is None:
        return None
    for root, point, controllers in mounts:
        if controller in controllers and (path + "/").startswith(root.rstrip("/") + "/"):
            return point / path[len(root.rstrip("/")) :].lstrip("/")
    return None


def _with_controllers(own: Path) -> Path:
    """This group of v2, or else the one above it if it is ours to fill, with memory's controller for its children."""
    refusal = OSError("the control group of this process has no controller for memory")
    for directory in (own, own.parent):
        if directory != own and not _is_delegated(directory):
            continue
        try:
            have = set((directory / "cgroup.controllers").read_text().split())
            given = set((directory / "cgroup.subtree_control").read_text().split())
            if "memory" not in have:
                continue
            if missing := sorted({"memory", "cpu"} & (have - given)):
                _write(directory / "cgroup.subtree_control", " ".join(f"+{each}" for each in missing))
            return directory
        except OSError as error:  # most often: it has processes of its own
            refusal = error
    raise refusal


def _is_delegated(directory: Path) -> bool:
    if not (directory / "cgroup.procs").exists():
        return False  # above the mount
    if os.geteuid() != 0:
        return os.access(directory / "cgroup.procs", os.W_OK)
    for mark in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(directory, mark) == b"1":
                return True
    return False


def _members(directory: str) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(pid) for pid in (Path(directory) / "cgroup.procs").read_text().split()]
    return []


def _with_those_inside(directory: str) -> list[str]:
    """A group and the groups that its processes have made in it, the innermost first."""
    return [name for name, _, _ in os.walk(directory, topdown=False)]


def _removed(directory: str) -> bool:
    try:
        for each in _with_those_inside(directory):
            Path(each).rmdir()
    except FileNotFoundError:
        return not Path(directory).exists()
    except OSError:
        return False
    return True


def _write(path: Path, value: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"{value}\n".encode())
    finally:
        os.close(descriptor)


def _write_if_there(path: Path, value: object) -> None:
    # v1 refuses a larger share than the group above has; then that one's is the limit.
    with contextlib.suppress(OSError):
        _write(path, value)


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(name)
