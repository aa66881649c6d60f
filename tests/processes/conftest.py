from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `python -c program` in a session of its own; killed afterwards. It prints a line when it is set up."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(
        program: str = "import time; print('up', flush=True); time.sleep(60)", **options: object
    ) -> subprocess.Popen[bytes]:
        options = {"start_new_session": True, **options}
        process = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE, **options)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
