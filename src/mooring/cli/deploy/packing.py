"""Archives of model data: made so that the same files give the same bytes, and read without unpacking.

Order, times, owners and modes of the members come from here, not from the file system; so an archive's digest names
its content, and what lies in S3 under it need not be sent again.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from mooring.cli.deploy.sources import HEAD_BYTES, MOST_HEADS, Entry, is_telling
from mooring.errors import BadInput

LEVEL = 1
"""Of gzip: weights hardly get smaller at a higher one, and it takes several times as long."""
CHUNK_BYTES = 1024 * 1024

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Archive:
    """A model.tar.gz on this machine."""

    path: Path
    size: int
    digest: str
    """SHA-256, in hexadecimal."""


class Stream(Protocol):
    """What can be read on."""

    def read(self, size: int = -1, /) -> bytes: ...


def pack(entries: tuple[Entry, ...], target: Path, advance: Advance) -> Archive:
    """Write an archive of `entries`; `advance` hears of the bytes that went in. Raises `BadInput`."""
    try:
        with target.open("wb") as file:
            sink = _Digesting(file)
            packed = gzip.GzipFile("", "wb", LEVEL, sink, mtime=0)
            with (
                packed,
                tarfile.TarFile(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, copybufsize=CHUNK_BYTES) as tar,
            ):
                for entry in entries:
                    _add(tar, entry, advance)
    except OSError as error:
        raise BadInput(f"cannot write {target}: {error.strerror or error} (TMPDIR names another place)") from None
    return Archive(target, sink.size, sink.digest.hexdigest())


def archive_at(path: Path, advance: Advance) -> Archive:
    """An archive that is there already. Raises `BadInput`."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                digest.update(data)
                size += len(data)
                advance(len(data))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from None
    return Archive(path, size, digest.hexdigest())


def look_into(stream: Stream, what: str) -> dict[str, bytes]:
    """The files of an archive and the beginnings of the telling ones. Raises `BadInput` for what SageMaker refuses."""
    heads: dict[str, bytes] = {}
    telling = 0
    try:
        with tarfile.open(fileobj=_as_file(stream), mode="r|gz") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.issym():
                    raise BadInput(f"{name} in {what} is a symbolic link, which SageMaker refuses in model data")
                if not member.isfile():
                    continue
                file = tar.extractfile(member) if is_telling(name) and telling < MOST_HEADS else None
                telling += file is not None
                heads[name] = file.read(HEAD_BYTES) if file is not None else b""
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{what} is not a tar.gz archive, or is damaged: {error}") from None
    if not heads:
        raise BadInput(f"there is nothing to deploy in {what}: it holds no file")
    return heads


def _add(tar: tarfile.TarFile, entry: Entry, advance: Advance) -> None:
    member = tarfile.TarInfo(entry.name)
    if entry.directory:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    member.mode = 0o755 if entry.executable else 0o644
    member.size = entry.size
    if entry.path is None:
        tar.addfile(member, io.BytesIO(entry.text))
        return
    try:
        file = entry.path.open("rb")
    except OSError as error:
        raise BadInput(f"cannot read {entry.path}: {error.strerror}") from None
    with file:
        tar.addfile(member, _as_file(_Whole(file, entry.path, advance)))
        if file.read(1):
            raise _changed(entry.path)


class _Digesting(io.RawIOBase):
    """Writes on, and knows the digest of what went through."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)


class _Whole:
    """A file that must hold as many bytes as its header promises."""

    def __init__(self, file: IO[bytes], path: Path, advance: Advance) -> None:
        self._file = file
        self._path = path
        self._advance = advance

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise BadInput(f"cannot read {self._path}: {error.strerror}") from None
        if len(data) < size:
            raise _changed(self._path)
        self._advance(len(data))
        return data


def _changed(path: Path) -> BadInput:
    return BadInput(f"{path} changed while it was packed: try again")


def _as_file(stream: Stream) -> IO[bytes]:
    return stream  # type: ignore[return-value] # tarfile's streams need `read` alone
