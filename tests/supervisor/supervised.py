"""A supervisor in a process of its own, over fake children, as the tests see it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mooring.paths import Paths

DRIVER = Path(__file__).with_name("driver.py")
GATEWAY = {"name": "gateway 0", "listen": 0, "order": 0}
CONTROL = {"name": "control", "order": 1}
OBJECTS = {"name": "objects", "order": 2, "awaited": False}


def wait_until(true: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)
    return found


@dataclasses.dataclass
class Server:
    """One supervisor in a process of its own."""

    process: subprocess.Popen[str]
    paths: Paths
    notes: Path

    def document(self) -> dict[str, Any]:
        """`server.json`, once it is there."""
        wait_until(lambda: self.paths.server_file.exists() or self.process.poll() is not None)
        return json.loads(self.paths.server_file.read_text())

    def port(self) -> int:
        return int(self.document()["url"].rpartition(":")[2])

    def log(self) -> list[str]:
        """What the children noted, without the pids."""
        return [line.rpartition(" ")[0] for line in self._lines()]

    def pids(self, what: str) -> list[int]:
        """The pids of those who noted `what`, oldest first."""
        return [int(line.rpartition(" ")[2]) for line in self._lines() if line.startswith(what + " ")]

    def _lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.notes / "log").read_text().splitlines()
        return []

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def output(self) -> tuple[str, str]:
        """Standard output and error, after the end."""
        return self.process.communicate(timeout=20)
