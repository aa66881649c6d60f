"""The sockets that the supervisor owns, so that no connection is lost when the process that accepts on it dies."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mooring.errors import BadPair, SettingsError
from mooring.paths import Paths
from mooring.processes.identity import ProcessIdentity
from mooring.processes.sockets import listen_tcp, listen_unix
from mooring.settings import Settings, TlsSettings


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
    """Settings with the port that was really taken, the name for URLs, and paths that are absolute.

    Raises `SettingsError` when TLS is wanted and cannot be had.
    """
    port = listeners.gateways[0].getsockname()[1]
    server = dataclasses.replace(settings.server, port=port, data_dir=str(paths.root))
    return dataclasses.replace(settings, server=server, tls=_tls(settings, paths))


def _tls(settings: Settings, paths: Paths) -> TlsSettings:
    tls = settings.tls
    if not tls.certificate:
        paths.served_pair.unlink(missing_ok=True)  # a key that a server left which was killed
        return tls
    from mooring.processes import certificates  # 3 MB and 10 ms that plain HTTP has no need of

    certificate, key = (str(Path(file).expanduser().absolute()) for file in (tls.certificate, tls.key))
    try:
        found = certificates.take(certificate, key, paths)
    except BadPair as error:
        raise SettingsError(f"TLS: {error}") from None
    name = tls.name or certificates.name_for(settings.server.host, found.names)
    if name is None:
        raise SettingsError(
            f"TLS: the certificate is for {', '.join(found.names)}: set MOORING_TLS_NAME to the name of this server"
        )
    return dataclasses.replace(tls, certificate=certificate, key=key, name=name)


def remove_stale_sockets(paths: Paths) -> None:
    """Remove every socket file but those of replicas that are alive, which the next control adopts."""
    for path in paths.sockets.glob("*.sock"):
        replica = ProcessIdentity.read(paths.replicas / path.stem / "identity.json")
        if replica is None or not replica.alive():
            path.unlink(missing_ok=True)
