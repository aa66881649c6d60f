"""The master key: random bytes in a file of their own, from which every other key of a data directory is derived.

A copy of the data directory without that file tells no secret. Who has the file and `state.db` has every access key, so
it may be kept elsewhere (`MOORING_ACCESS_MASTER_KEY_FILE`).
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
from pathlib import Path

from mooring.errors import DataDirectoryError
from mooring.processes.files import read_small, write_atomically

BYTES = 32
_MAKE = f"make one with `head -c {BYTES} /dev/urandom > {{path}} && chmod 600 {{path}}`"


class MasterKey:
    """Derives, and is never given away."""

    __slots__ = ("_material", "path")

    def __init__(self, material: bytes, path: Path) -> None:
        self._material = material
        self.path = path

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose; the same each time, and nothing about any other."""
        return hmac.digest(self._material, f"mooring/{purpose}".encode(), "sha256")

    def derived_text(self, purpose: str) -> str:
        """The same as 40 characters, the form of a secret access key."""
        return base64.b64encode(self.derive(purpose)).decode()[:40]

    def __repr__(self) -> str:
        return f"MasterKey({str(self.path)!r})"


def open_master_key(default: Path, elsewhere: str) -> MasterKey:
    """The key of the file `elsewhere`; without that of the one in the data directory, which is made when it is missing.

    Raises `DataDirectoryError` when it cannot be read, is open to others, or is too short.
    """
    path = Path(elsewhere).expanduser() if elsewhere else default
    if not elsewhere and not path.exists():
        write_atomically(path, secrets.token_bytes(BYTES), durable=True)
    try:
        mode = path.stat().st_mode
        material = read_small(path)
    except OSError as error:
        advice = f": {_MAKE.format(path=path)}" if isinstance(error, FileNotFoundError) else ""
        raise DataDirectoryError(f"cannot read the master key {path}: {error.strerror or error}{advice}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise DataDirectoryError(f"the master key {path} is open to others than {_me()}: chmod 600 {path}")
    if len(material) < BYTES:
        raise DataDirectoryError(
            f"the master key {path} has fewer than {BYTES} bytes: restore it, or {_MAKE.format(path=path)}"
        )
    return MasterKey(material, path)


def _me() -> str:
    return f"the user {os.getuid()}"
