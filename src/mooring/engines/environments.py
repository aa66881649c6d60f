"""Environments for models that bring a `requirements.txt`: made with uv, kept by the hash of what went in.

An environment holds the framework at the version installed beside Mooring (unless the requirements name another
one) and a copy of the model server, which needs nothing but the standard library. The second use of the same file
costs one `stat`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from mooring.engines.children import run
from mooring.errors import StartFailure
from mooring.paths import Paths

_PASSED = ("PATH", "HOME", "SSL_CERT_FILE", "UV_CACHE_DIR", "XDG_CACHE_HOME")
_PASSED_PREFIXES = ("UV_", "PIP_")


class Environments:
    """The directory `environments/`, one directory a hash."""

    def __init__(self, paths: Paths) -> None:
        self._root = paths.environments
        self._locks: dict[str, asyncio.Lock] = {}

    async def python_for(self, requirements: Path, pins: tuple[str, ...], timeout_s: float, log: Path) -> Path:
        """The interpreter of the environment for `requirements`. Raises `StartFailure` with uv's last words."""
        text = await asyncio.to_thread(requirements.read_text, "utf-8", "replace")
        wanted = tuple(pin for pin in pins if not _names(text, pin.partition("==")[0]))
        files = await asyncio.to_thread(_files_digest, requirements.parent) if _names_files(text) else ""
        digest = hashlib.sha256("\0".join((sys.version, *wanted, text, files)).encode()).hexdigest()[:20]
        directory = self._root / digest
        python = directory / "bin" / "python"
        async with self._locks.setdefault(digest, asyncio.Lock()):
            if not (directory / "complete").exists():
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
                await self._uv(("venv", "--python", sys.executable, str(directory)), timeout_s, log)
                install = ("pip", "install", "--python", str(python), "-r", requirements.name, *wanted)
                await self._uv(install, timeout_s, log, cwd=requirements.parent)
                await asyncio.to_thread(_copy_model_server, directory)
                (directory / "complete").touch()
        return python

    async def _uv(self, arguments: tuple[str, ...], timeout_s: float, log: Path, cwd: Path | None = None) -> None:
        environment = {
            name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)
        }
        command: tuple[str, ...] = (*_uv_command(), "--no-progress", "--color", "never", *arguments)
        if cwd is not None:
            command = (*command[: -len(arguments)], "--directory", str(cwd), *arguments)
        finished = await run(command, stdin=b"", environment=environment, timeout_s=timeout_s, stderr=log)
        if finished.timed_out:
            raise StartFailure(f"Installing requirements.txt took longer than {timeout_s:g} s.")
        if finished.returncode != 0:
            said = await asyncio.to_thread(_last_words, log)
            raise StartFailure(f"Installing requirements.txt failed: {said}")


def _uv_command() -> tuple[str, ...]:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise StartFailure("The model has a requirements.txt, and uv is neither beside Mooring nor on PATH.")
    return (found,)


def _names(requirements: str, distribution: str) -> bool:
    """Whether `requirements` says itself which `distribution` it wants."""
    pattern = re.escape(distribution).replace(r"\-", "[-_.]")
    return re.search(rf"(?im)^\s*{pattern}\s*($|[^A-Za-z0-9_.-])", requirements) is not None


def _names_files(requirements: str) -> bool:
    """Whether a line is an option (`-r`, `-e`, …), a path or a URL: the text alone does not say what is installed."""
    lines = (line.split("#")[0].strip() for line in requirements.splitlines())
    return any(line.startswith(("-", ".")) or "/" in line for line in lines)


def _files_digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _copy_model_server(environment: Path) -> None:
    spec = find_spec("mooring_model_server")
    assert spec is not None
    assert spec.origin is not None
    site = next(environment.glob("lib/python*/site-packages"))
    shutil.copytree(Path(spec.origin).parent, site / "mooring_model_server", dirs_exist_ok=True)


def _last_words(log: Path, limit: int = 600) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return " ".join(lines[-6:])[-limit:]
