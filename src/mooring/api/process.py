"""The control process: opens the store, starts control, serves the API, and stops in the opposite order.

It binds its socket only when it can answer, so a gateway that cannot connect knows to wait.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

from mooring.api.edge import Edge
from mooring.api.guarding import Guard
from mooring.clock import SystemClock
from mooring.errors import DataDirectoryError
from mooring.http1.application import serve
from mooring.http1.loops import new_event_loop
from mooring.paths import Paths
from mooring.processes import lifeline
from mooring.processes.audit_log import AuditLog
from mooring.settings import Settings, data_directory, load
from mooring.store import Store

BODY_LIMIT_BYTES = 8 * 1024 * 1024
UNUSABLE = 78
"""Exit code when the data directory cannot be used: starting again would not help (EX_CONFIG)."""


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM, or until the supervisor dies."""
    parser = argparse.ArgumentParser(prog="python -m mooring.api")
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args(arguments)
    settings = load()
    logging.basicConfig(
        level=settings.server.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # tells of its own plugins at info
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run(settings, options.lifeline_fd, options.ready_fd))
    except DataDirectoryError as error:
        print(f"mooring: {error}", file=sys.stderr)  # noqa: T201 - one line for a person, without a log's prefix
        return UNUSABLE
    return 0


async def run(settings: Settings, lifeline_fd: int, ready_fd: int) -> None:
    """Serve until SIGTERM. Raises `DataDirectoryError`."""
    from mooring.control import starting

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the supervisor's to act on
    lifeline.exit_on_death(lifeline_fd)
    paths, clock = Paths(data_directory(settings)), SystemClock()
    paths.make_private_directories()
    store = await Store.open(paths.state_db)
    try:
        control = await starting.start(settings, paths, store, clock)
        try:
            guard = Guard(settings, control.keys.keyring, clock.wall) if control.keys.needed else None
            audit = AuditLog(paths, settings.audit, "control")
            edge = Edge(settings, store, clock, control, server_stopper(), guard, audit)
            server = await serve(paths.control_socket, edge.handle, body_limit=BODY_LIMIT_BYTES)
            os.write(ready_fd, b"1")
            os.close(ready_fd)
            await stopping.wait()
            paths.control_socket.unlink(missing_ok=True)
            await server.close()
        finally:
            await control.stop()
    finally:
        await store.close()


def server_stopper() -> Callable[[], None]:
    """A function that asks the supervisor, our parent of now, to stop everything."""
    supervisor = os.getppid()

    def stop() -> None:
        if os.getppid() == supervisor:  # when it has died, our new parent is somebody else
            os.kill(supervisor, signal.SIGTERM)

    return stop
