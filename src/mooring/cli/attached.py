"""`mooring serve` for the length of one command: as a process that stops when its parent is gone, however that went.

`python -m mooring.cli.attached PARENT_PID FLAG…`, as `mooring run` starts it.
"""

from __future__ import annotations

import os
import signal
import sys

from mooring.cli import main
from mooring.processes.prctl import set_parent_death_signal

if __name__ == "__main__":
    set_parent_death_signal(signal.SIGTERM)
    sys.exit(main(["serve", *sys.argv[2:]]) if os.getppid() == int(sys.argv[1]) else 1)
