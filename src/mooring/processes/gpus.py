"""What processes use of NVIDIA's GPUs, as `nvidia-smi` tells it; nothing where there is none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_S = 10.0
_GPUS = "--query-gpu=uuid,utilization.gpu,memory.total"
_PROCESSES = "--query-compute-apps=gpu_uuid,pid,used_memory"
_FORMAT = "--format=csv,noheader,nounits"


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Of one process on one GPU, in percent of that GPU."""

    utilization: float
    """Of the whole GPU, whoever uses it: the driver does not tell it by process."""
    memory: float
    """Its own."""


def gpus_by_process() -> dict[int, list[GpuUse]]:
    """By pid; empty where there is no `nvidia-smi`, or it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    try:
        gpus, processes = (
            subprocess.run(
                [program, query, _FORMAT], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
            ).stdout
            for query in (_GPUS, _PROCESSES)
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return told_by(gpus, processes)


def told_by(gpus: str, processes: str) -> dict[int, list[GpuUse]]:
    """What the two tables of `nvidia-smi` say; lines that say `[N/A]` or nothing are left out."""
    known: dict[str, tuple[float, float]] = {}
    for uuid, utilization, memory in _rows(gpus, 3):
        if (numbers := _numbers(utilization, memory)) is not None and numbers[1] > 0:
            known[uuid] = numbers
    found: dict[int, list[GpuUse]] = {}
    for uuid, pid, used in _rows(processes, 3):
        numbers = _numbers(pid, used)
        if numbers is not None and uuid in known:
            utilization_of_gpu, memory_of_gpu = known[uuid]
            use = GpuUse(utilization_of_gpu, 100 * numbers[1] / memory_of_gpu)
            found.setdefault(int(numbers[0]), []).append(use)
    return found


def sum_of(uses: Mapping[int, list[GpuUse]], pids: list[int]) -> tuple[float, float] | None:
    """(utilization, memory) of some processes, 100 a GPU; None when they use none."""
    mine = [use for pid in pids for use in uses.get(pid, ())]
    return (sum(use.utilization for use in mine), sum(use.memory for use in mine)) if mine else None


def _rows(table: str, size: int) -> list[list[str]]:
    rows = ([cell.strip() for cell in line.split(",")] for line in table.splitlines())
    return [row for row in rows if len(row) == size]


def _numbers(*texts: str) -> tuple[float, float] | None:
    try:
        first, second = map(float, texts)
    except ValueError:
        return None
    return first, second
