"""Which replica has which session: a small file each, in a directory that all gateways of a Mooring share.

A binding is on disk before the client hears of its session, so any gateway finds it, also the successor of one that was
killed. A gateway keeps what it read, and asks the file system at every use whether that is still what is there: another
gateway may have closed the session. The files live with the replicas that they name, so nothing is synced to the disk.

Ids come from containers and clients: they are hashed into names, and the id in the file is compared. A session that is
open on another replica of the endpoint is never taken over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Container
from pathlib import Path
from typing import NamedTuple

from mooring.processes.files import read_small, write_atomically

MOST_REMEMBERED = 4096
COUNT_AGAIN_S = 1.0
"""How old a count of an endpoint's sessions may be."""
KEEP_ORPHANS_S = 3600.0
"""How long the session of a replica that nobody knows is kept: its client is told that the replica is gone."""
ABANDONED_S = 60.0
"""A file that was being written this long ago is nobody's."""


class Session(NamedTuple):
    """One binding."""

    id: str
    variant: str
    replica: str
    expires: float
    """Seconds since 1970."""


class Taken(Exception):
    """Another replica of the endpoint has a session of this id."""


class _Read(NamedTuple):
    path: str
    file: tuple[int, int]
    session: Session


class SessionStore:
    """The sessions of all endpoints, for one gateway. `limit` is how many an endpoint may have; 0 is no limit."""

    def __init__(self, directory: Path, limit: int, wall: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._limit = limit
        self._wall = wall
        self._read: dict[tuple[str, str], _Read] = {}
        self._counts: dict[str, tuple[float, int]] = {}
        self._unknown_since: dict[str, float] = {}

    def find(self, endpoint: str, session_id: str) -> Session | None:
        """The session of this id at the endpoint of this key; None when there is none, or no longer."""
        known = self._read.get((endpoint, session_id))
        path = known.path if known is not None else str(self._path(endpoint, session_id))
        try:
            found = os.lstat(path)
        except OSError:
            self._read.pop((endpoint, session_id), None)
            return None
        file = (found.st_ino, found.st_mtime_ns)
        if known is not None and known.file == file:
            session: Session | None = known.session
        else:
            session = _session(Path(path))
            if session is None or session.id != session_id:
                return None
            self._remember((endpoint, session_id), _Read(path, file, session))
        assert session is not None
        return session if self._wall() < session.expires else None

    def open(self, endpoint: str, session: Session, lives: Callable[[str], bool]) -> None:
        """Bind a session, for good once this returns.

        Raises `Taken` when it is open on another replica that `lives`, and OSError when it cannot be written.
        """
        data = json.dumps(session._asdict(), separators=(",", ":")).encode()
        while not self._write(self._path(endpoint, session.id), data):
            held = self.find(endpoint, session.id)
            if held is not None and held.replica == session.replica:
                write_atomically(self._path(endpoint, session.id), data)
                return
            if held is not None and lives(held.replica):
                raise Taken
            self.close(endpoint, session.id)
        counted = self._counts.get(endpoint)
        if counted is not None:
            self._counts[endpoint] = counted[0], counted[1] + 1

    def close(self, endpoint: str, session_id: str) -> None:
        """Forget a session."""
        self._read.pop((endpoint, session_id), None)
        with contextlib.suppress(OSError):
            self._path(endpoint, session_id).unlink()

    def full(self, endpoint: str) -> bool:
        """Whether the endpoint has as many sessions as it may."""
        if not self._limit:
            return False
        now = time.monotonic()
        at, count = self._counts.get(endpoint, (-COUNT_AGAIN_S, 0))
        if now - at >= COUNT_AGAIN_S:
            try:
                count = len(os.listdir(self._path(endpoint, "").parent))  # noqa: PTH208 - names are all that is needed
            except OSError:
                count = 0
            self._counts[endpoint] = now, count
        return count >= self._limit

    def sweep(self, replicas: Container[str]) -> None:
        """Remove what has expired, and what replicas had that have not been among `replicas` for long.

        One gateway does it for all, in a thread beside its loop.
        """
        now = self._wall()
        orphaned: set[str] = set()
        for directory in _entries(self._directory):
            for path in _entries(directory):
                session = _session(path)
                if session is None:
                    _unlink_if_old(path, now)
                elif session.expires <= now:
                    _unlink(path)
                elif session.replica not in replicas:
                    orphaned.add(session.replica)
                    if now - self._unknown_since.setdefault(session.replica, now) > KEEP_ORPHANS_S:
                        _unlink(path)
            with contextlib.suppress(OSError):  # it is empty, and nobody is writing into it
                directory.rmdir()
        self._unknown_since = {each: since for each, since in self._unknown_since.items() if each in orphaned}

    @staticmethod
    def _write(path: Path, data: bytes) -> bool:
        """False where there is such a file already."""
        while True:
            try:
                write_atomically(path, data, exclusive=True)
            except FileExistsError:
                return False
            except FileNotFoundError:  # the first session of an endpoint, or one that the sweep found empty
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                continue
            return True

    def _remember(self, key: tuple[str, str], read: _Read) -> None:
        if len(self._read) >= MOST_REMEMBERED:
            self._read.clear()
        self._read[key] = read

    def _path(self, endpoint: str, session_id: str) -> Path:
        return self._directory / _name(endpoint) / _name(session_id)


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _session(path: Path) -> Session | None:
    """What a file says; None when it is no session."""
    try:
        document = json.loads(read_small(path))
        session = Session(**document)
        return session._replace(expires=float(session.expires))
    except (OSError, ValueError, TypeError):
        return None


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _unlink_if_old(path: Path, now: float) -> None:
    with contextlib.suppress(OSError):
        if now - path.lstat().st_mtime > ABANDONED_S:
            path.unlink()
