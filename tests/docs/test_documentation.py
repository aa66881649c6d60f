"""Documentation that cannot rot: settings, commands and operations are on their pages, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.api.operations import OPERATIONS

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_the_settings_page_is_what_the_settings_say() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "settings_page.py", "--check"], check=False)
    assert done.returncode == 0, "run scripts/settings_page.py"


def test_every_operation_is_on_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    missing = [operation for service in OPERATIONS.values() for operation in service if f"`{operation}`" not in page]
    assert not missing


def test_every_command_is_in_the_readme() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("mooring"), "--help"], capture_output=True, text=True, check=True
    )
    commands = re.findall(r"^[│\s]+([a-z]+)\s{2,}", done.stdout, re.MULTILINE)
    assert {"serve", "status", "logs", "stop", "endpoints", "version"} <= set(commands)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert not [command for command in commands if f"mooring {command}" not in readme]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
