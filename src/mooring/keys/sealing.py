"""Secrets at rest: AES-256-GCM under a key that is derived from the master key, bound to whose secret it is.

A sealed secret that is moved to another owner's row, changed, or sealed under another master key does not open.
"""

from __future__ import annotations

import os

from mooring.errors import DataDirectoryError
from mooring.keys.master import MasterKey

_NONCE_BYTES = 12


def seal(master: MasterKey, secret: str, owner: str) -> bytes:
    """What may be written to a file of `secret`, which belongs to `owner`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 80 ms and 9 MB, needed only where keys are

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(master.derive("access keys")).encrypt(nonce, secret.encode(), owner.encode())


def unseal(master: MasterKey, sealed: bytes, owner: str) -> str:
    """The secret of `owner`. Raises `DataDirectoryError` when it is not that, or of another master key."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(master.derive("access keys")).decrypt(nonce, rest, owner.encode()).decode()
    except (InvalidTag, ValueError):
        raise DataDirectoryError(
            f"the access key {owner} was not sealed with the master key {master.path}: restore the file that it was "
            "sealed with"
        ) from None
