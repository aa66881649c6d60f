"""What goes into an environment, and the name that follows from it.

A model's own requirements have the last word: whatever distribution they name is left out of what Mooring asks for.
The name is a hash of everything that decides what is installed, so equal wishes share an environment; when uv later
finds newer packages for the same wish, what was made stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from mooring.engines.pins import name_of, running_python
from mooring.engines.zygotes import PLAIN
from mooring.errors import EnvironmentFailure
from mooring.processes.files import read_small

LARGEST_REQUIREMENTS_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of an environment."""

    packages: tuple[str, ...]
    """Requirements of Mooring's, the framework first."""
    python: str = ""
    """As uv is asked for it: `3.9`, a range, or empty for the one that runs Mooring."""
    requirements: Path | None = None
    """The model's own file."""
    torch_backend: str = ""
    """For uv's `--torch-backend`; empty leaves it to uv."""
    framework: str = PLAIN
    """Of the model server: what must be importable at the end."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A wish, read and named."""

    name: str
    python: str
    packages: tuple[str, ...]
    arguments: tuple[str, ...]
    """For `uv pip install`, besides the interpreter."""
    directory: Path | None
    """Where relative paths in the requirements begin."""
    file: str | None
    framework: str
    named: frozenset[str]
    """The distributions that the model's own file names."""

    def __str__(self) -> str:
        parts = [*self.packages[:1], *([self.file] if self.file else [])]
        return f"{' and '.join(parts) or 'no packages'} under Python {self.python or running_python()}"

    def to_document(self) -> dict[str, object]:
        """For people who look into the directory of environments."""
        return {"python": self.python or sys.version.split()[0], "packages": self.packages, "requirements": self.file}


def recipe_of(wish: Wish) -> Recipe:
    """The recipe for `wish`. Raises `EnvironmentFailure` for a file that is none of requirements."""
    text = read_requirements(wish.requirements) if wish.requirements is not None else ""
    named = names_in(text)
    packages = tuple(dict.fromkeys(each for each in wish.packages if name_of(each) not in named))
    files = _digest_beside(wish.requirements) if wish.requirements is not None and _names_files(text) else ""
    hashed = json.dumps([wish.python or sys.version, packages, text, files, wish.torch_backend])
    arguments: list[str] = []
    for package in packages:
        arguments += ["--only-binary", name_of(package)]  # an hour of compiling would only end in the deadline
    if wish.requirements is not None:
        arguments += ["-r", wish.requirements.name]
    if wish.torch_backend and arguments:
        arguments += ["--torch-backend", wish.torch_backend]
    return Recipe(
        name=hashlib.sha256(hashed.encode()).hexdigest()[:20],
        python=wish.python,
        packages=packages,
        arguments=(*arguments, *packages),
        directory=wish.requirements.parent if wish.requirements is not None else None,
        file=wish.requirements.name if wish.requirements is not None else None,
        framework=wish.framework,
        named=frozenset(named),
    )


def names_in(requirements: str) -> set[str]:
    """The distributions that a requirements file names in itself, normalized."""
    lines = (line.split("#")[0].strip() for line in requirements.splitlines())
    return {name_of(line) for line in lines if not line.startswith(("-", "."))} - {""}


def read_requirements(path: Path) -> str:
    """The text of a requirements file, of which a stranger may have made anything. Raises `EnvironmentFailure`."""
    try:
        return read_small(path, LARGEST_REQUIREMENTS_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise EnvironmentFailure(f"{path.name} cannot be read: {error.strerror or 'it is no small file'}") from None


def _names_files(requirements: str) -> bool:
    """Whether a line is an option (`-r`, `-e`, …), a path or a URL: the text alone does not say what is installed."""
    lines = (line.split("#")[0].strip() for line in requirements.splitlines())
    return any(line.startswith(("-", ".")) or "/" in line for line in lines)


def _digest_beside(requirements: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(requirements.parent.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(requirements.parent)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
