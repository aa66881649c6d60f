"""A child of the supervisor for tests: takes its flags, says that it is ready, answers its pid, and notes its stop."""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--ready-delay", type=float, default=0.0)
    parser.add_argument("--stop-delay", type=float, default=0.0)
    parser.add_argument("--ignore-sigterm", action="store_true")
    parser.add_argument("--fail", type=int)
    parser.add_argument("--hold-group", action="store_true")
    parser.add_argument("--orphan-maker")
    parser.add_argument("--replica", type=Path)
    parser.add_argument("--listen-fd", type=int)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    arguments = parser.parse_args()

    def note(what: str) -> None:
        with (arguments.notes / "log").open("a") as log:
            log.write(f"{arguments.name} {what} {os.getpid()}\n")

    def stop(*_: object) -> None:
        if not arguments.ignore_sigterm:
            note("stopping")
            time.sleep(arguments.stop_delay)
            note("stopped")
            sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    assert os.getsid(0) == os.getpid(), "each child has a session of its own"
    note("started")
    if arguments.fail is not None:
        sys.exit(arguments.fail)
    if arguments.hold_group and os.fork() == 0:
        note("helper")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.close(arguments.ready_fd)
        time.sleep(60)
    if arguments.orphan_maker and not arguments.replica.exists():
        subprocess.run([sys.executable, arguments.orphan_maker, str(arguments.replica)], check=True, timeout=30)
    (arguments.notes / f"settings {arguments.name}").write_text(os.environ.get("MOORING_RESOLVED_SETTINGS", ""))
    time.sleep(arguments.ready_delay)
    os.write(arguments.ready_fd, b"1")
    os.close(arguments.ready_fd)
    serve(arguments.listen_fd, arguments.lifeline_fd)


def serve(listen_fd: int | None, lifeline_fd: int) -> None:
    selector = selectors.DefaultSelector()
    selector.register(lifeline_fd, selectors.EVENT_READ)
    listener = None
    if listen_fd is not None:
        listener = socket.socket(fileno=listen_fd)
        selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fd == lifeline_fd:
                os._exit(75)
            assert listener is not None
            connection, _ = listener.accept()
            connection.sendall(b"%d\n" % os.getpid())
            connection.close()


main()
