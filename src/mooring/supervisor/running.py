"""The supervisor's loop: start, watch, restart, and stop in order.

One thread and one `select`. Signals arrive as bytes in a socket pair (`signal.set_wakeup_fd`), readiness as a byte in
a pipe per child; every wait has a bound. It ends on the first SIGTERM, SIGINT or SIGHUP after an orderly stop, and on
a later one at once, having killed everything.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from mooring.errors import MooringError
from mooring.paths import Paths
from mooring.processes.prctl import set_child_subreaper
from mooring.settings import Settings, data_directory
from mooring.supervisor import children, directory, listening
from mooring.supervisor.announcing import Announcer, say
from mooring.supervisor.child import Child
from mooring.supervisor.children import ChildSpec
from mooring.supervisor.listening import Listeners
from mooring.supervisor.reaping import Ended, child_pids, kill_orphans, kill_replicas, reap

logger = logging.getLogger("mooring.supervisor")

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
LONGEST_WAIT_S = 5.0
UNUSABLE = 78
"""Exit code of a child that says, in a line of its own, that starting it again would not help (EX_CONFIG)."""
GIVE_UP_AFTER = 5
"""Ends in a row of a child that Mooring waits for, before it was ever ready: it will not be."""
SAME_REQUEST_S = 0.5
"""Signals this close to the first are the same wish: Ctrl-C under make brings SIGINT and then make's SIGTERM."""

Table = Callable[[Settings, Listeners], Sequence[ChildSpec]]
UNAWAITED_START_S = 0.4
"""What nobody waits for starts a little later, so that what is waited for has the processors. Its sockets are open."""


