"""The store: buckets and objects as directories and plain files, changed in single steps.

Layout below `objects/` of the data directory::

    buckets/<bucket>/<path of the key>     the bytes; see `mooring.objects.keys`
    records/<bucket>/<..>/<hash>.json      ETag, headers, checksums; see `mooring.objects.records`
    staging/                               uploads on their way; emptied at start
    uploads/<bucket>/<upload id>/          multipart uploads; see `mooring.objects.multipart`

One process serves one store, so the locks are in memory: one of `_STRIPES` by the key's hash, held while an object is
looked up or replaced, never while bytes are received. A commit is durable when it returns.
"""
# ruff: noqa: PTH104, PTH108, PTH118, PTH120
# Keys are bytes, and pathlib takes none.

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mooring.keys.segments import MARK, Segment, SegmentWriter
from mooring.objects import keys
from mooring.objects.conditions import WriteCondition
from mooring.objects.errors import S3Error
from mooring.objects.files import make_directories, md5_of, prune, remove_empty, sync_directory
from mooring.objects.records import Record, Records, version_of
from mooring.processes.files import write_atomically

CREATED = "created"
_STRIPES = 256


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was when it was looked up."""

    key: str
    size: int
    modified_ns: int
    record: Record

    @property
    def modified_s(self) -> int:
        return self.modified_ns // 1_000_000_000


class Staged:
    """Bytes that belong to no key yet; gone when the `with` ends, unless they were moved on.

    With a data key nothing of them reaches the disk in the open.
    """

    def __init__(self, path: Path, data_key: bytes | None = None) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._sealed = None if data_key is None else SegmentWriter(data_key, self._write)
        except BaseException:  # a full disk has no room for its head either
            self.__exit__()
            raise

    @property
    def is_sealed(self) -> bool:
        return self._sealed is not None

    def write(self, data: memoryview) -> None:
        """Append all of `data`."""
        if self._sealed is None:
            self._write(data)
        else:
            self._sealed.write(data)

    def finish(self) -> Segment | None:
        """Write what is held back; how to read it again, if it is encrypted. Nothing may be appended after it."""
        return None if self._sealed is None else self._sealed.finish()

    def _write(self, data: memoryview | bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        self.path.unlink(missing_ok=True)


class Storage:
    """All buckets of one data directory."""

    def __init__(self, root: Path) -> None:
        self._buckets = root / "buckets"
        self._staging = root / "staging"
        self.uploads = root / "uploads"
        self._records = Records(root / "records")
        self._locks = [threading.Lock() for _ in range(_STRIPES)]

    def open(self) -> None:
        """Make the directories and drop what uploads left that a killed process was receiving."""
        shutil.rmtree(self._staging, ignore_errors=True)
        for directory in (self._buckets, self._staging, self.uploads):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    # Buckets

    def buckets(self) -> list[tuple[str, float]]:
        """Name and creation time of every bucket, by name."""
        with os.scandir(self._buckets) as entries:
            names = sorted(
                each.name for each in entries if each.is_dir(follow_symlinks=False) and _is_bucket(each.name)
            )
        return [(name, self._created(name)) for name in names]

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is such a bucket; never for a name that none may have."""
        return _is_bucket(bucket) and (self._buckets / bucket).is_dir()

    def need_bucket(self, bucket: str) -> None:
        """Raise NoSuchBucket unless it is there."""
        if not self.has_bucket(bucket):
            raise S3Error("NoSuchBucket", BucketName=bucket)

    def create_bucket(self, bucket: str, region: str) -> bool:
        """Create a bucket in a region; False when it was there, wherever."""
        keys.check_bucket(bucket)
        try:
            (self._buckets / bucket).mkdir(mode=0o700)
        except FileExistsError:
            return False
        sync_directory(os.fsencode(self._buckets))
        self._stone(bucket).write_text(region, "ascii")
        return True

    def delete_bucket(self, bucket: str) -> None:
        """Delete a bucket that holds no object; its unfinished uploads go with it."""
        with contextlib.ExitStack() as everything:
            for lock in self._locks:  # always in this order, and nobody else holds two
                everything.enter_context(lock)
            self.need_bucket(bucket)
            if not remove_empty(self.bucket_path(bucket)):
                raise S3Error("BucketNotEmpty", BucketName=bucket)
            shutil.rmtree(self.uploads / bucket, ignore_errors=True)
            self._records.drop_bucket(bucket)

    def bucket_path(self, bucket: str) -> bytes:
        """The directory of a bucket's objects. Raises NoSuchBucket for a name that none may have, such as `..`."""
        if not _is_bucket(bucket):
            raise S3Error("NoSuchBucket", BucketName=bucket)
        return os.fsencode(self._buckets / bucket)

    def region_of(self, bucket: str) -> str | None:
        """The region that the bucket was made in; None for a directory that a person made. Raises NoSuchBucket."""
        self.need_bucket(bucket)
        return self._stone(bucket).read_text("ascii", "replace") or None

    def bucket_tags(self, bucket: str) -> dict[str, str]:
        """The tags of a bucket."""
        self.need_bucket(bucket)
        with contextlib.suppress(FileNotFoundError):
            tags: dict[str, str] = json.loads(self._bucket_tags(bucket).read_bytes())
            return tags
        return {}

    def tag_bucket(self, bucket: str, tags: dict[str, str]) -> None:
        """Give a bucket these tags instead of those that it has."""
        self.need_bucket(bucket)
        self._stone(bucket)
        write_atomically(self._bucket_tags(bucket), json.dumps(tags).encode(), durable=True)

    def _bucket_tags(self, bucket: str) -> Path:
        return self.uploads / bucket / "tags"

    def bucket_encryption(self, bucket: str) -> dict[str, Any] | None:
        """How a bucket's new objects are encrypted that say nothing of it: `algorithm`, `key_id`, `bucket_key`."""
        self.need_bucket(bucket)
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(self._bucket_encryption(bucket).read_bytes())
            return found
        return None

    def encrypt_bucket(self, bucket: str, default: dict[str, Any] | None) -> None:
        """Set that, or have none."""
        self.need_bucket(bucket)
        self._stone(bucket)
        path = self._bucket_encryption(bucket)
        if default is not None:
            write_atomically(path, json.dumps(default).encode(), durable=True)
            return
        path.unlink(missing_ok=True)
        sync_directory(os.fsencode(path.parent))

    def _bucket_encryption(self, bucket: str) -> Path:
        return self.uploads / bucket / "encryption"

    def _created(self, bucket: str) -> float:
        """When the bucket was made: a file's time, since the directories' change with their content."""
        return self._stone(bucket).stat().st_mtime

    def _stone(self, bucket: str) -> Path:
        """The file that was made with the bucket and holds its region; made now for a directory of a person's."""
        stone = self.uploads / bucket / CREATED
        if not stone.exists():
            stone.parent.mkdir(mode=0o700, exist_ok=True)
            stone.touch(mode=0o600)
        return stone

    # Objects

    def stage(self, data_key: bytes | None = None) -> Staged:
        """A file to receive an upload into, encrypted if there is a key for it."""
        return Staged(self._staging / uuid.uuid4().hex, data_key)

    @contextlib.contextmanager
    def opened(self, bucket: str, key: str) -> Iterator[tuple[int, StoredObject]]:
        """An object's open file and what is known of it: both of the same version, however often it is replaced."""
        fd, found = self.open_object(bucket, key)
        try:
            yield fd, found
        finally:
            os.close(fd)

    def open_object(self, bucket: str, key: str) -> tuple[int, StoredObject]:
        """As `opened`, for a caller who closes the file."""
        with self._lock(bucket, key):
            fd, status, record = self._look_up(bucket, key)
        if record is None:
            try:
                record = self._adopt(bucket, key, fd, status)
            except BaseException:
                os.close(fd)
                raise
        return fd, StoredObject(key, record.size_of(status.st_size), status.st_mtime_ns, record)

    def stat(self, bucket: str, key: str) -> StoredObject:
        """What is known of an object."""
        with self.opened(bucket, key) as (_, found):
            return found

    def commit(self, bucket: str, key: str, staged: Staged, record: Record, condition: WriteCondition) -> StoredObject:
        """Make staged bytes the object, or raise and leave everything as it was."""
        target = os.path.join(self.bucket_path(bucket), keys.path_of(key))
        os.fdatasync(staged.fd) if hasattr(os, "fdatasync") else os.fsync(staged.fd)
        with self._lock(bucket, key):
            current = self._current(bucket, key)
            condition.check(current[1] if current else None)
            status = _stamp(staged.fd, after=current[0] if current else None)
            beside = version_of(current[0]) if current else None
            self._records.add(bucket, key, version_of(status), record, beside=beside)
            self._place(bucket, os.fsencode(staged.path), target)
        return StoredObject(key, record.size_of(status.st_size), status.st_mtime_ns, record)

    def check(self, bucket: str, key: str, condition: WriteCondition) -> None:
        """Refuse early what `commit` would refuse now: before bytes are received."""
        self.need_bucket(bucket)
        keys.path_of(key)
        if condition.is_given:
            with self._lock(bucket, key):
                current = self._current(bucket, key)
            condition.check(current[1] if current else None)

    def tag_object(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        """Give an object these tags instead of those that it has; nothing else of it changes."""
        with self.opened(bucket, key):  # hashes one that a person put, before the lock
            pass
        with self._lock(bucket, key):
            fd, status, record = self._look_up(bucket, key)
            try:
                known = record or Record(md5_of(fd))
            finally:
                os.close(fd)
            self._records.add(bucket, key, version_of(status), dataclasses.replace(known, tags=tags))

    def delete(self, bucket: str, key: str, condition: WriteCondition) -> None:
        """Delete an object; one that is not there is deleted already."""
        self.need_bucket(bucket)
        top = self.bucket_path(bucket)
        path = os.path.join(top, keys.path_of(key))
        with self._lock(bucket, key):
            if condition.is_given:
                current = self._current(bucket, key)
                condition.check(current[1] if current else None)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                os.unlink(path)
                sync_directory(os.path.dirname(path))
            self._records.drop(bucket, key)
        prune(os.path.dirname(path), top)

    # Below

    def _lock(self, bucket: str, key: str) -> threading.Lock:
        return self._locks[hash((bucket, key)) % _STRIPES]

    def _look_up(self, bucket: str, key: str) -> tuple[int, os.stat_result, Record | None]:
        path = os.path.join(self.bucket_path(bucket), keys.path_of(key))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                raise
            self.need_bucket(bucket)
            raise S3Error("NoSuchKey", Key=key) from None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise S3Error("NoSuchKey", Key=key)
            return fd, status, self._records.find(bucket, key, version_of(status))
        except BaseException:
            os.close(fd)
            raise

    def _current(self, bucket: str, key: str) -> tuple[os.stat_result, str] | None:
        """The visible version and its ETag, with the key's lock held."""
        try:
            fd, status, record = self._look_up(bucket, key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        try:
            return status, record.etag if record else md5_of(fd)
        finally:
            os.close(fd)

    def _adopt(self, bucket: str, key: str, fd: int, status: os.stat_result) -> Record:
        record = self._restored(bucket, key, status) if os.pread(fd, len(MARK), 0) == MARK else Record(md5_of(fd))
        with self._lock(bucket, key), contextlib.suppress(S3Error):
            again, now, _ = self._look_up(bucket, key)
            os.close(again)
            if version_of(now) == version_of(status):
                self._records.add(bucket, key, version_of(status), record, durable=False)
        return record

    def _restored(self, bucket: str, key: str, status: os.stat_result) -> Record:
        with self._lock(bucket, key):
            found = self._records.restored(bucket, key, status.st_size)
        if found is None:
            raise S3Error("InternalError", "What is known of this encrypted object is lost: restore its record.")
        return found

    def _place(self, bucket: str, source: bytes, target: bytes) -> None:
        top = self.bucket_path(bucket)
        for _ in range(100):  # a delete beside us may remove the directories again
            try:
                make_directories(os.path.dirname(target), top)
                os.rename(source, target)
                sync_directory(os.path.dirname(target))
            except FileNotFoundError:
                self.need_bucket(bucket)
                continue
            return
        raise S3Error("SlowDown")


def _is_bucket(name: str) -> bool:
    try:
        keys.check_bucket(name)
    except S3Error:
        return False
    return True


def _stamp(fd: int, *, after: os.stat_result | None) -> os.stat_result:
    """Give the file a modification time that the version it replaces does not have."""
    moment = time.time_ns()
    if after is not None and moment <= after.st_mtime_ns:
        moment = after.st_mtime_ns + 1
    os.utime(fd, ns=(moment, moment))
    return os.fstat(fd)
