"""What a check looks at, and what it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from mooring.cli.finding import Server
from mooring.paths import Paths


class Verdict(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARN = "warn"
    """It works, or would, but probably not as one thinks."""
    FAIL = "fail"
    """Something does not work until it is mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what is so and where, and what to do."""

    name: str
    verdict: Verdict
    text: str
    advice: str = ""
    area: str = ""

    def of(self, area: str) -> Finding:
        """The same, in its area."""
        return dataclasses.replace(self, area=area)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known before any check looks."""

    environ: Mapping[str, str]
    server: Server
    paths: Paths | None = None
    """The data directory; None when a server elsewhere is meant."""
    status: Mapping[str, Any] | None = None
    """What the server says of itself; None without one that answers."""
    silence: str | None = None
    """Why there is no status, though there should be."""
    skew_s: float | None = None
    """How far the server's clock is ahead of this one."""
    online: bool = False
    """Whether the network may be asked."""

    @property
    def url(self) -> str | None:
        """The URL of the server that answers, or would."""
        return self.server.url


Check = Callable[[Scene], Iterable[Finding]]


def ok(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name, Verdict.OK, text)


def warn(name: str, text: str, advice: str = "") -> Finding:
    """It may surprise."""
    return Finding(name, Verdict.WARN, text, advice)


def fail(name: str, text: str, advice: str = "") -> Finding:
    """It does not work."""
    return Finding(name, Verdict.FAIL, text, advice)


def address(url: str) -> str:
    """A URL's scheme, host and port: what else is in it may be a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "something that is no URL"
    if not parts.hostname:
        return "something that is no URL"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
