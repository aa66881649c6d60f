"""Answers on this machine's disk, from the model's last byte until they are in S3.

A file has its final name only when all of it is on disk, so a name that the queue knows stands for a whole answer. What
no row of the queue names was never promised to anybody, and a control that starts removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mooring.errors import DataDirectoryError
from mooring.processes.files import sync_directory

HELD_BYTES = 128 * 1024
"""Of an answer, before it goes to the file."""
THREADS = 4
SMALL_BYTES = 32 * 1024
"""An answer up to here needs no file: the queue keeps it with the job, which is one write less to wait for."""
RESERVE_BYTES = 16 * 1024 * 1024
"""Left of the disk: below it no model is called, as its answer could not be kept."""


class Spool:
    """The directory, and the threads that wait for its disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="async-spool")

    def open(self, kept: Collection[str]) -> None:
        """Make the directory, and remove every file in it that is not `kept`. Blocks; raises `DataDirectoryError`."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._directory.iterdir():
                if path.name not in kept:
                    path.unlink()
        except OSError as error:
            raise DataDirectoryError(f"cannot use {self._directory}: {error.strerror}") from None

    def begin(self, name: str) -> SpoolFile:
        """A new answer, which will have this name."""
        return SpoolFile(self._directory / name, self._threads)

    def path(self, name: str) -> Path:
        """Where an answer lies."""
        return self._directory / name

    async def read(self, name: str, most: int) -> bytes:
        """The first `most` bytes of an answer. Raises OSError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _beginning, self.path(name), most)

    def remove(self, name: str) -> None:
        """The answer is in S3, or nobody wants it. Returns at once; what a death leaves goes at the next start."""
        self._threads.submit(_remove, self.path(name))

    async def has_room(self) -> bool:
        """Whether there is room for answers. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, shutil.disk_usage, self._directory)
        return found.free > RESERVE_BYTES

    def close(self) -> None:
        """Wait for what is being written. Blocks."""
        self._threads.shutdown()


class SpoolFile:
    """One answer as it comes: `write` its pieces, then `commit`, or `discard`."""

    def __init__(self, path: Path, threads: ThreadPoolExecutor) -> None:
        self.name = path.name
        self.length = 0
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._threads = threads
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._descriptor: int | None = None

    async def write(self, piece: bytes) -> None:
        """Add a piece. Raises OSError where the disk is full."""
        self._held.append(piece)
        self._held_bytes += len(piece)
        self.length += len(piece)
        if self._held_bytes >= HELD_BYTES:
            await self._run(self._write_held)

    def small(self) -> bytes | None:
        """All of an answer that needs no file; `commit` is not called then."""
        if self.length > SMALL_BYTES:
            return None
        return self._held[0] if len(self._held) == 1 else b"".join(self._held)

    async def content(self) -> bytes:
        """All that was written; nothing more is. Raises OSError."""
        held = b"".join(self._held)
        if self._descriptor is None:
            return held
        most = self.length - len(held)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _beginning, self._temporary, most) + held

    async def commit(self) -> None:
        """Have it survive a loss of power under its name. Raises OSError; then it is discarded."""
        try:
            await self._run(self._finish)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Nobody wants it."""
        if self.length > SMALL_BYTES:
            self._threads.submit(self._clear)

    async def _run(self, work: object) -> None:
        assert callable(work)
        # Shielded, since a thread goes on when its waiter is cancelled: `discard` then comes after it.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, work))

    def _write_held(self) -> None:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o600)
        view = memoryview(b"".join(self._held))
        self._held, self._held_bytes = [], 0
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _finish(self) -> None:
        self._write_held()
        assert self._descriptor is not None
        os.fsync(self._descriptor)
        self._temporary.replace(self._path)
        sync_directory(self._path.parent)
        self._close()

    def _clear(self) -> None:
        self._close()
        _remove(self._temporary)
        _remove(self._path)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _beginning(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
