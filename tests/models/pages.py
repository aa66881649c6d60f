"""The pages of docs/models as programs: what they ask to be installed, which files they show, what they run and print.

A block whose first line is `# code/<name>` is that file. The other Python blocks, one after the other, are the program,
and a comment behind a `print` is what it must print.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.running import MOORING, Server
from tests.models.installing import installed, python_for

DIRECTORY = Path(__file__).parents[2] / "docs" / "models"
NAMES = sorted(page.stem for page in DIRECTORY.glob("*.md") if page.name != "README.md")
PROGRAM = "page.py"

_INSTALL = re.compile(r"`pip install ([^`]+)`")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (code/[\w./]+)\n")
_PRINT = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
_ENDPOINT = re.compile(r'create_endpoint\(EndpointName="([\w-]+)"')


@dataclass(frozen=True)
class Page:
    """One page, taken apart."""

    requirements: tuple[str, ...]
    """What the first `pip install` of the page names."""
    files: dict[str, str]
    program: str

    @property
    def printed(self) -> list[str]:
        """The lines that the program says it prints."""
        return _PRINT.findall(self.program)

    @property
    def endpoint(self) -> str:
        """The endpoint that the program makes."""
        found = _ENDPOINT.search(self.program)
        assert found
        return found[1]


def text(name: str) -> str:
    """The page of that name."""
    return (DIRECTORY / f"{name}.md").read_text("utf-8")


def read(name: str) -> Page:
    """The page of that name, taken apart."""
    page = text(name)
    install = _INSTALL.search(page)
    assert install, f"{name}.md does not say what to install"
    files: dict[str, str] = {}
    program = ""
    for language, block in _BLOCK.findall(page):
        if named := _FILE.match(block):
            files[named[1]] = block
        elif language == "python":
            program += block
    return Page(tuple(install[1].split()), files, program)


def marks(name: str) -> list[pytest.MarkDecorator]:
    """`clients`, when an environment must be made to run the page."""
    return [] if all(map(installed, read(name).requirements)) else [pytest.mark.clients]


def run(page: Page, server: Server, directory: Path) -> subprocess.CompletedProcess[str]:
    """The page's program in a directory of its own, in a Python that has what it says to install."""
    for name, text in {**page.files, PROGRAM: page.program}.items():
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    python = python_for(*page.requirements)
    # Environments are compiled as they are imported, here also where the one who runs the tests turned that off.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [MOORING, "run", "--data-dir", server.data, "--", python, PROGRAM],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
