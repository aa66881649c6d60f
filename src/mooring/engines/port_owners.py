"""Whether who listens on a port of the loopback device is one program or its descendants, as the kernel tells it.

A listening socket is known by its inode: as long as that is in the kernel's table with the port, no other socket can
take a connection there (unless both ask to share it, and then both are in the table). So who finds the same own inodes
before and after connecting has reached them. Linux only; elsewhere nothing is known, and `listeners` says so with None.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_TABLES = ("net/tcp", "net/tcp6")
_TAKES_LOOPBACK = (
    "0100007F",
    "00000000",
    "0" * 32,
    "0000000000000000FFFF00000100007F",
)
"""Local addresses that take connections to 127.0.0.1, as the tables write them (on little-endian machines)."""
_LISTENING = "0A"


class Owners:
    """The owners of one port, looked for in the process group `group`, and among the descendants of its leader."""

    def __init__(self, port: int, group: int) -> None:
        self._group = group
        address = f"(?:{'|'.join(_TAKES_LOOPBACK)}):{port:04X}"
        self._pattern = re.compile(rf"^ *\d+: {address} [0-9A-F:]+ {_LISTENING}(?: +\S+){{5}} +(\d+)", re.MULTILINE)
        self._own: frozenset[str] = frozenset()

    def listeners(self) -> frozenset[str] | None:
        """The program's own listening sockets; empty when it has none there, or somebody else has one too."""
        if sys.platform != "linux":
            return None
        found = frozenset(self._inodes())
        if not found <= self._own:
            self._own = found & frozenset(self._held())
        return found if found <= self._own else frozenset()

    def _inodes(self) -> Iterator[str]:
        for name in _TABLES:
            try:
                table = (_PROC / name).read_text("ascii")
            except FileNotFoundError:  # without IPv6
                continue
            yield from self._pattern.findall(table)

    def _held(self) -> Iterator[str]:
        """Inodes of sockets that the program's processes have open."""
        for pid in self._members():
            directory = f"/proc/{pid}/fd"
            try:
                names = os.listdir(directory)  # noqa: PTH208 - thousands of them, at every new connection's worst
            except OSError:
                continue
            for name in names:
                try:
                    target = os.readlink(f"{directory}/{name}")  # noqa: PTH115
                except OSError:
                    continue
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]

    def _members(self) -> set[int]:
        parents: dict[int, int] = {}
        members = {self._group}
        for path in _PROC.iterdir():
            if not path.name.isdigit():
                continue
            try:
                # The command is in parentheses and may hold anything: fields are counted after the last one.
                fields = (path / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            parents[int(path.name)] = int(fields[1])
            if int(fields[2]) == self._group:
                members.add(int(path.name))
        while more := {pid for pid, parent in parents.items() if parent in members} - members:
            members |= more
        return members - {os.getpid()}
