"""What models run on and endpoints may need: frameworks, uv for requirements, explanations, neighbours of SageMaker."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mooring.cli.doctor.findings import Finding, Scene, fail, ok, warn

FRAMEWORKS = {
    "scikit-learn": ("scikit-learn",),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "torch": ("torch",),
    "transformers": ("transformers",),
}
UV_WITHIN_S = 10.0
INDEX_WITHIN_S = 30.0


def installed(scene: Scene) -> Iterable[Finding]:
    """Which frameworks are here, and in which version."""
    found = {name: _version(*distributions) for name, distributions in FRAMEWORKS.items()}
    here = [f"{name} {version}" for name, version in found.items() if version is not None]
    absent = [name for name, version in found.items() if version is None]
    text = ", ".join(here) or "none"
    if absent:
        text += f"; without {', '.join(absent)}"
    if here:
        yield ok("frameworks", f"{text} (in {sys.prefix})")
    else:
        advice = "pip install 'mooring[sklearn,xgboost]', or torch or transformers, into this environment"
        yield warn("frameworks", f"{text} in {sys.prefix}", advice)


def _version(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def uv(scene: Scene) -> Iterable[Finding]:
    """What makes environments for models with a requirements.txt."""
    program = find_uv()
    if program is None:
        text = "neither beside Mooring nor on PATH: a model with a requirements.txt fails"
        yield fail("uv", text, "pip install uv")
        return
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=UV_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield fail("uv", f"{program} does not run: {type(error).__name__}", "pip install --force-reinstall uv")
        return
    yield ok("uv", f"{asked.stdout.strip() or 'there'} ({program})")


def find_uv() -> str | None:
    """As the server finds it."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def package_index(scene: Scene) -> Iterable[Finding]:
    """Whether uv reaches its index; asked only when the network may be."""
    program = find_uv()
    if program is None:
        return
    if not scene.online:
        yield ok("package index", "not asked; --online does")
        return
    command = [program, "--no-progress", "--color", "never", "pip", "compile", "--refresh", "--quiet", "-"]
    try:
        asked = subprocess.run(
            command, input="uv\n", capture_output=True, text=True, timeout=INDEX_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        yield fail(
            "package index", f"no answer within {INDEX_WITHIN_S:g} s", "see UV_INDEX_URL and the proxy variables"
        )
        return
    if asked.returncode == 0:
        yield ok("package index", "answers")
        return
    said = [line.strip() for line in asked.stderr.splitlines() if line.strip()] or ["uv failed"]
    yield fail("package index", said[-1], "models with a requirements.txt need it: see UV_INDEX_URL and the proxies")


def explanations(scene: Scene) -> Iterable[Finding]:
    """What endpoints with an ExplainerConfig need, and what those with a TextConfig do."""
    solver, text = _version("numpy"), _version("spacy")
    if solver is None:
        told, extra = "without NumPy: an endpoint with an ExplainerConfig fails", "explainer"
    elif text is None:
        told, extra = f"NumPy {solver}; without spaCy: an endpoint with a TextConfig fails", "text"
    else:
        yield ok("explanations", f"NumPy {solver}, of texts spaCy {text}")
        return
    yield ok("explanations", f"{told} (pip install 'mooring[{extra}]')")


def neighbours(scene: Scene) -> Iterable[Finding]:
    """Services beside SageMaker, which moto could answer."""
    if importlib.util.find_spec("moto") is None:
        yield ok("neighbours", "moto is not installed: no service of it can answer")
    else:
        yield ok("neighbours", f"moto {_version('moto') or ''} is installed".replace("  ", " "))
