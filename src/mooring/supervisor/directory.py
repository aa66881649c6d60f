"""The data directory: held by one Mooring at a time, and never by one that is older than what wrote it.

Two locks guard it. The supervisor's is `fcntl.lockf`, which no fork inherits: it is free the moment the supervisor
is gone. The children's is an flock on a descriptor that all of them inherit: it is free when the last child of a
killed supervisor is gone too, so a successor never runs beside an old control.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from mooring import __version__
from mooring.errors import DataDirectoryError
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.files import write_atomically
from mooring.processes.identity import ProcessIdentity

FORMAT = 1
"""Grows when an older Mooring could not work with what this one writes."""
PREDECESSORS_WAIT_S = 5.0
PREDECESSORS_POLL_S = 0.01


@contextlib.contextmanager
def held(paths: Paths) -> Iterator[int]:
    """Hold the directory; yields the descriptor that every child is to inherit. Raises `DataDirectoryError`."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(paths))
            _check_format(paths)
            stack.callback(_remove_outside_sockets, paths)
            paths.make_private_directories()
            children = os.open(paths.children_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, children)
        except OSError as error:
            raise DataDirectoryError(f"cannot use the data directory {paths.root}: {error.strerror}") from None
        _wait_for_predecessors(children, paths)
        paths.server_file.unlink(missing_ok=True)
        yield children


def _remove_outside_sockets(paths: Paths) -> None:
    # Below the data directory it belongs to it; elsewhere nobody would ever clear it away. Replicas that live keep it.
    if not paths.sockets.is_relative_to(paths.root):
        with contextlib.suppress(OSError):
            paths.sockets.rmdir()


@contextlib.contextmanager
def _locked(paths: Paths) -> Iterator[None]:
    paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Opened once and never again: closing any descriptor of this file would give a POSIX lock up.
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            owner = ProcessIdentity.read(paths.lock)
            named = f" (pid {owner.pid})" if owner else ""
            message = f"the data directory {paths.root} is in use by another Mooring{named}"
            raise DataDirectoryError(f"{message}: stop that one, or choose another with --data-dir") from None
        os.ftruncate(descriptor, 0)
        me = identity.of(os.getpid())
        assert me is not None
        os.pwrite(descriptor, json.dumps(me.to_document()).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _check_format(paths: Paths) -> None:
    found = _read_format(paths.format)
    if found is None:
        document = {"format": FORMAT, "written_by": __version__}
        write_atomically(paths.format, json.dumps(document).encode(), durable=True)
        return
    number, writer = found
    if number > FORMAT:
        message = f"the data directory {paths.root} was written by a newer Mooring ({writer}, format {number};"
        raise DataDirectoryError(
            f"{message} this is {__version__}, format {FORMAT}): use that one, or another --data-dir"
        )


def _read_format(path: Path) -> tuple[int, str] | None:
    try:
        document = json.loads(path.read_bytes())
        return int(document["format"]), str(document.get("written_by", "unknown"))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataDirectoryError(f'{path} is damaged: it must hold {{"format": {FORMAT}}}') from None


def _wait_for_predecessors(children: int, paths: Paths) -> None:
    deadline = time.monotonic() + PREDECESSORS_WAIT_S
    while True:
        try:
            fcntl.flock(children, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"processes of an earlier Mooring still use the data directory {paths.root}"
                raise DataDirectoryError(f"{message}: end them first (they hold {paths.children_lock})") from None
            time.sleep(PREDECESSORS_POLL_S)
        else:
            return
