"""What the sections of `gateway.py` have in common."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from candidates import free_port
from proxies import replica, whole_body_replica

_numbers = itertools.count()


@dataclass(frozen=True)
class Ground:
    """Where a section runs, and for how long."""

    directory: Path
    rounds: int
    seconds: int
    connections: tuple[int, ...]
    quick: bool
    environments: Path
    """Where peers are installed."""

    def place(self, name: str) -> Path:
        """A path in the directory that nothing has yet."""
        return self.directory / f"{name}-{next(_numbers)}"


class Upstream(NamedTuple):
    """Where one replica listens."""

    tcp: str
    unix: str
    port: int


@contextlib.contextmanager
def upstream(ground: Ground, *, whole_bodies: bool = False) -> Iterator[Upstream]:
    """A trivial replica; with `whole_bodies` one that reads a request to its end before it answers."""
    port, socket_path = free_port(), ground.place("replica")
    started = whole_body_replica(port, socket_path) if whole_bodies else replica(ground.directory, port, socket_path)
    with started:
        yield Upstream(f"127.0.0.1:{port}", str(socket_path), port)
