"""Running uv, and saying in a line what it said in twenty when it failed.

It gets the operator's own settings (`UV_*`, `PIP_*`) and nothing else of Mooring's environment.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

from mooring.engines.children import run
from mooring.errors import EnvironmentFailure

LONGEST_REASON = 400
LONGEST_OUTPUT_BYTES = 1024 * 1024
_PASSED = ("PATH", "HOME", "SSL_CERT_FILE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "TMPDIR")
_PASSED_PREFIXES = ("UV_", "PIP_")
_DRAWN = re.compile(r"^[\s×╰├─▶│·]+")
_FAILURE = re.compile(r"error\b|\s*×|Traceback|\S*(Error|Exception)\b")


async def uv(arguments: tuple[str, ...], *, timeout_s: float, log: Path, directory: Path | None = None) -> None:
    """Run uv to its end, its output to `log`. Raises `EnvironmentFailure` with the reason that it gave."""
    where = ("--directory", str(directory)) if directory is not None else ()
    words = (_program(), "--no-progress", "--color", "never", *where, *arguments)
    given = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}
    await command(words, given, timeout_s=timeout_s, log=log)


async def command(words: tuple[str, ...], environment: dict[str, str], *, timeout_s: float, log: Path) -> None:
    """Run a program as uv is run."""
    begin = await asyncio.to_thread(_size, log)
    finished = await run(words, stdin=b"", environment=environment, timeout_s=timeout_s, stderr=log)
    if finished.timed_out:
        raise EnvironmentFailure(f"it took longer than {timeout_s:.0f} s")
    if finished.returncode != 0:
        said = await asyncio.to_thread(_read_from, log, begin)
        raise EnvironmentFailure(reason(said) or f"{Path(words[0]).name} ended with {finished.returncode}")


def reason(said: str) -> str:
    """What matters of uv's output: from the first line that tells of an error on, as one line."""
    lines = said.splitlines()
    start = next((number for number, line in enumerate(lines) if _FAILURE.match(line)), 0)
    words = " ".join(_DRAWN.sub("", line) for line in lines[start:])
    words = re.sub(r"\s+", " ", words).removeprefix("error: ").strip().rstrip(".")
    if len(words) <= LONGEST_REASON:
        return words
    half = LONGEST_REASON // 2 - 2  # what it was about comes first, the cause of the cause ("no space left") last
    return f"{words[:half].rstrip()} … {words[-half:].lstrip()}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_from(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(LONGEST_OUTPUT_BYTES).decode("utf-8", "replace")


def _program() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise EnvironmentFailure("uv is neither beside Mooring nor on PATH")
    return found
