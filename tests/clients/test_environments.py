"""Environments for tests: made once however many want them, whole or not at all."""

from __future__ import annotations

import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients import environments
from tests.clients.environments import Unreachable, python_with


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    return tmp_path / "cache" / "mooring-tests"


@pytest.fixture
def wheel(tmp_path: Path) -> str:
    path = tmp_path / "answering-1.0-py3-none-any.whl"
    files = {
        "answering.py": "ANSWER = 42\n",
        "answering-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: answering\nVersion: 1.0\n",
        "answering-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "answering-1.0.dist-info/RECORD": "answering.py,,\n",
    }
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return str(path)


def answers(python: Path) -> bool:
    command = [python, "-c", "import answering; print(answering.ANSWER)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "42\n"


def test_two_that_want_the_same_make_it_once(monkeypatch: pytest.MonkeyPatch, wheel: str) -> None:
    calls: list[str] = []
    real = environments._run
    monkeypatch.setattr(environments, "_run", lambda *command: (calls.append(command[4]), real(*command)))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(python_with, [wheel, wheel])
    assert first == second
    assert answers(first)
    assert calls == ["venv", "pip"]


def test_a_half_made_one_is_made_again(wheel: str) -> None:
    python = python_with(wheel)
    (python.parents[1] / "complete").unlink()
    next(python.parents[1].glob("lib/python*/site-packages/answering.py")).unlink()
    assert python_with(wheel) == python
    assert answers(python)


def test_no_network_is_told_from_requirements_that_cannot_be_met(wheel: str, cache: Path) -> None:
    with pytest.raises(Unreachable, match="network was disabled"):
        python_with("a-package-that-is-in-no-cache")
    with pytest.raises(RuntimeError):
        python_with(wheel, f"missing @ file://{cache}/missing-1.0-py3-none-any.whl")
    assert not list(cache.glob("*/complete"))
