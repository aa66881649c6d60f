"""Where the server lives: its settings, its data directory, its sockets and its port."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from mooring.cli.doctor.findings import Finding, Scene, fail, ok, warn
from mooring.cli.terminal import safe
from mooring.errors import SettingsError
from mooring.paths import LONGEST_SOCKET_NAME, LONGEST_SOCKET_PATH
from mooring.processes.identity import ProcessIdentity
from mooring.settings import RESOLVED, load, variable_names

LITTLE_SPACE, TOO_LITTLE_SPACE = 5_000_000_000, 500_000_000
CONNECTED_WITHIN_S = 2.0
NETWORKED = ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "fuse.sshfs", "fuse.glusterfs", "ceph")
"""File systems without the shared memory and locks that SQLite's write-ahead log needs."""
NO_SETTINGS = ("MOORING_URL", RESOLVED)
"""What the commands and the processes read beside them."""
_PROC = Path("/proc")
_LISTENING = "0A"


def settings(scene: Scene) -> Iterable[Finding]:
    """Whether the environment's settings can be used."""
    given = [name for name in scene.environ if name.startswith("MOORING_")]
    try:
        load(scene.environ)
    except SettingsError as error:
        yield fail("settings", str(error), "docs/settings.md has them all")
        return
    names = variable_names()
    unknown = sorted(set(given) - {*names, *NO_SETTINGS})
    for name in unknown:
        meant = get_close_matches(name, names, n=1)
        advice = f"is {meant[0]} meant? " if meant else ""
        yield warn("settings", f"{safe(name)} is set and is no setting", f"{advice}docs/settings.md has them all")
    known = sorted(set(given) - set(unknown))
    yield ok("settings", f"{', '.join(known)} set" if known else "all by default")


def data_directory(scene: Scene) -> Iterable[Finding]:
    """There, a directory, ours, closed to others, writable."""
    if scene.paths is None:
        return
    root = scene.paths.root
    try:
        found = root.stat()
    except FileNotFoundError:
        parent = _nearest(root)
        if os.access(parent, os.W_OK):
            yield ok("data directory", f"{root} will be made")
        else:
            yield fail(
                "data directory", f"{root} cannot be made: {parent} is not writable", "choose another --data-dir"
            )
        return
    except OSError as error:
        yield fail("data directory", f"{root}: {error.strerror}", "choose another --data-dir")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield fail("data directory", f"{root} is not a directory", "choose another --data-dir")
    elif found.st_uid != os.getuid():
        advice = "serve as that user, or choose another --data-dir"
        yield fail("data directory", f"{root} belongs to user {found.st_uid}, not to {os.getuid()}", advice)
    elif not os.access(root, os.W_OK | os.X_OK):
        yield fail("data directory", f"{root} is not writable", f"chmod u+rwx {root}")
    elif found.st_mode & 0o077:
        yield warn("data directory", f"{root} is open to other users", f"chmod 700 {root}")
    else:
        yield ok("data directory", f"{root}")


def disk(scene: Scene) -> Iterable[Finding]:
    """Room for model data, unpacked, and for environments."""
    if scene.paths is None:
        return
    place = _nearest(scene.paths.root)
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:.1f} GB free at {place}"
    if free < TOO_LITTLE_SPACE:
        yield fail("disk", text, "make room: uploads and state need it")
    elif free < LITTLE_SPACE:
        yield warn("disk", text, "model data is kept twice: packed, and unpacked for each endpoint")
    else:
        yield ok("disk", text)


def file_system(scene: Scene, mounts: Path = Path("/proc/self/mountinfo")) -> Iterable[Finding]:
    """One that SQLite can keep its state on."""
    if scene.paths is None:
        return
    place = _nearest(scene.paths.root).resolve()
    kind = _kind_of_mount(place, mounts)
    if kind is None:
        yield ok("file system", "its kind cannot be told on this system")
    elif kind in NETWORKED:
        text = f"{place} is on {kind}, where SQLite's write-ahead log does not work"
        yield fail("file system", text, "put --data-dir on a local disk")
    else:
        yield ok("file system", f"{kind} at {place}")


def _kind_of_mount(place: Path, mounts: Path) -> str | None:
    """The type of the file system that `place` is on: that of the longest mount point above it, the last of equals."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    best, kind = -1, None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = Path(fields.split()[4].encode().decode("unicode_escape"))
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split()[0]
    return kind


def sockets(scene: Scene) -> Iterable[Finding]:
    """The kernel takes paths of sockets up to a length."""
    if scene.paths is None:
        return
    place = scene.paths.sockets
    length = len(os.fsencode(place)) + 1 + LONGEST_SOCKET_NAME
    if length > LONGEST_SOCKET_PATH:
        text = f"paths in {place} are {length} bytes long, and the kernel takes {LONGEST_SOCKET_PATH}"
        yield fail("sockets", text, "set TMPDIR to a short path, as /tmp")
        return
    try:
        found = place.lstat()
    except OSError:
        yield ok("sockets", f"{place} will be made")
        return
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        yield fail("sockets", f"{place} is open to others, or is another's", "remove it, or make it 0700 and your own")
    else:
        yield ok("sockets", f"{place}")


def lock(scene: Scene) -> Iterable[Finding]:
    """Who holds the data directory."""
    if scene.paths is None:
        return
    holder = ProcessIdentity.read(scene.paths.lock)
    if holder is None or not holder.alive():
        yield ok("lock", f"nobody holds {scene.paths.root}")
    elif scene.server.url is None:
        text = f"{_process(holder.pid)} holds {scene.paths.root} and does not serve yet"
        yield warn("lock", text, "wait for it, or end it if it hangs")
    else:
        yield ok("lock", f"{_process(holder.pid)} holds {scene.paths.root} and serves")


def port(scene: Scene) -> Iterable[Finding]:
    """Free, or our own server's."""
    try:
        server = load(scene.environ).server
    except SettingsError:
        return  # told above
    host, number = server.host, server.port
    if scene.url is not None:
        parts = urlsplit(scene.url)
        host, number = parts.hostname or host, parts.port or number
        if scene.status is not None:
            yield ok("port", f"{number} on {host} is this server's")
            return
    if number == 0:
        yield ok("port", "a free one is taken")
        return
    if not _accepts("127.0.0.1" if host in ("0.0.0.0", "") else host, number):  # noqa: S104 - compared, not bound
        yield ok("port", f"{number} on {host} is free")
        return
    holder = next((_process(pid) for pid in _listeners(number)), "another program")
    yield fail("port", f"{holder} listens on port {number} of {host}", "choose another with --port, or end that one")


def _accepts(host: str, number: int) -> bool:
    try:
        socket.create_connection((host, number), timeout=CONNECTED_WITHIN_S).close()
    except OSError:
        return False
    return True


def _listeners(number: int) -> Iterator[int]:
    """The processes that listen on a TCP port, as far as this user may see them."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == number:
                inodes.add(f"socket:[{fields[9]}]")
    for process in _PROC.glob("[0-9]*"):
        try:
            if any(str(each.readlink()) in inodes for each in (process / "fd").iterdir()):
                yield int(process.name)
        except OSError:
            continue


def _process(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return f"pid {pid}"
    # What names the program; its further words may hold what is nobody's business.
    script = len(words) > 1 and Path(words[0]).name.startswith("python") and not words[1].startswith("-")
    name = Path(words[script]).name
    return f"pid {pid} ({name})" if name else f"pid {pid}"


def _nearest(path: Path) -> Path:
    """The path, or what is there of it."""
    return next(each for each in (path, *path.parents) if each.exists())
