"""Environments: their names, what is left to a model's own requirements, and which of them may go."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from mooring.engines.environments import HOLD, MARK, Environments
from mooring.engines.model_requirements import of_mlflow
from mooring.engines.recipes import Recipe, Wish, recipe_of
from mooring.engines.uv import LONGEST_REASON, reason
from mooring.errors import EnvironmentFailure
from mooring.hosting.events import EventKind
from mooring.paths import Paths


def wish(tmp_path: Path, text: str | None, *packages: str, python: str = "", backend: str = "cpu") -> Recipe:
    file = None
    if text is not None:
        file = tmp_path / "requirements.txt"
        file.write_text(text)
    return recipe_of(Wish(packages, python, file, backend))


def test_equal_wishes_have_one_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (wish(tmp_path / name, "flask\n", "scikit-learn==1.2.*") for name in "ab")
    assert one.name == other.name
    different = [
        wish(tmp_path, "flask\n", "scikit-learn==1.3.*"),
        wish(tmp_path, "flask==3\n", "scikit-learn==1.2.*"),
        wish(tmp_path, "flask\n", "scikit-learn==1.2.*", python="3.9"),
        wish(tmp_path, "flask\n", "scikit-learn==1.2.*", backend="auto"),
        wish(tmp_path, None, "scikit-learn==1.2.*"),
    ]
    assert len({recipe.name for recipe in (one, *different)}) == 6


def test_files_that_requirements_lead_to_belong_to_the_name(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("flask\n")
    before = wish(tmp_path, "-r more.txt\n").name
    (tmp_path / "more.txt").write_text("flask==3\n")
    assert wish(tmp_path, "-r more.txt\n").name != before


def test_what_the_model_names_is_left_to_it(tmp_path: Path) -> None:
    text = "Scikit_Learn==1.0  # ours\nnumpy>1\n-e ./pandas\n# scipy\n"
    recipe = wish(tmp_path, text, "scikit-learn==1.2.*", "numpy<2", "pandas", "scipy<1.12")
    assert recipe.packages == ("pandas", "scipy<1.12")
    assert str(recipe).startswith("pandas and requirements.txt under Python ")


@pytest.mark.parametrize("kind", ["pipe", "large", "directory"])
def test_requirements_that_are_no_such_file(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "requirements.txt"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        file.write_bytes(bytes(2 * 1024**2))
    with pytest.raises(EnvironmentFailure, match="requirements.txt cannot be read"):
        recipe_of(Wish(("flask",), requirements=file))


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            "warning: a shim\nUsing Python 3.11 at: e\nerror: No solution found\n  cause: Because\n         of x.\n",
            "No solution found cause: Because of x",
        ),
        (
            "  × No solution found when resolving:\n  ╰─▶ Because x is gone.\n",
            "No solution found when resolving: Because x is gone",
        ),
        ("ImportError: numpy is too new\n", "ImportError: numpy is too new"),
        ("nothing that looks like one", "nothing that looks like one"),
        ("", ""),
    ],
)
def test_what_uv_says_fits_a_line(said: str, wanted: str) -> None:
    assert reason(said) == wanted
    long = reason(f"error: cannot install x\n{said * 1000}\n  cause: No space left on device (os error 28)\n")
    assert len(long) <= LONGEST_REASON
    assert long.startswith("cannot install x")
    assert long.endswith("No space left on device (os error 28)")


def made(paths: Paths, name: str, size: int, age: float) -> Path:
    directory = paths.environments / name
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "python").symlink_to("/bin/sh")
    (directory / MARK).write_text(json.dumps({"bytes": size}))
    os.utime(directory / MARK, (1e9 - age, 1e9 - age))
    return directory


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.make_private_directories()
    return found


def test_the_longest_unused_go_first_and_never_one_in_use(paths: Paths) -> None:
    old, held, new = (made(paths, name, 100, age) for name, age in (("old", 30), ("held", 20), ("new", 10)))
    (paths.artifacts / "uid" / "v").mkdir(parents=True)
    (paths.artifacts / "uid" / "v" / HOLD).symlink_to(held)
    half = paths.environments / ".making-x-1"
    half.mkdir()
    environments = Environments(paths, 250)
    environments._evict()
    assert (old.exists(), held.exists(), new.exists(), half.exists()) == (False, True, True, False)
    Environments(paths, 0)._evict()
    assert (held.exists(), new.exists()) == (True, False)
    (paths.artifacts / "uid" / "v" / HOLD).unlink()
    Environments(paths, 0)._evict()
    assert not held.exists()


def test_a_use_is_noted_and_what_lost_its_interpreter_is_made_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(Wish(("flask",)))
    directory = made(paths, recipe.name, 100, 30)
    (paths.artifacts / "uid" / "v").mkdir(parents=True)
    environments = Environments(paths, 10**9)
    told: list[str] = []

    def ask() -> Path:
        log = paths.logs / "log"
        note = lambda kind, text: told.append(f"{kind}: {text}")  # noqa: E731
        return asyncio.run(environments.python_for(Wish(("flask",)), "uid/v", 5, log, note))

    assert ask() == directory / "bin" / "python"
    assert told == []
    assert (directory / MARK).stat().st_mtime > 1e9
    assert (paths.artifacts / "uid" / "v" / HOLD).readlink() == directory
    (directory / "bin" / "python").unlink()
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(paths.root / "empty"))
    with pytest.raises(EnvironmentFailure, match="flask"):
        ask()
    assert told[0].startswith(f"{EventKind.STEP}: making an environment: flask under Python ")
    assert not list(paths.environments.glob(".making-*"))


def test_a_disk_that_takes_nothing_is_a_reason(paths: Paths) -> None:
    (paths.artifacts / "uid" / "v").mkdir(parents=True)
    paths.environments.rmdir()
    paths.environments.write_text("a file where a directory should be")
    with pytest.raises(EnvironmentFailure):
        asyncio.run(
            Environments(paths, 1).python_for(Wish(()), "uid/v", 20, paths.logs / "log", lambda kind, text: None)
        )


def test_what_mlflow_writes_into_a_model(tmp_path: Path) -> None:
    (tmp_path / "conda.yaml").write_text(
        "channels:\n- conda-forge\ndependencies:\n- python=3.9.18\n- pip<=24\n- pip:\n"
        "  - mlflow==1.30.0\n  - 'cloudpickle==2.2.1'\nname: mlflow-env\n"
    )
    found = of_mlflow(tmp_path)
    assert found.python == "3.9"
    assert found.file is not None
    assert found.file.read_text() == "mlflow==1.30.0\ncloudpickle==2.2.1\n"
    (tmp_path / "python_env.yaml").write_text("python: 3.11.7\nbuild_dependencies:\n- pip\n")
    (tmp_path / "requirements.txt").write_text("mlflow==2.9.2\n")
    found = of_mlflow(tmp_path)
    assert (found.file, found.python) == (tmp_path / "requirements.txt", "3.11")
    pin = found.pin_of("mlflow", ("mlflow-skinny",))
    assert pin is not None
    assert pin.version == "2.9.2"
