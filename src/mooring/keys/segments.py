"""Files of any length, encrypted in chunks: written in one pass, read from anywhere, with little memory.

A segment is

    "MOORING SEALED 1" (16 bytes) · salt (16) · chunks: ciphertext of 256 KiB, the last of less · tag (16), each

by AES-256-GCM under HMAC-SHA256 of the data key and the salt, so that segments of one data key may be written in any
number and order. A chunk's nonce is its place and whether it is the last (the STREAM construction): none can be
changed, moved, repeated, or cut off. An empty segment has one empty chunk.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mooring.keys.envelopes import TAG_BYTES, Tampered

MARK = b"MOORING SEALED 1"
SALT_BYTES = 16
HEAD_BYTES = len(MARK) + SALT_BYTES
CHUNK_BYTES = 256 * 1024
_NONCE = struct.Struct(">3xQB")


@dataclass(frozen=True, slots=True)
class Segment:
    """What must be known of a segment to read it, beside its data key."""

    size: int
    """Of what was encrypted."""
    salt: bytes

    @property
    def stored(self) -> int:
        """Bytes that it takes."""
        return stored_size(self.size)


def stored_size(size: int) -> int:
    """How long the segment of so many bytes is."""
    return HEAD_BYTES + size + TAG_BYTES * (_last_of(size) + 1)


def salt_of(head: bytes) -> bytes:
    """The salt of a segment that begins like this. Raises `Tampered` when none does."""
    if len(head) < HEAD_BYTES or not head.startswith(MARK):
        raise Tampered
    return head[len(MARK) : HEAD_BYTES]


class SegmentWriter:
    """Encrypts what passes to `sink`; holds one chunk, until it is known whether that is the last."""

    def __init__(self, data_key: bytes, sink: Callable[[bytes], None]) -> None:
        self._salt = os.urandom(SALT_BYTES)
        self._cipher = _cipher(data_key, self._salt)
        self._sink = sink
        self._held = bytearray(CHUNK_BYTES)
        self._filled = 0
        self._index = 0
        sink(MARK + self._salt)

    def write(self, data: memoryview) -> None:
        """The next bytes."""
        while data:
            if self._filled == CHUNK_BYTES:
                self._seal(last=False)
            count = min(len(data), CHUNK_BYTES - self._filled)
            self._held[self._filled : self._filled + count] = data[:count]
            self._filled += count
            data = data[count:]

    def finish(self) -> Segment:
        """Write the last chunk; nothing may follow."""
        size = self._index * CHUNK_BYTES + self._filled
        self._seal(last=True)
        return Segment(size, self._salt)

    def _seal(self, *, last: bool) -> None:
        nonce = _NONCE.pack(self._index, last)
        self._sink(self._cipher.encrypt(nonce, memoryview(self._held)[: self._filled], None))
        self._index += 1
        self._filled = 0


def read_segment(
    data_key: bytes, segment: Segment, read: Callable[[int, int], bytes], offset: int, count: int
) -> Iterator[bytes]:
    """The `count` bytes from `offset` on, chunk by chunk. `read(offset, count)` reads what is stored.

    Raises `Tampered` before it gives anything of a chunk that is not as it was written.
    """
    from cryptography.exceptions import InvalidTag

    cipher, last = _cipher(data_key, segment.salt), _last_of(segment.size)
    index, skipped = divmod(offset, CHUNK_BYTES)
    while count > 0:
        held = min(CHUNK_BYTES, segment.size - index * CHUNK_BYTES)
        stored = read(HEAD_BYTES + index * (CHUNK_BYTES + TAG_BYTES), held + TAG_BYTES)
        try:
            plain = cipher.decrypt(_NONCE.pack(index, index == last), stored, None)
        except InvalidTag:
            raise Tampered from None
        piece = plain[skipped : skipped + count] if skipped or count < held else plain
        yield piece
        count -= len(piece)
        index, skipped = index + 1, 0


def _cipher(data_key: bytes, salt: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 80 ms and 9 MB, needed only where keys are

    return AESGCM(hmac.digest(data_key, b"mooring/segment\n" + salt, "sha256"))


def _last_of(size: int) -> int:
    return max(0, (size - 1) // CHUNK_BYTES)
