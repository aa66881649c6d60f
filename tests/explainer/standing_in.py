"""What stands in for the solver process: the caller's body is a program for it, as JSON.

`{"ask": [BODY…]}` has these predicted, all at once, and answers with what it was given and told. `"records"` is how
many records each has. `"end": KIND` ends the call so instead, with `"status"` and `"message"`; `"die": true` ends the
process once all is predicted, `"never": true` says nothing any more. It explains nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mooring.explainer.frames import Explain, Explained, Forget, Frame, Predict, Predicted, Unexplained, frame_of, plain
from mooring.processes.attendants import Batches, batch

CUSTOM = """
import sys

if "mooring.explainer.process" in sys.orig_argv:
    from tests.explainer import standing_in

    standing_in.main(int(sys.orig_argv[-1]))
"""
FORGOTTEN = "FORGOTTEN"
"""A file that has a line for each call that was forgotten, where this variable names it."""


def environment(directory: Path) -> dict[str, str]:
    """In which `python -m mooring.explainer.process` is this."""
    (directory / "sitecustomize.py").write_text(CUSTOM)
    root = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join([str(directory), root, *filter(None, sys.path)])}


class _Calls:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._calls: dict[int, tuple[Explain, dict[str, Any], list[Predicted]]] = {}

    def take(self, frame: Frame) -> None:
        if isinstance(frame, Explain):
            program = json.loads(frame.request)
            self._calls[frame.call] = frame, program, []
            for number, body in enumerate(program.get("ask", [])):
                self._say(Predict(frame.call, number, program.get("records", 1), body.encode()))
        elif isinstance(frame, Predicted) and frame.call in self._calls:
            self._calls[frame.call][2].append(frame)
        elif isinstance(frame, Forget):
            self._calls.pop(frame.call, None)
            if path := os.environ.get(FORGOTTEN):
                with Path(path).open("a") as file:
                    file.write(f"{frame.call}\n")
        self._end()

    def _end(self) -> None:
        for call, (explain, program, predicted) in list(self._calls.items()):
            if len(predicted) == len(program.get("ask", [])) and not program.get("never"):
                del self._calls[call]
                self._answer(explain, program, sorted(predicted, key=lambda each: each.number))

    def _answer(self, explain: Explain, program: dict[str, Any], predicted: list[Predicted]) -> None:
        if program.get("die"):
            os._exit(9)
        time.sleep(program.get("think", 0))
        if kind := program.get("end"):
            self._say(Unexplained(explain.call, kind, program.get("status", 0), program.get("message", "")))
            return
        said = {
            "pid": os.getpid(),
            "threads": os.environ.get("OPENBLAS_NUM_THREADS"),
            **{name: value for name, value in explain._asdict().items() if isinstance(value, str | int | float)},
            "expression": explain.expression,
            "answer": explain.answer.decode()[:100],
            "answer_bytes": len(explain.answer),
            "predicted": [(each.status, each.content_type, each.body.decode()[:100]) for each in predicted],
        }
        errors = program.get("errors", [])
        body = json.dumps(said).encode()
        self._say(Explained(explain.call, body, len(errors), errors, len(predicted) * program.get("records", 1)))

    def _say(self, frame: Frame) -> None:
        data = b"".join(batch([plain(frame)]))
        while data:
            data = data[os.write(self._fd, data) :]


def main(fd: int) -> None:
    """Until the gateway's end is closed."""
    batches, calls = Batches(), _Calls(fd)
    while data := os.read(fd, 65536):
        for said in batches.feed(data):
            calls.take(frame_of(said))
    os._exit(0)
