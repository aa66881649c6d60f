"""`mooring serve`: its flags with and without Typer, and its refusals in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring import supervisor
from mooring.cli import main
from mooring.cli.serving import FLAGS, SWITCHES, plain_flags
from mooring.settings import RESOLVED, Settings


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ([], {}),
        (["--port", "0", "--data-dir=/a=b"], {"port": 0, "data_dir": "/a=b"}),
        (
            ["--log-level", "debug", "--workers", "2", "--host", "::"],
            {"log_level": "debug", "workers": 2, "host": "::"},
        ),
        (["--port", "1", "--port", "2"], {"port": 2}),
        (["--insecure", "--port", "1"], {"insecure": True, "port": 1}),
        (["--insecure=yes"], None),
        (["--port"], None),
        (["--port", "x"], None),
        (["--help"], None),
        (["--data_dir", "x"], None),
        (["port", "1"], None),
        (["--nope=1"], None),
        (["--port", "--host"], None),
    ],
)
def test_plain_flags(words, flags) -> None:
    assert plain_flags(words) == flags


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_words_are_flags_or_are_left_to_typer(words: list[str]) -> None:
    flags = plain_flags(words)
    assert flags is None or set(flags) <= set(FLAGS) | SWITCHES


@pytest.fixture
def served(monkeypatch) -> list[Settings]:
    seen: list[Settings] = []
    monkeypatch.setattr(supervisor, "run", lambda settings: seen.append(settings) or 7)
    return seen


@pytest.mark.parametrize("through_typer", [False, True])
def test_flags_win_over_variables_with_and_without_typer(served, monkeypatch, through_typer: bool) -> None:
    monkeypatch.setenv("MOORING_PORT", "1234")
    monkeypatch.setenv("MOORING_WORKERS", "3")
    monkeypatch.setenv("MOORING_GATEWAY_DRAIN_S", "2.5")
    monkeypatch.setenv(RESOLVED, Settings().to_json())
    if through_typer:
        monkeypatch.setattr("mooring.cli.serving.plain_flags", lambda words: None)
    assert main(["serve", "--port", "4321", "--data-dir=/tmp/x"]) == 7
    (settings,) = served
    assert (settings.server.port, settings.server.workers, settings.server.data_dir) == (4321, 3, "/tmp/x")
    assert settings.gateway.drain_s == 2.5


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--port", "99999"], "port 99999"),
        (["--workers", "0"], "workers 0"),
        (["--log-level", "loud"], "log level 'loud'"),
    ],
)
def test_wrong_setting_is_one_line(capsys, words: list[str], complaint: str) -> None:
    assert main(["serve", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mooring: {complaint}")
    assert err.count("\n") == 1


def test_wrong_variable_is_one_line(capsys, monkeypatch) -> None:
    monkeypatch.setenv("MOORING_PORT", "x")
    assert main(["serve"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unusable_data_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = subprocess.run(
        [sys.executable, "-m", "mooring.cli", "serve", "--port", "0", "--data-dir", str(tmp_path / "file" / "d")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == f"mooring: cannot use the data directory {tmp_path}/file/d: Not a directory\n"


def test_plain_serve_imports_neither_typer_nor_rich() -> None:
    program = """
import sys
from mooring import supervisor
supervisor.run = lambda settings: 0
from mooring.cli import main
assert main(["serve", "--port", "0"]) == 0
print(*sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert {"typer", "rich", "click", "asyncio", "http.client"}.isdisjoint(found.stdout.split())
