"""Terraform and AWS's provider for it: where they are found, or why they are not, and their commands.

The provider is half a gigabyte, and only HashiCorp's registry has it. Before that is asked, it is looked for in
$MOORING_TEST_TERRAFORM_PLUGINS and in mirrors below /opt; at the usual directories Terraform looks by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.running import Server
from tests.clients.running import SCRIPTS, Runner

CHANGES = 2
"""The status of `plan` when there is something to do."""
PROVIDER = "registry.terraform.io/hashicorp/aws"
_VARIABLE = "MOORING_TEST_TERRAFORM_PLUGINS"
_UNREACHABLE = ("Failed to query available provider packages", "Could not retrieve the list of available versions")


class Terraform:
    """Its commands against one server."""

    def __init__(self, runner: Runner, server: Server) -> None:
        self._runner = runner
        self._data = server.data

    def run(self, *arguments: str, status: int = 0) -> str:
        """`terraform` with these arguments; what it printed."""
        alone = ("env", "CHECKPOINT_DISABLE=1", "terraform")
        return self._runner.run_command(self._data, *alone, *arguments, status=status)

    def apply(self, *flags: str) -> str:
        """Make what is not there, and change what differs."""
        return self.run("apply", "-no-color", "-auto-approve", "-input=false", *flags)

    def plan(self, *flags: str, status: int) -> str:
        """Look for what `apply` would do."""
        return self.run("plan", "-no-color", "-detailed-exitcode", "-input=false", *flags, status=status)

    def plan_is_empty(self, *flags: str) -> None:
        """Nothing that the provider reads differs from what it was told to make."""
        assert "No changes." in self.plan(*flags, status=0)

    def destroy(self, *flags: str) -> str:
        """Delete all that it made."""
        return self.run("destroy", "-no-color", "-auto-approve", *flags)


def initialize(configuration: str, directory: Path) -> str:
    """Terraform's version and its provider's; `directory` gets the configuration, and is initialized."""
    if not shutil.which("terraform"):
        pytest.skip("Terraform is not installed")
    shutil.copytree(SCRIPTS / configuration, directory, dirs_exist_ok=True)
    mirror = [f"-plugin-dir={each}" for each in _mirrors()[:1]]
    done = _run(directory, "init", "-no-color", "-input=false", *mirror)
    if done.returncode != 0:
        if any(words in done.stdout + done.stderr for words in _UNREACHABLE):
            pytest.skip(f"Terraform's provider for AWS cannot be fetched here, and is not in ${_VARIABLE}")
        pytest.fail(done.stdout + done.stderr)
    said = json.loads(_run(directory, "version", "-json").stdout)
    return f"{said['terraform_version']}, provider {said['provider_selections'][PROVIDER]}"


def _mirrors() -> list[Path]:
    named = os.environ.get(_VARIABLE)
    return [Path(named)] if named else [each.parents[2] for each in Path("/opt").glob(f"*/{PROVIDER}")]


def _run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1"}
    command = ["terraform", f"-chdir={directory}", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
