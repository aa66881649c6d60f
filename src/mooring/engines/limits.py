"""What a replica may use: the memory of its MemorySizeInMB, and processors in proportion.

Guarantees: a replica is limited before it runs any model code; one that uses more memory than it may is killed whole
and alone, by the kernel or by the watchdog, and why it went is known; nothing that was made for a replica is left when
it is forgotten, whoever was killed in between, as it stands in the replica's run directory before it is made; the
limits of a replica that outlives control go on, and the next control knows them.

Control groups are the better way, because the kernel never looks away. Where none can be made, a thread adds up the
memory of each replica's processes a few times a second. RLIMIT_AS is no way: what a library reserves it may never use.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import random
import signal
import sys
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from mooring.errors import StartFailure
from mooring.hosting.serverless import MB_PER_VCPU
from mooring.processes import control_groups
from mooring.processes.control_groups import ControlGroup, Place
from mooring.processes.files import read_small, write_atomically
from mooring.processes.groups import kill_rest, signal_group
from mooring.processes.identity import ProcessIdentity
from mooring.processes.memory import proportional_bytes, resident_bytes
from mooring.processes.usage import usage_of_groups

log = logging.getLogger("mooring.engines")

FILE_NAME = "limits.json"
ONLY_GROUPS = "MOORING_SERVERLESS_LIMITS is cgroup, and no control group can be made"
LOOK_S = 0.25
LOOKS_A_SEARCH = 4
"""Looks between two searches for processes that a watched replica has started since."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What libraries ask how many threads they shall have, instead of what processors there are."""


class Way(StrEnum):
    """How replicas are limited: the values of the setting but `auto`."""

    CGROUP = "cgroup"
    WATCHDOG = "watchdog"
    OFF = "off"


class Found(NamedTuple):
    """The way that is taken here, and why it is not the better one."""

    way: Way
    why: str | None = None
    place: Place | None = None


@dataclass(slots=True)
class _Held:
    """One limited replica; without a group it is watched."""

    identity: ProcessIdentity
    memory_mb: int
    group: ControlGroup | None
    members: list[int] = field(default_factory=list)
    outgrown: bool = False


class Limits:
    """Of one control's replicas. `name` tells this control's trial group from another's."""

    def __init__(self, wanted: str, name: str) -> None:
        self._wanted = wanted
        self._name = name
        self._held: dict[str, _Held] = {}
        self._left: list[ControlGroup] = []
        """Groups of replicas that have gone, which could not be removed."""
        self._changed = threading.Condition()
        self._found: Found | None = None
        self._closed = False
        self._looks = 0
        threading.Thread(target=self._run, name="limits", daemon=True).start()

    def found(self) -> Found:
        """How replicas are limited here; waits for the trial, which takes some milliseconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._found is not None)
            assert self._found is not None
            return self._found

    def require(self) -> None:
        """Raises `StartFailure` where the settings want control groups and nothing else, and none can be made."""
        found = self.found()
        if self._wanted == Way.CGROUP and found.place is None:
            raise StartFailure(f"{ONLY_GROUPS}: {found.why}")

    def impose(self, replica_id: str, run_dir: Path, identity: ProcessIdentity, memory_mb: int) -> None:
        """Limit a replica that has not been released yet, with all that it will start. Raises `StartFailure`."""
        found = self.found()
        if found.way is Way.OFF:
            return
        self.require()
        group = None
        if found.place is not None:
            group = found.place.group(_group_name(replica_id))
            _note(run_dir, memory_mb, group)
            try:
                group.make(memory_mb * 2**20, vcpus_of(memory_mb))
                group.add(identity.pid)
            except OSError as error:
                group.end()
                if self._wanted == Way.CGROUP:
                    raise StartFailure(f"{ONLY_GROUPS}: {error}") from None
                log.warning("replica %s has no control group, it is watched instead: %s", replica_id, error)
                group = None
        if group is None:
            _note(run_dir, memory_mb, None)
        if group is None or not group.limits_processors:
            _keep_to_processors(identity.pid, threads_of(memory_mb))
        self._hold(replica_id, _Held(identity, memory_mb, group))

    def take_up(self, replica_id: str, run_dir: Path, identity: ProcessIdentity) -> None:
        """Go on with the limits of a replica that an earlier control started."""
        if (noted := _noted(replica_id, run_dir)) is not None:
            memory_mb, group = noted
            if group is not None or self._wanted != Way.OFF:
                self._hold(replica_id, _Held(identity, memory_mb, group))

    def failure(self, replica_id: str) -> str | None:
        """Why a replica that has gone was killed, if it was for its limit."""
        held = self._held.get(replica_id)
        if held is None or not (held.outgrown or (held.group is not None and held.group.outgrown())):
            return None
        return f"the model used more than its MemorySizeInMB of {held.memory_mb} MB"

    def used(self, replica_id: str) -> float | None:
        """How much of its memory a limited replica uses, of 1; None for one that is not limited, or has gone."""
        held = self._held.get(replica_id)
        if held is None:
            return None
        used = held.group.used_bytes() if held.group is not None else _proportional(held.identity)
        return used / (held.memory_mb * 2**20) if used is not None else None

    def release(self, replica_id: str, run_dir: Path) -> None:
        """Forget a replica that has gone, and end what it left in its control group."""
        with self._changed:
            self._held.pop(replica_id, None)
        noted = _noted(replica_id, run_dir)
        if noted is not None and noted[1] is not None and not noted[1].end():
            log.warning("the control group of replica %s cannot be removed yet", replica_id)
            with self._changed:
                self._left.append(noted[1])
                self._changed.notify_all()

    def close(self) -> None:
        """Stop watching. Control groups go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _hold(self, replica_id: str, held: _Held) -> None:
        with self._changed:
            self._held[replica_id] = held
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            found = _find(self._wanted, self._name)
        except Exception as error:
            log.exception("how replicas can be limited cannot be told")
            found = Found(Way.WATCHDOG, f"{type(error).__name__}: {error}")
        with self._changed:
            self._found = found
            self._changed.notify_all()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._held or self._left)
                self._changed.wait_for(lambda: self._closed, LOOK_S)
                if self._closed:
                    return
                held, left = list(self._held.items()), list(self._left)
            try:
                self._look(held)
                self._end(left)
            except Exception:
                log.exception("the memory of replicas cannot be watched")

    def _end(self, left: list[ControlGroup]) -> None:
        ended = [group for group in left if group.end(timeout_s=0)]
        if ended:
            with self._changed:
                self._left = [group for group in self._left if group not in ended]

    def _look(self, held: list[tuple[str, _Held]]) -> None:
        self._looks += 1
        watched = {each.identity.pid: each for _, each in held if each.group is None and not each.outgrown}
        if watched and self._looks % LOOKS_A_SEARCH == 0:
            for pid, usage in usage_of_groups(set(watched)).items():
                watched[pid].members = usage.pids or []
        for replica_id, each in held:
            if not each.outgrown and _has_outgrown(each):
                each.outgrown = True
                log.warning("replica %s used more than its %d MB and is killed", replica_id, each.memory_mb)
                signal_group(each.identity, signal.SIGKILL)
                kill_rest(each.identity)


