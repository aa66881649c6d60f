"""Secrets at rest in `state.db`: AES-256-GCM under a key that is derived from the master key, bound to whose they are.

A sealed secret that is moved to another owner's row, changed, or sealed under another master key does not open.
"""

from __future__ import annotations

from mooring.errors import DataDirectoryError
from mooring.keys.envelopes import Tampered, open_record, seal_record
from mooring.keys.master import MasterKey

ACCESS_KEYS = "access keys"
KMS_KEYS = "kms keys"


def seal(master: MasterKey, secret: bytes, owner: str, purpose: str = ACCESS_KEYS) -> bytes:
    """What may be written to a file of `secret`, which belongs to `owner`."""
    return seal_record(master.derive(purpose), secret, owner.encode())


def unseal(master: MasterKey, sealed: bytes, owner: str, purpose: str = ACCESS_KEYS) -> bytes:
    """The secret of `owner`. Raises `DataDirectoryError` when it is not that, or of another master key."""
    try:
        return open_record(master.derive(purpose), sealed, owner.encode())
    except Tampered:
        raise DataDirectoryError(
            f"one of the {purpose}, {owner}, was not sealed with the {master.origin}: restore the one that it was "
            "sealed with"
        ) from None
