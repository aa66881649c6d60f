"""`python -m mooring.objects`: the objects front as a process of its own, started by the supervisor."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import time
from urllib.parse import urlsplit

from mooring.access.keys import Keyring
from mooring.access.modes import keys_are_needed
from mooring.objects.connections import Limits
from mooring.objects.data_keys import DataKeyDesk
from mooring.objects.front import Front, stop_on_signals
from mooring.objects.guarding import Guard
from mooring.objects.key_channel import KeyChannel
from mooring.objects.service import Service
from mooring.objects.storage import Storage
from mooring.paths import Paths
from mooring.processes.audit_log import AuditLog
from mooring.settings import Settings, data_directory, load
from mooring.wire import browsers


def main() -> None:
    """Serve until SIGTERM or the supervisor's death."""
    parser = argparse.ArgumentParser(prog="mooring.objects")
    parser.add_argument("--handover-fd", type=int, required=True)
    parser.add_argument("--s3-fd", type=int, required=True)
    parser.add_argument("--lifeline-fd", type=int)
    parser.add_argument("--ready-fd", type=int)
    arguments = parser.parse_args()
    settings = load()
    logging.basicConfig(
        level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    yield_to_invocations(settings.objects.niceness)
    paths = Paths(data_directory(settings))
    storage = Storage(paths.objects)
    storage.open()
    front = Front(
        socket.socket(fileno=arguments.handover_fd),
        socket.socket(fileno=arguments.s3_fd),
        arguments.lifeline_fd,
        Service(
            storage,
            settings.account,
            _guard(settings, paths),
            urlsplit(settings.url).scheme,
            AuditLog(paths, settings.audit, "objects"),
            DataKeyDesk(str(paths.keys_socket)),
        ),
        Limits(
            settings.gateway.header_limit_bytes,
            settings.gateway.idle_timeout_s,
            browsers.is_loopback(settings.server.host),
            browsers.allowed_names(f"{settings.server.allowed_hosts},{settings.tls.name}"),
            str(paths.gateway_socket(0)),
        ),
    )
    stop_on_signals(front)
    if arguments.ready_fd is not None:
        os.write(arguments.ready_fd, b"1")
        os.close(arguments.ready_fd)
    front.run()


def _guard(settings: Settings, paths: Paths) -> Guard | None:
    if not keys_are_needed(settings):
        return None
    keyring = Keyring()
    channel = KeyChannel(str(paths.routes_socket), keyring)
    channel.start()
    return Guard(settings.account, keyring, time.time, channel.wait)


def yield_to_invocations(niceness: int) -> None:
    """Let every process that is not so nice run first; 0 changes nothing."""
    if not niceness:
        return
    os.nice(niceness)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


main()