def run(settings: Settings, table: Table = children.table) -> int:
    """Serve until told to stop, and return the exit code.

    Raises `DataDirectoryError` or `SettingsError` when it cannot begin, `MooringError` when a child never comes up.
    `table` is what to run: tests put their own.
    """
    os.umask(0o077)
    logging.basicConfig(
        level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    paths = Paths(data_directory(settings))
    # Of a directory that is new, nothing shall be left when the port is taken. An earlier server's may still hold its
    # port for a moment; and that a directory is in use says more than that its server's port is.
    if not os.path.exists(paths.root):  # noqa: PTH110 - Path.exists raises where a parent cannot be searched
        listening.refuse_taken_port(settings)
    with directory.held(paths) as children_lock, listening.opened(settings, paths) as listeners:
        set_child_subreaper()
        resolved = listening.resolve(settings, paths, listeners)
        with Supervisor(paths, table(resolved, listeners), listeners, children_lock) as supervisor:
            code = supervisor.serve(Announcer(resolved, paths))
    if supervisor.told_to_stop:
        say("stopped", sys.stdout)
    return code


class Supervisor:
    """The process tree of one Mooring."""

    def __init__(self, paths: Paths, specs: Sequence[ChildSpec], listeners: Listeners, children_lock: int) -> None:
        self._paths = paths
        self._listeners = listeners
        self._lifeline, self._lifeline_held = os.pipe()
        self._children = [Child(spec, self._lifeline, [children_lock]) for spec in specs]
        self._selector = selectors.DefaultSelector()
        self._not_to_touch = child_pids()  # of a shell that became us by exec
        self._stop_asked_at: float | None = None
        self._cut_short = False
        self._unusable = False
        self._stopping = False
        self._resources = contextlib.ExitStack()

    @property
    def told_to_stop(self) -> bool:
        """Whether a signal asked for the stop."""
        return self._stop_asked_at is not None

    def __enter__(self) -> Self:
        self._resources.callback(self._close)
        wakeup = self._resources.enter_context(_signals_as_bytes())
        self._selector.register(wakeup, selectors.EVENT_READ, wakeup)
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _close(self) -> None:
        self._selector.close()
        for child in self._children:
            child.close_ready()
        os.close(self._lifeline)
        os.close(self._lifeline_held)

    def serve(self, announcer: Announcer) -> int:
        """Run the tree until a signal ends it; 0 after an orderly stop, else 1."""
        try:
            for child in self._children:
                if child.spec.awaited:
                    self._start(child)
                else:
                    child.start_in(UNAWAITED_START_S)
            while self._stop_asked_at is None and not self._unusable:
                announcer.look(self._waiting_for())
                if not announcer.announced:
                    self._give_up_if_hopeless()
                self._turn(min(self._next_restart(), announcer.patience()))
        finally:
            orderly = self._stop(announcer)
            announcer.withdraw()
        return 0 if orderly and not self._unusable else 1

    def _waiting_for(self) -> list[str]:
        return [child.spec.name for child in self._children if child.spec.awaited and not child.ready]

    def _give_up_if_hopeless(self) -> None:
        for child in self._children:
            if child.spec.awaited and child.failures >= GIVE_UP_AFTER:
                raise MooringError(
                    f"{child.spec.name} ended {child.failures} times while starting: see its output above"
                )

    def _start(self, child: Child) -> None:
        try:
            child.start()
        except OSError as error:
            logger.error("cannot start %s: %s", child.spec.name, error)
            child.postpone()
            return
        logger.debug("started %s (pid %s)", child.spec.name, child.pid)
        if child.ready_fd is not None:
            self._selector.register(child.ready_fd, selectors.EVENT_READ, child)

    def _next_restart(self) -> float:
        due = [child.restart_at for child in self._children if child.restart_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else LONGEST_WAIT_S

    def _turn(self, timeout: float) -> None:
        """Wait for something to happen, at most `timeout` seconds, and see to all of it."""
        for key, _ in self._selector.select(min(timeout, LONGEST_WAIT_S)):
            if isinstance(key.data, Child):
                self._selector.unregister(key.fd)
                if key.data.report_ready():
                    level = logging.INFO if key.data.failures else logging.DEBUG
                    logger.log(level, "%s is ready (pid %s)", key.data.spec.name, key.data.pid)
            else:
                self._take_signals(key.data)
        self._reap()
        if not self._stopping:
            now = time.monotonic()
            for child in self._children:
                if child.restart_at is not None and child.restart_at <= now:
                    self._start(child)

    def _take_signals(self, wakeup: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            if STOP_SIGNALS.isdisjoint(wakeup.recv(4096)):
                return
            now = time.monotonic()
            if self._stop_asked_at is None:
                self._stop_asked_at = now
            elif now - self._stop_asked_at > SAME_REQUEST_S:
                self._cut_short = True

    def _reap(self) -> None:
        by_pid = {child.pid: child for child in self._children if child.pid is not None}
        for ended in reap(by_pid.__contains__, self._paths.replicas):
            if ended.pid in by_pid:
                self._ended(by_pid.pop(ended.pid), ended)

    def _ended(self, child: Child, ended: Ended) -> None:
        if child.ready_fd is not None:
            self._selector.unregister(child.ready_fd)
        child.ended()
        if ended.code == UNUSABLE:
            self._unusable = True
        elif not self._stopping:
            logger.warning("%s ended (%s); starting it again", child.spec.name, ended)

    def _stop(self, announcer: Announcer) -> bool:
        """Stop all in order; False when another signal cut it short."""
        self._stopping = True
        self._listeners.close()
        for order in sorted({child.spec.stop_order for child in self._children}):
            group = [child for child in self._children if child.spec.stop_order == order and child.running]
            for child in group:
                child.terminate()
            began = time.monotonic()
            while any(child.running for child in group):
                self._kill_late(group, time.monotonic() - began)
                if self._cut_short:
                    self._kill_all()
                announcer.stopping(_stop_waits_for([child.spec for child in group if child.running], began))
                self._turn(0.1)
        for name, identity in kill_replicas(self._paths.replicas, self._reap).items():
            logger.warning("killed replica %s (pid %d), which control did not stop", name, identity.pid)
        if orphans := kill_orphans(self._not_to_touch.__contains__, self._reap):
            logger.warning("killed %d processes that models had left running", orphans)
        return not self._cut_short

    def _kill_late(self, group: Sequence[Child], waited: float) -> None:
        for child in group:
            if child.running and waited > child.spec.stop_timeout_s:
                logger.warning("%s did not stop within %.0f s; killing it", child.spec.name, child.spec.stop_timeout_s)
                child.kill()

    def _kill_all(self) -> None:
        for child in self._children:
            child.kill()


def _stop_waits_for(late: Sequence[ChildSpec], began: float) -> str:
    if not late:
        return ""
    left = max(0.0, began + max(spec.stop_timeout_s for spec in late) - time.monotonic())
    held = ", ".join(dict.fromkeys(spec.holds for spec in late if spec.holds))
    names = ", ".join(spec.name for spec in late)
    what = f"{held} ({names})" if held else names
    return f"{what}, {left:.0f} s at most; a second Ctrl-C ends it at once"


@contextlib.contextmanager
def _signals_as_bytes() -> Iterator[socket.socket]:
    """Turn the signals that matter into bytes of a socket, and set everything back at the end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    before = {number: signal.getsignal(number) for number in {*STOP_SIGNALS, signal.SIGCHLD}}
    wakeup_before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    for number, handler in before.items():
        # `nohup mooring serve` ignores SIGHUP on purpose.
        if not (number == signal.SIGHUP and handler is signal.SIG_IGN):
            signal.signal(number, lambda *_: None)
    try:
        yield ours
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        ours.close()
        theirs.close()
