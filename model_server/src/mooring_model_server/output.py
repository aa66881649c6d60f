"""A replica's standard streams, kept usable whatever the script does to them.

The log is descriptors 1 and 2. A script may close either, and the next socket would then get that number and be printed
into. So the server keeps a duplicate of the log of its own, writes its own lines there, and puts the streams back
after user code ran.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import io
import logging
import os
import sys
import traceback

LOG_LEVEL = "SAGEMAKER_CONTAINER_LOG_LEVEL"
FORMAT = "%(asctime)s %(name)-12s %(levelname)-8s %(message)s"
LOWEST_DUPLICATE = 10
NATIVE_STACK = "\nStack trace:\n"


class Output:
    """The log of one replica: written to by `say` and `trace`, mended by `mend`."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LOWEST_DUPLICATE)

    def fileno(self) -> int:
        """The descriptor of the server's own lines."""
        return self._descriptor

    def prepare(self) -> None:
        """Lines reach the log when they end, and the script's own `logging` calls show as in AWS's containers."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")
        level = os.environ.get(LOG_LEVEL, "")
        logging.basicConfig(level=int(level) if level.isdigit() else logging.INFO, format=FORMAT)
        logging.raiseExceptions = False  # a closed stderr must not turn a log line into an error

    def say(self, text: str) -> None:
        """Write one line of the server's own."""
        data = (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):  # a full disk must not fail an invocation
            while data:
                data = data[os.write(self._descriptor, data) :]

    def trace(self, error: BaseException) -> None:
        """Write the traceback of an error."""
        self.say("".join(traceback.format_exception(type(error), error, error.__traceback__)))

    def mend(self) -> None:
        """Put back what user code closed of descriptors 0 to 2 and of sys.stdout and sys.stderr.

        Where it closed the log's duplicate too, what is printed is lost; whoever guards that one ends the process.
        """
        for descriptor in (0, 1, 2):
            if not is_open(descriptor):
                self._reopen(descriptor)
        if sys.stdout is None or sys.stdout.closed:
            sys.stdout = self._stream(1)
        if sys.stderr is None or sys.stderr.closed:
            sys.stderr = self._stream(2)

    def _reopen(self, descriptor: int) -> None:
        if descriptor and is_open(self._descriptor):
            os.dup2(self._descriptor, descriptor)
            return
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)

    @staticmethod
    def _stream(descriptor: int) -> io.TextIOWrapper:
        raw = io.FileIO(descriptor, "w", closefd=False)
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)


def is_open(descriptor: int) -> bool:
    """Whether there is such a descriptor, asked in the cheapest way."""
    try:
        os.get_inheritable(descriptor)
    except OSError:
        return False
    return True


def last_line(error: BaseException) -> str:
    """`Type: message`, as a traceback ends; without the stack of C++ that some libraries put behind the message."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    return text.partition(NATIVE_STACK)[0]


def leave(code: int) -> None:
    """End the process: exit handlers run, but threads that a script left behind are not waited for."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)
