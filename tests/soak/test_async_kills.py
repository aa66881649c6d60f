"""Asynchronous jobs that are neither lost nor answered twice, whatever is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

BENCH = Path(__file__).parents[2] / "bench" / "async_kills.py"


def test_asynchronous_jobs_while_processes_are_killed() -> None:
    """4,000 jobs with 12 kills -9, of all at once too: each accepted one has one output, told and captured."""
    command = [sys.executable, str(BENCH), "--jobs", "4000", "--kills", "12", "--capture"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| ")]
    figures = {row[1].strip(): row[2].strip() for row in rows}
    assert (figures["lost"], figures["answered twice"]) == ("0", "0")
    assert (figures["outputs without a record"], figures["records that are there twice"]) == ("0", "0")
    assert int(figures["accepted"]) >= 4_000
