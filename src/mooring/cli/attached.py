"""`mooring serve` for as long as a `mooring run` uses it, however those end.

`python -m mooring.cli.attached --data-dir DIRECTORY FLAG…`, as `mooring run` starts it. The last run to leave stops the
server itself; a process beside the server watches for runs that were killed, and tells the server to stop when there
is none left. It also keeps the server's log bounded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from mooring.cli import main
from mooring.cli.run_users import RunUsers
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.identity import ProcessIdentity
from mooring.processes.log_files import bound_log
from mooring.processes.prctl import set_parent_death_signal

LOOK_S = 0.5
LOG_LIMIT_BYTES = 8 * 1024 * 1024


def watch(server: ProcessIdentity, paths: Paths) -> None:
    """Return when the server is gone; it is stopped when nobody uses it any more."""
    with RunUsers(paths) as users:
        while server.alive():
            if users.no_others():
                users.stop(server)
                return
            with contextlib.suppress(OSError):
                bound_log(paths.server_log, LOG_LIMIT_BYTES)
            time.sleep(LOOK_S)


def _watched(paths: Paths) -> None:
    """Have a child watch this very process, which is about to be the server."""
    server = identity.of(os.getpid())
    assert server is not None
    if os.fork() == 0:
        try:
            set_parent_death_signal(signal.SIGKILL)
            watch(server, paths)
        finally:
            os._exit(0)


if __name__ == "__main__":
    _watched(Paths(Path(sys.argv[2])))
    sys.exit(main(["serve", *sys.argv[1:]]))
