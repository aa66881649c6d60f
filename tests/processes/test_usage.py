"""What groups of processes use, held against real ones, and what nvidia-smi says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.processes.gpus import GpuUse, sum_of, told_by
from mooring.processes.usage import usage_of_groups

BURN = """
import os, sys, time
pid = os.fork()
held = bytearray(30_000_000)
end = time.process_time() + 0.3
while time.process_time() < end:
    pass
os.write(1, b"done\\n")  # at once, so that both lines are whole
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_group_is_all_its_processes() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            for _ in range(2):
                assert process.stdout.readline() == b"done\n"
            usage = usage_of_groups({process.pid})[process.pid]
            assert usage.cpu_s >= 0.55  # both burnt 0.3 s, told in ticks
            assert usage.resident_bytes > 60_000_000
            assert len(usage.pids or []) == 2
        finally:
            os.killpg(process.pid, 9)


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert usage_of_groups({2**30}) == {}
    assert usage_of_groups({1}, tmp_path / "nowhere") == {}
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (a) nonsense")
    assert usage_of_groups({7}, tmp_path) == {}


def test_gpus_as_nvidia_smi_tells_them() -> None:
    gpus = "GPU-a, 40, 80000\nGPU-b, 10, 40000\nGPU-c, [N/A], [N/A]\n"
    processes = "GPU-a, 11, 8000\nGPU-b, 11, 4000\nGPU-a, 12, 40000\nGPU-c, 13, 1\nGPU-a, [N/A], 5\n\n"
    found = told_by(gpus, processes)
    assert found == {11: [GpuUse(40, 10), GpuUse(10, 10)], 12: [GpuUse(40, 50)]}
    assert sum_of(found, [11, 99]) == (50, 20)
    assert sum_of(found, [99]) is None
    assert told_by("", "nonsense") == {}
