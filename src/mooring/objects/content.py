"""What an object holds, read alike whether its file is plain or encrypted, and written as its encryption asks.

A plain file is sent and copied by the kernel; only an encrypted one passes through this process, chunk by chunk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mooring.keys.envelopes import Tampered
from mooring.keys.segments import Segment, read_segment
from mooring.objects.digests import Digests
from mooring.objects.encryption import Encryption, check, complete
from mooring.objects.errors import S3Error
from mooring.objects.files import copy_bytes, hash_range
from mooring.objects.records import Record
from mooring.objects.storage import Staged, StoredObject

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a new object is encrypted, with its data key in the open."""

    encryption: Encryption
    data_key: bytes = field(repr=False)

    def record(
        self,
        segments: list[Segment],
        etag: str,
        headers: dict[str, str],
        checksums: Mapping[str, str],
        tags: dict[str, str],
    ) -> Record:
        """The record of an object that has been written so."""
        document = complete(self.encryption, self.data_key, segments, etag, checksums)
        return Record(etag, headers, tags=tags, encryption=document)


def data_key_of(sealing: Sealing | None) -> bytes | None:
    """The key that a staged file is encrypted with."""
    return None if sealing is None else sealing.data_key


def written(
    staged: Staged,
    sealing: Sealing | None,
    md5: str,
    headers: dict[str, str],
    checksums: dict[str, str],
    tags: dict[str, str],
) -> Record:
    """The record of what has been staged whole, encrypted or not."""
    segment = staged.finish()
    if sealing is None or segment is None:
        return Record(md5, headers, checksums, tags)
    return sealing.record([segment], sealing.encryption.etag(sealing.data_key, md5), headers, checksums, tags)


class Content:
    """What an open file holds. Made by `content_of`."""

    def __init__(self, fd: int, size: int, encryption: Encryption | None, data_key: bytes) -> None:
        self._fd = fd
        self.size = size
        self._encryption = encryption
        self._data_key = data_key

    def pieces(self, offset: int, count: int) -> Iterator[bytes]:
        """A range, piece by piece. Raises `S3Error` when the file is not as it was written."""
        if self._encryption is None:
            yield from self._plain(offset, count)
            return
        base = 0
        for segment in self._encryption.parts():
            taken = max(0, min(count, segment.size - offset))
            if taken:
                yield from self._opened(segment, base, offset, taken)
                count -= taken
            offset = max(0, offset - segment.size)
            base += segment.stored
            if not count:
                return

    def copy(self, staged: Staged, offset: int, count: int) -> None:
        """Append a range to a staged file: in the kernel, where neither is encrypted."""
        if self._encryption is None and not staged.is_sealed:
            copy_bytes(self._fd, staged.fd, offset, count)
            return
        for piece in self.pieces(offset, count):
            staged.write(memoryview(piece))

    def copy_hashed(self, staged: Staged, offset: int, count: int) -> str:
        """The same, and its MD5."""
        digests = Digests()
        if self._encryption is None and not staged.is_sealed:
            copy_bytes(self._fd, staged.fd, offset, count)
            hash_range(self._fd, offset, count, digests)
            return digests.md5
        for piece in self.pieces(offset, count):
            digests.update(memoryview(piece))
            staged.write(memoryview(piece))
        return digests.md5

    def _plain(self, offset: int, count: int) -> Iterator[bytes]:
        while count:
            piece = os.pread(self._fd, min(count, _PIECE_BYTES), offset)
            if not piece:
                raise S3Error("InternalError", "A stored file is shorter than recorded.")
            yield piece
            offset += len(piece)
            count -= len(piece)

    def _opened(self, segment: Segment, base: int, offset: int, count: int) -> Iterator[bytes]:
        def read(at: int, some: int) -> bytes:
            return os.pread(self._fd, some, base + at)

        try:
            yield from read_segment(self._data_key, segment, read, offset, count)
        except Tampered:
            raise _damaged() from None


def content_of(fd: int, found: StoredObject, encryption: Encryption | None, data_key: bytes) -> Content:
    """What the file of an object holds. Raises `S3Error` when its record is not as it was written."""
    if encryption is not None:
        try:
            check(encryption, data_key, found.record.etag)
        except Tampered:
            raise _damaged() from None
    return Content(fd, found.size, encryption, data_key)


def _damaged() -> S3Error:
    return S3Error("InternalError", "The stored object is not as it was written: restore it from a copy.")
