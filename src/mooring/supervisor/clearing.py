"""Ending what a server that was killed left behind, when no other server is started in its place.

Replicas outlive their supervisor on purpose, so that its successor can adopt them. Without a successor somebody must be
able to end them: the directory is held meanwhile as by a server, so that none adopts what is about to be killed.
"""

from __future__ import annotations

from mooring.errors import MooringError
from mooring.paths import Paths
from mooring.supervisor.directory import held
from mooring.supervisor.listening import remove_stale_sockets
from mooring.supervisor.reaping import kill_replicas, living


def end_left_replicas(paths: Paths) -> int:
    """End the recorded replicas that are alive, and return how many there were.

    Raises `DataDirectoryError` when a server holds the directory, `MooringError` when a replica cannot be ended.
    """
    if not living(paths.replicas):
        return 0
    with held(paths):
        ended = kill_replicas(paths.replicas, collect=lambda: None)
        remove_stale_sockets(paths)
    left = [f"{name} (pid {identity.pid})" for name, identity in ended.items() if identity.alive()]
    if left:
        raise MooringError(f"cannot end replicas that an earlier server left: {', '.join(left)}")
    return len(ended)
