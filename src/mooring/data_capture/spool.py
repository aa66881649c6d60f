"""The spool: where captured records wait for S3, and how much of the disk they may take.

Every gateway looks for itself, so that the bound holds while control is away: once a second at the whole, and in
between it counts what it writes. Several gateways may exceed the bound by what each writes in that second.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mooring.settings import CaptureSettings

PROBE_BYTES = 64 * 1024
RESUMED_BELOW = 0.95
"""Of a limit that was reached: a little room comes and goes."""


def size_of(spool: Path) -> int:
    """Bytes of all segments that lie in the spool."""
    total = 0
    for directory in _listed(spool):
        if directory.is_dir(follow_symlinks=False):
            for each in _listed(directory.path):
                try:
                    total += each.stat(follow_symlinks=False).st_size
                except OSError:  # shipped meanwhile
                    continue
    return total


def _listed(directory: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []


class Room:
    """How many bytes may still be written. `look` may be called from another thread than the rest."""

    __slots__ = ("_bound", "_settings", "_spool", "left", "problem")

    def __init__(self, spool: Path, settings: CaptureSettings) -> None:
        self._spool = spool
        self._settings = settings
        self.left = 0
        self.problem: str | None = None
        """Why nothing may be written, as `left` is 0."""
        self._bound = ""

    def look(self) -> None:
        """Measure. Never raises."""
        room, problem = self._waiting()
        on_disk, full = self._on_disk()
        if on_disk < room:
            room, problem = on_disk, full
        self._bound = problem
        self.problem = problem if room <= 0 else None
        self.left = max(0, room)

    def takes_files(self) -> bool:
        """Whether a file can be written, by writing one."""
        try:
            with tempfile.TemporaryFile(dir=self._spool, buffering=0) as file:
                return file.write(bytes(PROBE_BYTES)) == PROBE_BYTES
        except OSError:
            return False

    def close(self) -> None:
        """What was left is used up."""
        self.problem = self._bound

    def _waiting(self) -> tuple[int, str]:
        limit = self._settings.spool_limit_bytes
        # Without the numbers of this moment: a problem that lasts is told once.
        return self._hysteresis(limit, size_of(self._spool)), f"as much waits for S3 as may ({limit} bytes)"

    def _on_disk(self) -> tuple[int, str]:
        try:
            found = os.statvfs(self._spool)
        except OSError as error:
            return 0, f"{self._spool} cannot be looked at: {error.strerror}"
        # As df counts: what only root may take is no part of the whole.
        used, free = (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_bavail * found.f_frsize
        whole = used + free
        limit = int(whole * self._settings.disk_limit_percent / 100)
        told = f"the disk is more than {self._settings.disk_limit_percent:g} % full"
        return self._hysteresis(limit, used), told

    def _hysteresis(self, limit: int, taken: int) -> int:
        return int((limit * RESUMED_BELOW if self.problem else limit) - taken)
