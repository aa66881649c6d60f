"""What a reader must know beside figures: the machine, the versions and the day."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path


def described_machine() -> str:
    """In one line."""
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )


def versions(distributions: Sequence[str], programs: Sequence[Sequence[str]] = ()) -> str:
    """Of distributions that are installed here, and of programs by the command that tells it."""
    found = []
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    for command in programs:
        with contextlib.suppress(OSError):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            told = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
            found.append(f"{Path(command[0]).name} {told[0] if told else '(of unknown version)'}")
    return ", ".join(found)


def commit() -> str:
    """The commit that is measured, where this is a checkout."""
    with contextlib.suppress(OSError):
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()
    return ""


def busy() -> str:
    """How much else ran in the last minute."""
    return f"load average before: {os.getloadavg()[0]:.1f}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        told = re.search(r"(?m)^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text())
        if told is not None:
            return f"{platform.machine()} ({told[1]})"
    return platform.machine()
