"""From a forked child to a replica: what the child of a zygote does before any model code runs.

It leaves with nothing of its parent but the imported modules: own session, own working directory, descriptors 0 to 3
and no other, exactly the spec's environment, fresh random state, default signals. Then it waits to hear that it was
recorded; end of file there means that whoever asked for it died first, and it is gone without a trace.
"""

from __future__ import annotations

import fcntl
import gc
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from mooring_model_server import server
from mooring_model_server.output import Output, leave
from mooring_model_server.preloading import ThreadPools
from mooring_model_server.spec import ReplicaSpec

LISTENER = 3
"""The descriptor of the listening socket in every replica."""
_RECORDED = 4
_ABOVE = 16

EXIT_CANNOT_START = 4
"""The exit code of a child that failed before any model code; its log says why."""

RESTORED_FOR_EXEC = ("SIGPIPE", "SIGXFSZ")


def become(spec: ReplicaSpec, listener: int, log: int, recorded: int, pools: ThreadPools) -> NoReturn:
    """Turn this freshly forked child into the replica; never returns."""
    code = EXIT_CANNOT_START
    try:
        _reset_signals()
        os.setsid()
        _arrange_descriptors(listener, log, recorded)
        os.chdir(spec.work_dir)
        _replace_environment(spec)
        if spec.nofile is not None:
            _limit_descriptors(spec.nofile)
        if not os.read(_RECORDED, 1):
            os._exit(0)
        os.close(_RECORDED)
        if spec.command is not None:
            _execute(spec)
        _refresh(spec, pools)
        code = server.run(spec, LISTENER)
    except BaseException as error:  # noqa: BLE001 (nothing may return into the zygote's loop)
        Output().trace(error)
    finally:
        leave(code)
    raise AssertionError("unreachable")


def forget_working_directory() -> None:
    """Take the directory that `python -m` put first off the import path; packages that are imported do not need it."""
    here = Path.cwd()
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry) != here]


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _arrange_descriptors(listener: int, log: int, recorded: int) -> None:
    # First all up, so that no number that is still needed is overwritten; then down to their places.
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for descriptor in (listener, log, recorded)]
    null = fcntl.fcntl(os.open(os.devnull, os.O_RDONLY), fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    for descriptor, place in ((null, 0), (high[1], 1), (high[1], 2), (high[0], LISTENER)):
        os.dup2(descriptor, place, inheritable=True)
    os.dup2(high[2], _RECORDED, inheritable=False)
    os.closerange(_RECORDED + 1, _highest_descriptor() + 1)


def _highest_descriptor() -> int:
    directory = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    return max(int(name) for name in os.listdir(directory))  # noqa: PTH208


def _replace_environment(spec: ReplicaSpec) -> None:
    os.environ.clear()
    os.environ.update(spec.environment)
    time.tzset()  # TZ is heeded once, unless one asks again
    tempfile.tempdir = None  # so is TMPDIR


def _limit_descriptors(wanted: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _execute(spec: ReplicaSpec) -> None:
    assert spec.command is not None
    for name in RESTORED_FOR_EXEC:  # Python ignores these; the program may not expect that
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(spec.command[0], spec.command, dict(spec.environment))  # noqa: S606


def _refresh(spec: ReplicaSpec, pools: ThreadPools) -> None:
    sys.argv = ["mooring-replica", spec.replica_id]
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()
    pools.raise_in_child(spec.workers, spec.threads)
    gc.enable()
