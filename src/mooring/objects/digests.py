"""What is computed over an upload while it passes: its MD5 (the ETag) and the checksums that its sender named.

CRC32, SHA-1 and SHA-256 are verified and kept. CRC32C, CRC-64/NVME, SHA-512 and the XXH family are accepted unverified
and not kept: the standard library has none of these CRCs, and in plain Python they cost minutes a gigabyte.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable
from typing import Protocol

from mooring.objects.errors import S3Error

CHECKSUM_PREFIX = "x-amz-checksum-"


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _make(name: str) -> _Hash:
    if name == "crc32":
        return _Crc32()
    return hashlib.new(name, usedforsecurity=False)


VERIFIED = ("crc32", "sha1", "sha256")
UNVERIFIED = ("crc32c", "crc64nvme", "sha512", "md5", "xxhash3", "xxhash64", "xxhash128")


class Digests:
    """MD5 and the checksums `names`, fed once with everything."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._hashes = {name: _make(name) for name in {"md5", *names}}

    def update(self, data: memoryview) -> None:
        """Take the next bytes; leaves Python's lock for all but tiny pieces."""
        for each in self._hashes.values():
            each.update(data)

    @property
    def md5(self) -> str:
        return self._hashes["md5"].digest().hex()

    def hex(self, name: str) -> str:
        """One digest in hexadecimal."""
        return self._hashes[name].digest().hex()

    def base64(self, name: str) -> str:
        """One digest as S3's headers carry it."""
        return base64.b64encode(self._hashes[name].digest()).decode()


def content_md5(value: str | None) -> str | None:
    """A Content-MD5 header in hexadecimal; `InvalidDigest` when it is none."""
    if value is None:
        return None
    try:
        raw = base64.b64decode(value, validate=True)
    except ValueError:  # binascii.Error is one, and so is text that is not ASCII
        raw = b""
    if len(raw) != 16:
        raise S3Error("InvalidDigest")
    return raw.hex()
