"""Files and directories below the store: copying in the kernel, hashing, and changes that survive power loss.

Paths are bytes, as keys are: whatever the locale, a key's bytes are its file's.
"""
# ruff: noqa: PTH102, PTH106, PTH112, PTH120
# Keys are bytes, and pathlib takes none.

from __future__ import annotations

import contextlib
import os

from mooring.objects.digests import Digests
from mooring.objects.errors import S3Error

_COPY_BYTES = 8 * 1024 * 1024
_HASH_BYTES = 256 * 1024


def copy_bytes(source: int, target: int, offset: int, count: int) -> None:
    """Append a range of one file to another inside the kernel, which shares the blocks where it can."""
    while count:
        done = _copy_some(source, target, offset, min(count, _COPY_BYTES))
        if not done:
            raise S3Error("InternalError", "A stored file is shorter than recorded.")
        offset += done
        count -= done


def _copy_some(source: int, target: int, offset: int, count: int) -> int:
    if hasattr(os, "copy_file_range"):
        return os.copy_file_range(source, target, count, offset_src=offset)
    return os.write(target, os.pread(source, count, offset))


def hash_range(fd: int, offset: int, count: int, digests: Digests) -> None:
    """Feed a range of a file to `digests`."""
    view = memoryview(bytearray(_HASH_BYTES))
    while count and (done := os.preadv(fd, [view[: min(count, _HASH_BYTES)]], offset)):
        digests.update(view[:done])
        offset += done
        count -= done


def md5_of(fd: int) -> str:
    """The MD5 of a whole file, in hexadecimal."""
    digests = Digests()
    hash_range(fd, 0, os.fstat(fd).st_size, digests)
    return digests.md5


def make_directories(path: bytes, top: bytes) -> None:
    """Make the directories below `top`, which must be there, durably."""
    if path == top or os.path.isdir(path):
        return
    make_directories(os.path.dirname(path), top)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        sync_directory(os.path.dirname(path))


def prune(path: bytes, top: bytes) -> None:
    """Remove directories that became empty, from `path` up to below `top`."""
    with contextlib.suppress(OSError):
        while path != top:
            os.rmdir(path)
            path = os.path.dirname(path)


def remove_empty(path: bytes) -> bool:
    """Remove a tree that holds directories only; False, with nothing but empty directories removed, if it does not."""
    with os.scandir(path) as entries:
        for each in entries:
            if not each.is_dir(follow_symlinks=False) or not remove_empty(each.path):
                return False
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def sync_directory(path: bytes) -> None:
    """Make what was created, renamed or removed in a directory survive power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
