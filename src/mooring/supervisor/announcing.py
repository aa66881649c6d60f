"""What `mooring serve` tells people and other commands: what it waits for, that it is ready, and where.

People read a line on standard error while something takes longer than a second, and one line on standard output when
Mooring is ready. `mooring status` and the like read `server.json`, which exists only while the server accepts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from mooring import __version__
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.files import write_atomically
from mooring.settings import Settings

logger = logging.getLogger("mooring.supervisor")

EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - the URL names one of many addresses
PATIENCE_S = 1.0
REPEAT_S = 5.0


class Announcer:
    """Says each thing once, and repeats what it waits for every `REPEAT_S`."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        self.announced = False
        self._settings = settings
        self._paths = paths
        self._next_line = time.monotonic() + PATIENCE_S
        self._stop_began = False

    def patience(self) -> float:
        """Seconds until `look` has something to say, as far as it knows."""
        return REPEAT_S if self.announced else max(0.01, self._next_line - time.monotonic())

    def look(self, waiting_for: Sequence[str]) -> None:
        """Announce the server when it waits for nothing more."""
        if self.announced:
            return
        if waiting_for:
            self._progress("starting", ", ".join(waiting_for))
        else:
            self._announce()

    def stopping(self, waiting_for: str) -> None:
        """Say what the stop waits for, if that takes long; empty while it waits for nothing."""
        if not self._stop_began:
            self._stop_began = True
            self._next_line = time.monotonic() + PATIENCE_S
        if waiting_for:
            self._progress("stopping", waiting_for)

    def withdraw(self) -> None:
        """The server is gone, and the key of its owner's commands opens nothing more."""
        self._paths.server_file.unlink(missing_ok=True)
        self._paths.local_credentials.unlink(missing_ok=True)
        if self._settings.tls.certificate:
            from mooring.processes import certificates

            certificates.forget(self._paths)

    def _progress(self, activity: str, waiting_for: str) -> None:
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + REPEAT_S
            say(f"{activity}… waiting for {waiting_for}", sys.stderr)

    def _announce(self) -> None:
        self.announced = True
        self._write()
        others = " and at every other address of this machine" if self._settings.server.host in EVERYWHERE else ""
        say(f"Mooring {__version__} is ready at {self._settings.url}{others} (data in {self._paths.root})", sys.stdout)

    def _write(self) -> None:
        me = identity.of(os.getpid())
        assert me is not None
        document = {
            **me.to_document(),
            "url": self._settings.url,
            "version": __version__,
            "workers": self._settings.server.workers,
        }
        try:
            write_atomically(self._paths.server_file, json.dumps(document).encode())
        except OSError as error:
            logger.error("cannot write %s: %s", self._paths.server_file, error)


def say(line: str, stream: TextIO) -> None:
    """Print a line to people. Nobody may be reading any more: that is no reason to stop serving."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=stream, flush=True)
