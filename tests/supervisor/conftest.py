from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.paths import Paths
from tests.supervisor.supervised import CONTROL, DRIVER, GATEWAY, Server


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def serve(short_directory: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a supervisor over fake children; afterwards nothing of it is left, whatever the test did."""
    servers: list[Server] = []

    def begin(*children: dict[str, Any], data: Path | None = None, **settings: Any) -> Server:
        notes = tmp_path / str(len(servers))
        notes.mkdir()
        data = data or short_directory / "data"
        plan = notes / "plan.json"
        wanted = {"data_dir": str(data), "port": 0, **settings}
        chosen = children or (GATEWAY, CONTROL)
        plan.write_text(json.dumps({"notes": str(notes), "children": chosen, "settings": wanted}))
        process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(plan)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Under nohup it is ignored, which a supervisor respects.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        servers.append(Server(process, Paths(data), notes))
        return servers[-1]

    yield begin
    for server in servers:
        server.process.kill()
        server.process.communicate(timeout=20)
        for pid in {int(number) for line in server._lines() for number in re.findall(r" (\d+)$", line)}:
            with contextlib.suppress(ProcessLookupError, PermissionError, FileNotFoundError):
                if str(DRIVER.parent).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
