"""The clients that are likely to be used, and which of them are too old to be told where Mooring is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mooring.cli.doctor.findings import Finding, Scene, fail, ok, warn

ASKED_WITHIN_S = 20.0
ENDPOINT_URL_SINCE = {"boto3": (1, 28), "botocore": (1, 31)}
"""The first releases that heed AWS_ENDPOINT_URL."""
CLI_SINCE = {1: (1, 29), 2: (2, 13)}
LIBRARIES = ("boto3", "botocore", "sagemaker")
_ASK = """
import importlib.metadata as metadata, json
found = {}
for name in %r:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def libraries(scene: Scene) -> Iterable[Finding]:
    """boto3 and the SageMaker SDK, in the interpreter of this command and in the one on PATH."""
    for interpreter in _interpreters(scene.environ):
        found = _asked(interpreter)
        if found is None:
            yield warn("libraries", f"{interpreter} does not tell what is installed", "run it, to see what is wrong")
            continue
        here = ", ".join(f"{name} {found[name]}" for name in LIBRARIES if name in found)
        old = [name for name, since in ENDPOINT_URL_SINCE.items() if name in found and numbers(found[name]) < since]
        if old:
            needed = " or ".join(f"{name} {'.'.join(map(str, ENDPOINT_URL_SINCE[name]))}" for name in old[:1])
            text = f"{here} in {interpreter}: too old for AWS_ENDPOINT_URL, so it calls AWS"
            yield fail("libraries", text, f"pip install -U boto3 ({needed} or newer), or give it endpoint_url=")
        elif here:
            yield ok("libraries", f"{here} in {interpreter}")
        else:
            yield ok("libraries", f"neither boto3 nor the SageMaker SDK in {interpreter}")


def _interpreters(environ: Mapping[str, str]) -> list[str]:
    """This one, and what `python` means in the caller's shell when that is another."""
    path = environ.get("PATH")
    named = (shutil.which(name, path=path) for name in ("python", "python3"))
    found = {str(Path(sys.executable).parent): sys.executable}
    for each in filter(None, named):
        found.setdefault(str(Path(each).parent), each)
    return list(found.values())


def _asked(interpreter: str) -> dict[str, str] | None:
    """The versions of the libraries in an interpreter; None when it does not answer."""
    try:
        asked = subprocess.run(
            [interpreter, "-c", _ASK % (LIBRARIES,)],
            capture_output=True,
            text=True,
            timeout=ASKED_WITHIN_S,
            check=True,
        )
        found: dict[str, str] = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found


def aws_cli(scene: Scene) -> Iterable[Finding]:
    """The `aws` on PATH."""
    program = shutil.which("aws", path=scene.environ.get("PATH"))
    if program is None:
        yield ok("aws cli", "not on PATH")
        return
    words = _said(program)
    found = re.match(r"aws-cli/(\S+)", words)
    if found is None:
        yield warn("aws cli", f"{program} does not tell its version", "run `aws --version`, to see what is wrong")
        return
    version = numbers(found[1])
    since = CLI_SINCE.get(version[0] if version else 0)
    text = f"{found[1]} ({program})"
    if since is not None and version < since:
        advice = f"install {'.'.join(map(str, since))} or newer, or give it --endpoint-url"
        yield fail("aws cli", f"{text}: too old for AWS_ENDPOINT_URL, so it calls AWS", advice)
    else:
        yield ok("aws cli", text)


def _said(program: str) -> str:
    try:
        asked = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=ASKED_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() or asked.stderr.strip()  # the first version says it on standard error


def numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    return tuple(_numbers(version))


def _numbers(version: str) -> Iterator[int]:
    for part in version.split("."):
        found = re.match(r"\d+", part)
        if found is None:
            return
        yield int(found[0])
