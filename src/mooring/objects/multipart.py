"""Multipart uploads: parts are files beside each other until they are completed into one object.

`uploads/<bucket>/<upload id>/` holds `upload.json` (key, headers, start) and a file for each part whose name says all
of it: `<number>-<md5>-<size>`. So parts survive the death of any process, and nothing in memory grows with an upload.
Completing copies the parts inside the kernel into a staged file and commits that like any object: a crash before the
commit leaves the upload as it was, to be completed again.

The parts of an upload that is to be encrypted are segments of one data key, which lies sealed in `upload.json`: they
are joined as they are. The size in a part's name is of what was uploaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.keys.envelopes import Tampered
from mooring.keys.segments import HEAD_BYTES, Segment, salt_of, stored_size
from mooring.objects.conditions import WriteCondition
from mooring.objects.encryption import Encryption, complete
from mooring.objects.errors import S3Error
from mooring.objects.files import copy_bytes
from mooring.objects.records import Record
from mooring.objects.storage import Staged, Storage, StoredObject
from mooring.processes.files import write_atomically

MOST_PARTS = 10_000
ALONE_S = 45.0
SMALLEST_PART = 5 * 1024 * 1024
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"(\d{5})-([0-9a-f]{32})-(\d+)")


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is neither completed nor aborted."""

    bucket: str
    key: str
    id: str
    headers: dict[str, str]
    tags: dict[str, str]
    started_s: float
    encryption: Encryption | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One received part."""

    number: int
    etag: str
    size: int
    modified_s: float
    path: Path


class Uploads:
    """All multipart uploads of a store."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._changed = threading.Condition()
        self._completing: set[str] = set()

    def create(
        self,
        bucket: str,
        key: str,
        headers: dict[str, str],
        tags: dict[str, str],
        started_s: float,
        encryption: Encryption | None = None,
    ) -> Upload:
        """Begin an upload."""
        self._storage.check(bucket, key, WriteCondition())
        upload = Upload(bucket, key, uuid.uuid4().hex, headers, tags, started_s, encryption)
        directory = self._directory(bucket, upload.id)
        directory.mkdir(mode=0o700, parents=True)
        document: dict[str, Any] = {"key": key, "headers": headers, "tags": tags, "started_s": started_s}
        if encryption is not None:
            document["encryption"] = encryption.to_document()
        write_atomically(directory / "upload.json", json.dumps(document).encode(), durable=True)
        return upload

    def find(self, bucket: str, key: str | None, upload_id: str) -> Upload:
        """An upload by its id, which must be one of this key."""
        self._storage.need_bucket(bucket)
        try:
            if not _UPLOAD_ID.fullmatch(upload_id):
                raise FileNotFoundError
            document = json.loads((self._directory(bucket, upload_id) / "upload.json").read_bytes())
        except (FileNotFoundError, ValueError):
            raise S3Error("NoSuchUpload", UploadId=upload_id) from None
        if key is not None and document["key"] != key:
            raise S3Error("NoSuchUpload", UploadId=upload_id)
        tags = document.get("tags", {})  # an upload of an older Mooring has none
        encryption = Encryption(**document["encryption"]) if "encryption" in document else None
        return Upload(bucket, document["key"], upload_id, document["headers"], tags, document["started_s"], encryption)

    def all(self, bucket: str) -> list[Upload]:
        """A bucket's uploads, in the order of key and start."""
        self._storage.need_bucket(bucket)
        found = []
        directory = self._storage.uploads / bucket
        for each in directory.iterdir() if directory.is_dir() else ():
            with contextlib.suppress(S3Error):
                found.append(self.find(bucket, None, each.name))
        return sorted(found, key=lambda upload: (upload.key.encode(), upload.started_s, upload.id))

    def parts(self, upload: Upload) -> list[Part]:
        """The parts received so far, by number; of one sent twice, the later."""
        found: dict[int, Part] = {}
        with contextlib.suppress(FileNotFoundError):
            for path in self._directory(upload.bucket, upload.id).iterdir():
                part = _part(path)
                if part is not None and (part.number not in found or part.modified_s >= found[part.number].modified_s):
                    found[part.number] = part
        return [found[number] for number in sorted(found)]

    def add_part(self, upload: Upload, number: int, staged: Staged, etag: str, size: int) -> None:
        """Keep a received part; one with the same number is replaced."""
        directory = self._directory(upload.bucket, upload.id)
        target = directory / f"{number:05}-{etag}-{size}"
        try:
            staged.path.rename(target)
        except FileNotFoundError:
            raise S3Error("NoSuchUpload", UploadId=upload.id) from None
        for path in directory.glob(f"{number:05}-*"):
            if path != target:
                path.unlink(missing_ok=True)

    def abort(self, upload: Upload) -> None:
        """Forget an upload and its parts."""
        with self._completing_alone(upload):
            self._discard(upload)

    def complete(
        self,
        upload: Upload,
        named: Sequence[tuple[int, str]],
        condition: WriteCondition,
        data_key: bytes | None = None,
    ) -> StoredObject:
        """Make the named parts (number, ETag) one object; `data_key` is that of an encrypted upload."""
        with self._completing_alone(upload):
            self.find(upload.bucket, upload.key, upload.id)
            chosen = self._choose(upload, named)
            self._storage.check(upload.bucket, upload.key, condition)
            with self._storage.stage() as staged:
                segments = []
                for part in chosen:
                    with part.path.open("rb") as source:
                        segment = _segment(source.fileno(), part, upload)
                        segments.append(segment)
                        copy_bytes(source.fileno(), staged.fd, 0, part.size if segment is None else segment.stored)
                etag = etag_of([part.etag for part in chosen])
                record = _record(upload, etag, [each for each in segments if each is not None], data_key)
                stored = self._storage.commit(upload.bucket, upload.key, staged, record, condition)
            self._discard(upload)
            return stored

    def _choose(self, upload: Upload, named: Sequence[tuple[int, str]]) -> list[Part]:
        numbers = [number for number, _ in named]
        if not numbers:
            raise S3Error("MalformedXML")
        if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
            raise S3Error("InvalidPartOrder")
        received = {part.number: part for part in self.parts(upload)}
        chosen = []
        for number, etag in named:
            part = received.get(number)
            if part is None or part.etag != etag.strip('"') or part.path.stat().st_size != _stored(part, upload):
                raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(number))
            chosen.append(part)
        for part in chosen[:-1]:
            if part.size < SMALLEST_PART:
                raise S3Error("EntityTooSmall", PartNumber=str(part.number), ProposedSize=str(part.size))
        return chosen

    @contextlib.contextmanager
    def _completing_alone(self, upload: Upload) -> Iterator[None]:
        """Of two completions or aborts of one upload the second waits, within the time that clients wait."""
        with self._changed:
            if not self._changed.wait_for(lambda: upload.id not in self._completing, ALONE_S):
                raise S3Error("SlowDown", "This upload is being completed or aborted.")
            self._completing.add(upload.id)
        try:
            yield
        finally:
            with self._changed:
                self._completing.discard(upload.id)
                self._changed.notify_all()

    def _discard(self, upload: Upload) -> None:
        directory = self._directory(upload.bucket, upload.id)
        (directory / "upload.json").unlink(missing_ok=True)  # first: from here on there is no such upload
        shutil.rmtree(directory, ignore_errors=True)

    def _directory(self, bucket: str, upload_id: str) -> Path:
        return self._storage.uploads / bucket / upload_id


def _part(path: Path) -> Part | None:
    named = _PART.fullmatch(path.name)
    if named is None:
        return None
    try:
        modified = path.stat().st_mtime
    except FileNotFoundError:
        return None
    return Part(int(named[1]), named[2], int(named[3]), modified, path)


def _stored(part: Part, upload: Upload) -> int:
    return part.size if upload.encryption is None else stored_size(part.size)


def _segment(fd: int, part: Part, upload: Upload) -> Segment | None:
    if upload.encryption is None:
        return None
    try:
        return Segment(part.size, salt_of(os.pread(fd, HEAD_BYTES, 0)))
    except Tampered:
        raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(part.number)) from None


def _record(upload: Upload, etag: str, segments: list[Segment], data_key: bytes | None) -> Record:
    document = None
    if upload.encryption is not None and data_key is not None:
        document = complete(upload.encryption, data_key, segments, etag, {})
    return Record(etag, upload.headers, tags=upload.tags, encryption=document)


def etag_of(parts: Sequence[str]) -> str:
    """The ETag of an object made of parts with these MD5s."""
    joined = b"".join(bytes.fromhex(part) for part in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
