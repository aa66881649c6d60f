"""Unpacking a model archive that a stranger made.

Runs in a child process that can be killed (`mooring.engines.fetching`). Guarantees: nothing is written outside the
target directory, no link or device file is made, and neither the sum of the files nor their number exceeds the
bounds, whatever the archive's headers claim. On any fault an `ArtifactError` says which member and why.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from mooring.errors import ArtifactError
from mooring.settings import ArtifactSettings

COPY_BYTES = 1024 * 1024
LONGEST_NAME = 4096


class Readable(Protocol):
    """All that is asked of a stream: `read(n)` gives at most n bytes, and none at its end."""

    def read(self, size: int, /) -> bytes: ...


def unpack(archive: Readable, target: Path, bounds: ArtifactSettings) -> None:
    """Unpack a tar stream (gzip or plain) into `target`, which exists and is empty."""
    room = bounds.unpacked_limit_bytes
    members = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|*", errorlevel=2) as tar:  # type: ignore[call-overload]  # it only reads
            for member in tar:
                members += 1
                if members > bounds.file_limit:
                    raise ArtifactError(f"it has more than {bounds.file_limit} members")
                room -= _place(tar, member, target, room)
    except (ArtifactError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - tarfile and its decompressors raise anything on hostile bytes
        raise ArtifactError(_fault(error)) from None


def _fault(error: Exception) -> str:
    if isinstance(error, tarfile.ReadError):
        return "it is not a tar.gz archive, or it is cut short"
    if isinstance(error, OSError) and error.errno is not None:
        return f"it could not be written: {error.strerror}"
    return f"it is damaged ({error})" if str(error) else "it is cut short"


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, room: int) -> int:
    """Write one member; returns the bytes it took."""
    path = target / _inside(member.name)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return 0
    if member.issym():
        raise ArtifactError(f'"{member.name}" is a symbolic link; SageMaker accepts none in model data')
    if member.islnk():
        return _copy_of_earlier(member, path, target, room)
    if not member.isreg():
        raise ArtifactError(f'"{member.name}" is neither a file nor a directory')
    source = tar.extractfile(member)
    if source is None:
        raise ArtifactError(f'"{member.name}" has no content')
    path.parent.mkdir(parents=True, exist_ok=True)
    return _copy(source, path, member, room)


def _copy(source: Readable, path: Path, member: tarfile.TarInfo, room: int) -> int:
    taken = 0
    with path.open("wb") as sink:
        while chunk := source.read(COPY_BYTES):
            taken += len(chunk)
            if taken > room:
                raise ArtifactError("its files are larger than the limit for unpacked model data")
            sink.write(chunk)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)
    return taken


def _copy_of_earlier(member: tarfile.TarInfo, path: Path, target: Path, room: int) -> int:
    """A hard link becomes a copy of the file that it names, which must have been unpacked before."""
    source = target / _inside(member.linkname)
    if source == path or not source.is_file():
        raise ArtifactError(f'"{member.name}" links to "{member.linkname}", which is not in the archive before it')
    size = source.stat().st_size
    if size > room:
        raise ArtifactError("its files are larger than the limit for unpacked model data")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    return size


def _inside(name: str) -> PurePosixPath:
    """The member's path, proven to stay below the target."""
    path = PurePosixPath(name)
    if len(name) > LONGEST_NAME or "\0" in name:
        raise ArtifactError("a member's name is too long or has a NUL in it")
    if path.is_absolute() or ".." in path.parts:
        raise ArtifactError(f'"{name}" would be written outside the model directory')
    return path
