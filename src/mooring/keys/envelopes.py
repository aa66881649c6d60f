"""Data keys, and what is sealed with one: all of this room that a process beside control has need of.

Control makes a data key under a KMS key (`DataKeys.generate`) and hands its plaintext to who writes, in memory only. On
disk lies `sealed`, which only control opens, and only while its KMS key may be used. A sealed record is

    nonce (12 bytes) · ciphertext · tag (16 bytes)

by AES-256-GCM with a random nonce: a data key is good for 2^32 records, so take a new one for each file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mooring.errors import MooringError
from mooring.hosting.naming import Scope

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
"""By how much a sealed record is longer."""


class Tampered(MooringError):
    """What was sealed has been changed, cut or moved, or was sealed with another key."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key to encrypt data with, in the open and sealed."""

    plaintext: bytes = field(repr=False)
    """32 bytes, which no file may ever hold."""
    sealed: bytes
    """The same as it may be kept, beside what is encrypted with it."""
    key_arn: str
    """The KMS key that it is sealed under; empty for S3's own."""


class DataKeys(Protocol):
    """What control has for those who encrypt. `key_id` is a KmsKeyId in any of its four forms; empty takes a key that
    is the data directory's own, which nobody can disable.
    """

    async def generate(self, scope: Scope, key_id: str, context: Mapping[str, str]) -> DataKey:
        """A new data key. Raises `KmsError` when the KMS key is not there or may not be used."""
        ...

    async def unseal(self, scope: Scope, sealed: bytes, context: Mapping[str, str]) -> DataKey:
        """The data key of `generate`, for the same `context`. Raises `KmsError`."""
        ...


def seal_record(data_key: bytes, record: bytes, aad: bytes) -> bytes:
    """What may be written of `record`. It opens only with the same `aad`: say there where the record belongs."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 80 ms and 9 MB, needed only where keys are

    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(data_key).encrypt(nonce, record, aad)


def open_record(data_key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """The record. Raises `Tampered`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(sealed) < OVERHEAD_BYTES:
        raise Tampered
    try:
        return AESGCM(data_key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag:
        raise Tampered from None
