"""What watches the scripts sees what leaves the machine, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.running import RECORDING


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        (
            "socket.create_connection(('192.0.2.1', 9), 0.01)",
            "socket.getaddrinfo 192.0.2.1\nsocket.connect 192.0.2.1\n",
        ),
        ("socket.getaddrinfo('sts.us-east-1.invalid', 443)", "socket.getaddrinfo sts.us-east-1.invalid\n"),
        ("socket.create_connection(('localhost', 1), 1)", None),
    ],
)
def test_what_leaves_the_machine_is_seen(tmp_path: Path, call: str, seen: str | None) -> None:
    record = tmp_path / "record"
    environment = {"PYTHONPATH": str(RECORDING), "LEFT_THIS_MACHINE": str(record)}
    program = f"import contextlib, socket\nwith contextlib.suppress(OSError): {call}"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert (record.read_text() if record.exists() else None) == seen
