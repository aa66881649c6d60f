"""What became of explained calls, a line for each in a log beside those of their variant's replicas.

Nobody waits for these lines (`processes.line_logs`), and all gateways append to one file.
"""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import NamedTuple

from mooring.explainer.faults import counted
from mooring.explainer.frames import Explained, Unexplained
from mooring.hosting.explaining import LOG
from mooring.processes.line_logs import LineLogs, line


class Place(NamedTuple):
    """Whose log it is."""

    uid: str
    """The endpoint's."""
    variant: str


def text(frame: Explained | Unexplained, seconds: float) -> str:
    """What there is to say of a call that ended, `seconds` after its model had answered."""
    if isinstance(frame, Unexplained):
        return f"Not explained after {seconds:.3f} s: {frame.message}"
    asked = counted(frame.predicted, "synthetic record")
    said = f"Explained {counted(frame.records, 'record')} with {asked} in {seconds:.3f} s"
    if frame.loading_s:
        said += f", of which {frame.loading_s:.3f} s to load the language of its texts"
    if not frame.errors:
        return said
    if not any(frame.errors):
        return f"{said}, exactly"
    errors = sorted(frame.errors)
    return f"{said}; relative error about {errors[len(errors) // 2]:.1e}, at most {errors[-1]:.1e}"


class CallLog:
    """Of all variants that one gateway explains."""

    def __init__(self, logs: Path, limit_bytes: int) -> None:
        self._lines: LineLogs[Place] = LineLogs(
            "explained calls", limit_bytes, lambda place: logs / place.uid / place.variant / f"{LOG}.log"
        )
        self.flush = self._lines.flush

    def add(self, place: Place, inference_id: str, frame: Explained | Unexplained, seconds: float) -> None:
        """Have a line written soon."""
        self._lines.add(place, line(time(), inference_id, text(frame, seconds)))
