"""The master key: the root from which every other key of a data directory is derived.

It is 32 random bytes or more, of one of three places: a file (`master.key` in the data directory, or where
`MOORING_ACCESS_MASTER_KEY_FILE` says), the environment (`MOORING_ACCESS_MASTER_KEY`), or a file that a KMS elsewhere
has encrypted (`mooring.keys.remote`). A copy of the data directory without it tells no secret; who has both has all.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
from pathlib import Path

from mooring.errors import DataDirectoryError
from mooring.keys.remote import RemoteKms
from mooring.processes.files import read_small, write_atomically
from mooring.settings import AccessSettings

BYTES = 32
_MAKE = f"make one with `head -c {BYTES} /dev/urandom > {{path}} && chmod 600 {{path}}`"


class MasterKey:
    """Derives, and is never given away."""

    __slots__ = ("_material", "origin")

    def __init__(self, material: bytes, origin: str) -> None:
        self._material = material
        self.origin = origin
        """Where it is, for messages."""

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose; the same each time, and nothing about any other."""
        return hmac.digest(self._material, f"mooring/{purpose}".encode(), "sha256")

    def derived_text(self, purpose: str) -> str:
        """The same as 40 characters, the form of a secret access key."""
        return base64.b64encode(self.derive(purpose)).decode()[:40]

    def __repr__(self) -> str:
        return f"MasterKey({self.origin!r})"


def open_master_key(default: Path, settings: AccessSettings) -> MasterKey:
    """The key that the settings name; without that the one in the data directory, which is made when it is missing.

    Raises `DataDirectoryError` when it cannot be had, is open to others, or is too short.
    """
    if settings.master_key:
        return _of_text(settings.master_key)
    if settings.master_key_kms_key_id:
        return _of_kms(default.with_name(f"{default.name}.kms"), settings)
    return _of_file(default, settings.master_key_file)


def _of_text(text: str) -> MasterKey:
    try:
        material = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        material = b""
    if len(material) < BYTES:
        raise DataDirectoryError(
            f"MOORING_ACCESS_MASTER_KEY is not {BYTES} bytes or more in base64: "
            f"`head -c {BYTES} /dev/urandom | base64` makes one"
        )
    return MasterKey(material, "master key of MOORING_ACCESS_MASTER_KEY")


def _of_kms(path: Path, settings: AccessSettings) -> MasterKey:
    """The key that lies encrypted at `path`; at the first start a KMS makes one."""
    kms = RemoteKms(settings.master_key_kms_url, settings.master_key_kms_key_id)
    if path.exists():
        material = kms.decrypt(read_small(path))
    else:
        material, encrypted = kms.generate()
        write_atomically(path, encrypted, durable=True)
    return MasterKey(material, f"master key {path}, which {kms.key_id} has encrypted")


def _of_file(default: Path, elsewhere: str) -> MasterKey:
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
    return MasterKey(material, f"master key {path}")


def _me() -> str:
    return f"the user {os.getuid()}"
