"""Records of data capture that are neither lost nor doubled, whatever is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

BENCH = Path(__file__).parents[2] / "bench" / "capture_kills.py"


def test_captured_records_while_processes_are_killed() -> None:
    """12,000 captured calls with 12 kills -9, of all processes at once too: each answered one is in S3 exactly once."""
    command = [sys.executable, str(BENCH), "--invocations", "12000", "--kills", "12"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| ")]
    figures = {row[1].strip(): row[2].strip() for row in rows}
    assert (figures["lost"], figures["twice"]) == ("0", "0")
    assert int(figures["answered"]) >= 12_000
