"""The steps of a longer command, as they go: alive on a terminal, a plain line each in a pipe or a file.

Everything goes to standard error, since standard output is for what the command has to tell in the end. A step that is
done stays as a line; only the one that runs is redrawn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mooring.cli.terminal import safe

_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "note": ("!", "yellow"), "event": ("·", "dim")}
_NAME_WIDTH = 11


class Steps:
    """What a command says of its steps."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._clock = clock

    def step(self, name: str, detail: str = "", total: int | None = None) -> Step:
        """A step that begins now: use it as a context manager. With a `total` of bytes it shows a bar."""
        return Step(self, self._console, self._clock, name, detail, total)

    def said(self, name: str, detail: str) -> None:
        """Something that is so, and took no time."""
        self.line("done", name, detail)

    def note(self, name: str, detail: str) -> None:
        """Something that a person should know."""
        self.line("note", name, detail)

    def failed(self, name: str, detail: str) -> None:
        """Something that went wrong."""
        self.line("failed", name, detail)

    def quote(self, text: str) -> None:
        """Somebody else's line."""
        if self._console.is_terminal:
            self._console.print(Text(f"  {safe(text)}", style="dim"), overflow="fold")
        else:
            print(f"  {text}", file=self._console.file, flush=True)

    def line(self, kind: str, name: str, detail: str, took_s: float | None = None) -> None:
        """One line that stays."""
        mark, colour = _MARKS[kind]
        took = "" if took_s is None else f"  {took_s:.1f} s"
        if not self._console.is_terminal:
            heading = f"{name} failed" if kind == "failed" else name
            print(f"{heading}: {detail}{took and f' ({took.strip()})'}", file=self._console.file, flush=True)
            return
        text = Text(f"{mark} ", style=colour)
        text.append(f"{name:<{_NAME_WIDTH}} ", style="bold")
        text.append(safe(detail), style=colour if kind in ("failed", "note") else "")
        text.append(took, style="dim")
        self._console.print(text, overflow="fold")


class Step:
    """One step. Left without an exception it is done, else it has failed."""

    def __init__(
        self, steps: Steps, console: Console, clock: Callable[[], float], name: str, detail: str, total: int | None
    ) -> None:
        self.detail = detail
        """What its line says in the end."""
        self._steps = steps
        self._clock = clock
        self._name = name
        self._began = clock()
        self._outcome = "done"
        self._display = Progress(*_columns(total), console=console, transient=True, disable=not console.is_terminal)
        self._task = self._display.add_task(f"[bold]{name:<{_NAME_WIDTH}}[/]", total=total, detail=safe(detail))

    def advance(self, count: int) -> None:
        """So many bytes more."""
        self._display.advance(self._task, count)

    def tell(self, detail: str) -> None:
        """Say something else of it from now on."""
        self.detail = detail
        self._display.update(self._task, detail=safe(detail))

    def fail(self, detail: str) -> None:
        """It has failed, though nothing was raised."""
        self._outcome = "failed"
        self.tell(detail)

    def took_s(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()
        self._steps.line(self._outcome if kind is None else "failed", self._name, self.detail, self.took_s())


def _columns(total: int | None) -> tuple[ProgressColumn, ...]:
    name, detail = TextColumn("{task.description}"), TextColumn("{task.fields[detail]}", markup=False)
    if total is None:
        return SpinnerColumn(), name, detail, TimeElapsedColumn()
    return SpinnerColumn(), name, BarColumn(), DownloadColumn(), TransferSpeedColumn()  # a detail would crowd them out


def size(count: int) -> str:
    """Bytes for people."""
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= bytes_each:
            return f"{count / bytes_each:.{0 if count >= 10 * bytes_each else 1}f} {unit}"
    return f"{count} bytes"
