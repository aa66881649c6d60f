"""The machine: interpreter, memory, descriptors, GPUs."""

from __future__ import annotations

import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mooring.cli.doctor.findings import Finding, Scene, fail, ok, warn

OLDEST_PYTHON = (3, 11)
LITTLE_MEMORY, TOO_LITTLE_MEMORY = 1_000_000_000, 250_000_000
FEW_DESCRIPTORS, TOO_FEW_DESCRIPTORS = 1024, 256
"""A gateway holds two for each call that is under way, and every replica has a handful."""
ASKED_WITHIN_S = 10.0
_CGROUP = Path("/sys/fs/cgroup")


def python(scene: Scene) -> Iterable[Finding]:
    """Version and operating system."""
    version, system = platform.python_version(), platform.system()
    text = f"{version} at {sys.executable} on {system} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        yield fail("python", text, "Mooring needs Python 3.11 or newer")
    elif system not in ("Linux", "Darwin"):
        yield fail("python", text, "Mooring runs on Linux, and on macOS for development; on Windows through WSL")
    else:
        yield ok("python", text)


def memory(scene: Scene, meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> Iterable[Finding]:
    """What is free for replicas, in this container if there is one."""
    free = _available(meminfo)
    if free is None:
        yield ok("memory", "how much is free cannot be told on this system")
        return
    left = _left_in_cgroup(cgroup)
    where = "" if left is None or left >= free else " of this container"
    free = free if left is None else min(free, left)
    text = f"{free / 1e9:.1f} GB{where} are free; a replica takes 0.1 GB and its model"
    if free < TOO_LITTLE_MEMORY:
        yield fail("memory", text, "end other programs, or give the machine more")
    elif free < LITTLE_MEMORY:
        yield warn("memory", text, "few replicas will fit")
    else:
        yield ok("memory", text)


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _left_in_cgroup(cgroup: Path) -> int | None:
    try:
        most, used = (cgroup / "memory.max").read_text().strip(), (cgroup / "memory.current").read_text()
    except OSError:
        return None
    return int(most) - int(used) if most.isdigit() else None


def descriptors(scene: Scene) -> Iterable[Finding]:
    """How many files and connections a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{_limit(soft)} open files a process (ulimit -n), {_limit(hard)} at the most"
    if soft != resource.RLIM_INFINITY and soft < FEW_DESCRIPTORS:
        complain = fail if soft < TOO_FEW_DESCRIPTORS else warn
        yield complain("open files", text, "`ulimit -n 65536` in the shell that starts `mooring serve`")
    else:
        yield ok("open files", text)


def _limit(value: int) -> str:
    return "any number" if value == resource.RLIM_INFINITY else str(value)


def gpus(scene: Scene) -> Iterable[Finding]:
    """NVIDIA's, as its driver names them."""
    names, problem = nvidia()
    if problem:
        yield warn("gpu", problem, "models run on the CPU until NVIDIA's driver works")
    else:
        yield ok("gpu", ", ".join(names) if names else "none, models run on the CPU")


def nvidia() -> tuple[list[str], str]:
    """The names of the GPUs, and what is wrong with their driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], ""
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ASKED_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"{program} did not answer: {type(error).__name__}"
    if asked.returncode != 0:
        said = (asked.stdout + asked.stderr).strip().splitlines() or ["nothing"]
        return [], f"{program} failed: {said[0]}"
    return [line.strip() for line in asked.stdout.splitlines() if line.strip()], ""
