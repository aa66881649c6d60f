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
_NOT_PASSED = ("AWS_", "SAGEMAKER_", "MOORING_", "PYTHON", "XDG_")


class Runner:
    """Runs scripts with one interpreter, in a directory of the test's own."""

    def __init__(self, python: Path, directory: Path) -> None:
        self._python = python
        self._directory = directory
        self._left = directory / "left-this-machine"

    def run(self, script: Path, data: Path, *arguments: str) -> str:
        """`mooring run -- python script.py`; what it printed."""
        return self._done([MOORING, "run", "--data-dir", data, "--", self._python, script, *arguments])

    def run_in_shell(self, script: Path, data: Path) -> str:
        """`eval "$(mooring env)"`, then `python script.py`."""
        words = [shlex.quote(str(word)) for word in (MOORING, data, self._python, script)]
        return self._done(["sh", "-ec", 'eval "$({} env --data-dir {})"; exec {} {}'.format(*words)])

    def left_this_machine(self) -> str:
        """Connections and look-ups of names, one a line."""
        return self._left.read_text() if self._left.exists() else ""

    def _done(self, command: list[str | Path]) -> str:
        done = subprocess.run(
            command, env=self._environment(), cwd=self._directory, capture_output=True, text=True, timeout=LONGEST_S
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert not self.left_this_machine()
        return done.stdout

    def _environment(self) -> Mapping[str, str]:
        """Nothing of the person's who runs the tests: no keys, no configuration, no caches but the environment's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED)}
        own = {"HOME": str(self._directory), "PYTHONPATH": str(RECORDING), "LEFT_THIS_MACHINE": str(self._left)}
        return {**kept, **own}
