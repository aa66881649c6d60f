"""KMS's ciphertexts, as Mooring makes them.

    1 (1 byte) · key id (16) · version of the material (4) · salt (16) · nonce (12) · ciphertext · tag (16)

Each is encrypted under a key of its own, HMAC-SHA256 of material and salt, so that there is no bound on how many a KMS
key may make. All in front of the nonce and the encryption context are authenticated.
"""

from __future__ import annotations

import hmac
import os
import struct
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from mooring.errors import KmsError
from mooring.keys.envelopes import Tampered, open_record, seal_record

MATERIAL_BYTES = 32
_HEAD = struct.Struct(">B16sI16s")
_FORMAT = 1


class Origin(NamedTuple):
    """What a ciphertext says of what it was made with."""

    key_id: str
    version: int


def encrypted(material: bytes, origin: Origin, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    """The ciphertext blob of `plaintext`."""
    salt = os.urandom(16)
    head = _HEAD.pack(_FORMAT, uuid.UUID(origin.key_id).bytes, origin.version, salt)
    return head + seal_record(_own_key(material, salt), plaintext, head + bound(context))


def origin_of(blob: bytes) -> Origin:
    """What a blob was made with, unverified. Raises `KmsError` for what is no blob at all."""
    if len(blob) < _HEAD.size or blob[0] != _FORMAT:
        raise KmsError("InvalidCiphertextException")
    _, key_id, version, _ = _HEAD.unpack_from(blob)
    return Origin(str(uuid.UUID(bytes=key_id)), version)


def decrypted(material: bytes, blob: bytes, context: Mapping[str, str]) -> bytes:
    """The plaintext. Raises `KmsError` when anything of blob or context is not as it was."""
    head = blob[: _HEAD.size]
    try:
        salt = _HEAD.unpack(head)[3]
        return open_record(_own_key(material, salt), blob[_HEAD.size :], head + bound(context))
    except (Tampered, struct.error):
        raise KmsError("InvalidCiphertextException") from None


def bound(context: Mapping[str, str]) -> bytes:
    """An encryption context as bytes, which no two share: each text with its length, in the order of the keys."""
    texts = [part.encode() for pair in sorted(context.items()) for part in pair]
    return b"".join(struct.pack(">I", len(text)) + text for text in texts)


def _own_key(material: bytes, salt: bytes) -> bytes:
    return hmac.digest(material, b"mooring/kms/ciphertext\n" + salt, "sha256")