def vcpus_of(memory_mb: int) -> float:
    """AWS says that they are in proportion to memory."""
    return memory_mb / MB_PER_VCPU


def threads_of(memory_mb: int) -> int:
    """How many threads can make use of those."""
    return math.ceil(vcpus_of(memory_mb))


def told(found: Found, memory_mb: int) -> str:
    """For an endpoint's history."""
    if found.way is Way.OFF:
        return f"memory is not limited to {memory_mb} MB ({found.why})"
    if found.way is Way.CGROUP:
        return f"each replica has {memory_mb} MB and {vcpus_of(memory_mb):.2f} vCPUs, by a control group of its own"
    return (
        f"each replica has {memory_mb} MB, by a look at its memory every {LOOK_S:g} s, and "
        f"{threads_of(memory_mb)} processors at the most (no control groups: {found.why})"
    )


def _find(wanted: str, name: str) -> Found:
    if wanted == Way.OFF:
        return Found(Way.OFF, "limits are off")
    if sys.platform != "linux":
        return Found(Way.OFF, "only Linux can")
    if wanted == Way.WATCHDOG:
        return Found(Way.WATCHDOG, "as the settings say")
    try:
        place = control_groups.place()
        control_groups.prove(place, f"mooring-trial-{name}")
    except (OSError, ValueError) as error:
        return Found(Way.WATCHDOG, str(error))
    return Found(Way.CGROUP, None, place)


def _has_outgrown(held: _Held) -> bool:
    if held.group is not None:
        return held.group.outgrown()  # v1 kills one process, and the rest may go on for a while
    limit, members = held.memory_mb * 2**20, held.members or [held.identity.pid]
    if sum(map(resident_bytes, members)) <= limit or not held.identity.alive():
        return False
    return (_proportional(held.identity) or 0) > limit


def _proportional(identity: ProcessIdentity) -> int | None:
    usage = usage_of_groups({identity.pid}).get(identity.pid)
    return sum(map(proportional_bytes, usage.pids or [])) if usage is not None else None


def _keep_to_processors(pid: int, count: int) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, random.sample(allowed, min(count, len(allowed))))


def _group_name(replica_id: str) -> str:
    return f"mooring-{replica_id}"


def _note(run_dir: Path, memory_mb: int, group: ControlGroup | None) -> None:
    document = {"memory_mb": memory_mb, "control_group": group.directories if group is not None else None}
    write_atomically(run_dir / FILE_NAME, json.dumps(document).encode())


def _noted(replica_id: str, run_dir: Path) -> tuple[int, ControlGroup | None] | None:
    """What `_note` wrote. The replica could have written it too: a group that is not named after it is none of its."""
    try:
        document = json.loads(read_small(run_dir / FILE_NAME))
        directories = document["control_group"]
        if directories is None:
            return int(document["memory_mb"]), None
        paths = [Path(str(each)) for each in directories]
        if not paths or any(each.name != _group_name(replica_id) or ".." in each.parts for each in paths):
            return None
        return int(document["memory_mb"]), ControlGroup(tuple(map(str, paths)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
