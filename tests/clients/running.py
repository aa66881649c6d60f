"""Scripts as people have them, run unchanged against a server, and watched for what leaves this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.running import MOORING

SCRIPTS = Path(__file__).with_name("scripts")
RECORDING = Path(__file__).with_name("recording")
LONGEST_S = 120
_NOT_PASSED = ("AWS_", "SAGEMAKER_", "MLFLOW_", "MOORING_", "PYTHON", "XDG_")


class Runner:
    """Runs commands in a directory of the test's own, with the programs of one environment first on the path."""

    def __init__(self, programs: Path | None, directory: Path, longest_s: float = LONGEST_S) -> None:
        self._programs = programs
        self.directory = directory
        self._longest_s = longest_s
        self._left = directory / "left-this-machine"

    def run(self, script: Path, data: Path, *arguments: str) -> str:
        """`mooring run -- python script.py`; what it printed."""
        return self.run_command(data, "python", script, *arguments)

    def run_command(self, data: Path, *command: str | Path, status: int = 0) -> str:
        """`mooring run -- command`; what it printed."""
        return self._done([MOORING, "run", "--data-dir", data, "--", *command], status)

    def run_in_shell(self, script: Path, data: Path) -> str:
        """`eval "$(mooring env)"`, then `python script.py`."""
        words = [shlex.quote(str(word)) for word in (MOORING, data, "python", script)]
        return self._done(["sh", "-ec", 'eval "$({} env --data-dir {})"; exec {} {}'.format(*words)])

    def left_this_machine(self) -> str:
        """Connections and look-ups of names that Python programs made, one a line."""
        return self._left.read_text() if self._left.exists() else ""

    def _done(self, command: list[str | Path], status: int = 0) -> str:
        done = subprocess.run(
            command,
            env=self._environment(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=self._longest_s,
            check=False,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        assert not self.left_this_machine()
        return done.stdout

    def _environment(self) -> Mapping[str, str]:
        """Nothing of the person's who runs the tests: no keys, no configuration, no caches but the environment's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED)}
        own = {"HOME": str(self.directory), "PYTHONPATH": str(RECORDING), "LEFT_THIS_MACHINE": str(self._left)}
        if self._programs is not None:
            own["PATH"] = f"{self._programs}{os.pathsep}{kept['PATH']}"
        return {**kept, **own}
