"""Which server a command means: the one at a URL, or the one that holds a data directory.

A server that was killed leaves its files behind; they are believed only while the process that they name is alive.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mooring.errors import Unavailable
from mooring.paths import Paths
from mooring.processes.identity import ProcessIdentity
from mooring.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Server:
    """A server to talk to."""

    where: str
    """For people: its URL or its data directory."""
    url: str | None
    """None while it is starting, and when nothing runs."""
    identity: ProcessIdentity | None
    """Of its supervisor, when that is a living process of this machine."""
    paths: Paths | None = None
    """Its data directory, when it was named by that."""

    @property
    def place(self) -> str:
        """`where`, to put after `server`."""
        return f"at {self.where}" if self.where == self.url else f"with {self.where}"

    @property
    def running(self) -> bool:
        """False when it is certain that nothing runs there."""
        return self.url is not None or self.identity is not None

    def require_url(self) -> str:
        """The URL; raises `Unavailable` when there is none."""
        if self.url is not None:
            return self.url
        if self.identity is not None:
            raise Unavailable(f"the server {self.place} is still starting: try again in a moment")
        raise Unavailable(
            f"no server runs {self.place}: start one with `mooring serve`, put `mooring run --` before the command, "
            "or name one with --url"
        )


def find(url: str | None, data_dir: str | None, environ: Mapping[str, str] | None = None) -> Server:
    """The server by flag, else by `MOORING_URL`, else by `MOORING_DATA_DIR`, else the default data directory's."""
    environ = os.environ if environ is None else environ
    if url or not data_dir:
        url = url or environ.get("MOORING_URL")
        if url:
            return Server(url.rstrip("/"), url.rstrip("/"), None)
    directory = data_dir or environ.get("MOORING_DATA_DIR") or ServerSettings().data_dir
    return _by_directory(Paths(Path(directory).expanduser().absolute()))


def _by_directory(paths: Paths) -> Server:
    where = f"data in {paths.root}"
    serving = ProcessIdentity.read(paths.server_file)
    if serving is not None and serving.alive():
        try:
            url = str(json.loads(paths.server_file.read_bytes())["url"])
            if url.startswith("https:"):
                from mooring.cli import trusting

                trusting.is_own(url, paths.certificate)
            return Server(where, url, serving, paths)
        except (OSError, ValueError, KeyError):
            return Server(where, None, serving, paths)  # it is just stopping
    holding = ProcessIdentity.read(paths.lock)
    return Server(where, None, holding if holding is not None and holding.alive() else None, paths)
