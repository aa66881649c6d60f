"""What is known of an object beside its bytes: ETag, headers, checksums; and how both change in one step.

A record file belongs to a key and holds one record for each *version* of the object's file, a version being the
file's modification time in nanoseconds and its size. To replace an object its new record is added to the record file
first, durably, and then the new bytes are renamed into place: **that rename is the one step that changes both**, since
a reader looks the record up by the version of the file that it has opened. A crash before it leaves the old object with
its old record, a crash after it the new one with the new. What is left of superseded versions is dropped at the next
change. A file that a person put or edited by hand has no record: it is hashed once, when first asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mooring.processes.files import write_atomically


@dataclass(frozen=True, slots=True)
class Record:
    """One version of an object, without its bytes. Names of headers are in lower case, values latin-1."""

    etag: str
    headers: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    encryption: dict[str, Any] | None = None
    """How the bytes are encrypted, see `mooring.objects.encryption`; None when they are not."""

    def size_of(self, stored: int) -> int:
        """How large the object is whose file has `stored` bytes."""
        return stored if self.encryption is None else sum(int(size) for size, _ in self.encryption["segments"])

    def to_document(self) -> dict[str, Any]:
        """As JSON; one that is not encrypted says nothing of it."""
        document = asdict(self)
        if self.encryption is None:
            del document["encryption"]
        return document


def version_of(status: os.stat_result) -> str:
    """What ties a record to a file's bytes."""
    return f"{status.st_mtime_ns}-{status.st_size}"


class Records:
    """The record files of all buckets, below one directory. The caller holds the key's lock."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, bucket: str, key: str, version: str) -> Record | None:
        """The record of exactly this version."""
        found = self._read(self._path(bucket, key)).get(version)
        return None if found is None else Record(**found)  # type: ignore[arg-type]  # as `add` wrote it

    def restored(self, bucket: str, key: str, size: int) -> Record | None:
        """The record of an encrypted file of this size that has another time than it had: a backup such as tar's keeps
        no nanoseconds. It is only a guess until the file is read, which proves it; None when there are several.
        """
        versions = self._read(self._path(bucket, key))
        found = [each for name, each in versions.items() if each.get("encryption") and name.endswith(f"-{size}")]
        return Record(**found[0]) if len(found) == 1 else None  # type: ignore[arg-type]  # as `add` wrote it

    def add(
        self,
        bucket: str,
        key: str,
        version: str,
        record: Record,
        *,
        beside: str | None = None,
        durable: bool = True,
    ) -> None:
        """Add a version, and keep of the others only `beside`, which is the one that is visible now."""
        path = self._path(bucket, key)
        versions = {name: value for name, value in self._read(path).items() if name == beside}
        versions[version] = record.to_document()
        content = json.dumps({"key": key, "versions": versions}, separators=(",", ":"), ensure_ascii=False).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, durable=durable)

    def drop(self, bucket: str, key: str) -> None:
        """Forget a key."""
        self._path(bucket, key).unlink(missing_ok=True)

    def drop_bucket(self, bucket: str) -> None:
        """Forget an empty bucket's leftovers."""
        directory = self._root / bucket
        if not directory.is_dir():
            return
        for shelf in directory.iterdir():
            for leftover in shelf.iterdir():
                leftover.unlink()
            shelf.rmdir()
        directory.rmdir()

    def _path(self, bucket: str, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._root / bucket / digest[:2] / f"{digest}.json"

    @staticmethod
    def _read(path: Path) -> dict[str, dict[str, object]]:
        try:
            versions = json.loads(path.read_bytes())["versions"]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError):
            return {}  # damaged by something else than us: the object is hashed anew
        return versions if isinstance(versions, dict) else {}
