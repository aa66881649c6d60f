"""The sockets that the supervisor owns, so that no connection is lost when the process that accepts on it dies."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from mooring.paths import Paths
from mooring.processes.identity import ProcessIdentity
from mooring.processes.sockets import listen_tcp, listen_unix
from mooring.settings import Settings

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how to reach it, not where to bind


@dataclass(frozen=True, slots=True)
class Listeners:
    """Bound and listening; the objects front's are None when S3 is elsewhere."""

    gateways: list[socket.socket]
    handover: socket.socket | None = None
    s3: socket.socket | None = None

    def close(self) -> None:
        """Close our copies: once the children have closed theirs, connections are refused instead of queued."""
        for listener in (*self.gateways, self.handover, self.s3):
            if listener is not None:
                listener.close()


def refuse_taken_port(settings: Settings) -> None:
    """Raises `SettingsError` when the port that `settings` ask for cannot be had."""
    for listener in listen_tcp(settings.server.host, settings.server.port, 1):
        listener.close()


@contextlib.contextmanager
def opened(settings: Settings, paths: Paths) -> Iterator[Listeners]:
    """Every socket for `settings`; the Unix sockets' files are removed at the end."""
    remove_stale_sockets(paths)
    gateways = listen_tcp(settings.server.host, settings.server.port, settings.server.workers)
    listeners = Listeners(gateways)
    try:
        if not settings.objects.endpoint_url:
            listeners = dataclasses.replace(listeners, handover=listen_unix(paths.handover_socket))
            listeners = dataclasses.replace(listeners, s3=listen_unix(paths.s3_socket))
        yield listeners
    finally:
        listeners.close()
        remove_stale_sockets(paths)


def resolve(settings: Settings, paths: Paths, listeners: Listeners) -> Settings:
    """Settings with the port that was really taken and the data directory as an absolute path."""
    port = listeners.gateways[0].getsockname()[1]
    server = dataclasses.replace(settings.server, port=port, data_dir=str(paths.root))
    return dataclasses.replace(settings, server=server)


def url_of(settings: Settings) -> str:
    """How a client on this machine reaches the server."""
    host = _ANY.get(settings.server.host, settings.server.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.server.port}"


def remove_stale_sockets(paths: Paths) -> None:
    """Remove every socket file but those of replicas that are alive, which the next control adopts."""
    for path in paths.sockets.glob("*.sock"):
        replica = ProcessIdentity.read(paths.replicas / path.stem / "identity.json")
        if replica is None or not replica.alive():
            path.unlink(missing_ok=True)
