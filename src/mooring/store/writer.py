"""The one thread that writes: many queued changes, one transaction, one fsync.

Each change runs in a savepoint, so one that raises takes nothing of the others with it. Nobody hears of success before
the COMMIT has returned. A change that waits while its caller is cancelled is dropped; one that has begun goes on.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from mooring.errors import Unavailable

LARGEST_GROUP = 256
CLOSE_TIMEOUT_S = 10.0

T = TypeVar("T")

_log = logging.getLogger("mooring.store")


@dataclass(frozen=True, slots=True)
class _Change:
    run: Callable[[Connection], Any]
    done: Future[Any]


class Writer:
    """Queues changes to its thread. Start it once, close it once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection
        self._queue: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._closed = False
        self._admission = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)

    def start(self) -> None:
        """Connect, so that a failure to is the caller's, and begin."""
        self._connection = self._engine.connect().execution_options(begin="BEGIN IMMEDIATE")
        self._thread.start()

    def submit(self, change: Callable[[Connection], T]) -> Future[T]:
        """A future that is resolved once the change is durable, or with what it raised."""
        done: Future[T] = Future()
        with self._admission:
            if self._closed:
                raise Unavailable("The store is closed.")
            self._queue.put(_Change(change, done))
        return done

    def close(self) -> None:
        """Write what is queued, then end the thread. Blocks, up to `CLOSE_TIMEOUT_S`."""
        with self._admission:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _work(self) -> None:
        ended = False
        with self._connection:
            while not ended:
                group, ended = self._next_group()
                _write_group(self._connection, group)

    def _next_group(self) -> tuple[list[_Change], bool]:
        group: list[_Change] = []
        try:
            while len(group) < LARGEST_GROUP:
                change = self._queue.get(block=not group)
                if change is None:
                    return group, True
                if change.done.set_running_or_notify_cancel():
                    group.append(change)
        except queue.Empty:
            pass
        return group, False


def _write_group(connection: Connection, group: list[_Change]) -> None:
    if not group:
        return
    outcomes: list[tuple[_Change, Any]] = []
    try:
        with connection.begin():
            for change in group:
                outcome = _run(connection, change)
                if outcome is not None:
                    outcomes.append(outcome)
    except Exception as error:  # noqa: BLE001 - whatever a COMMIT raises, everyone who waits must hear of it
        _log.exception("a group of %d changes was not written", len(group))
        for change in group:
            if not change.done.done():
                change.done.set_exception(_unwritten(error))
        return
    for change, result in outcomes:
        change.done.set_result(result)


def _run(connection: Connection, change: _Change) -> tuple[_Change, Any] | None:
    """The change and its result; or None when it raised, which its caller has heard by then."""
    raised: BaseException | None = None
    try:
        with connection.begin_nested():
            try:
                return change, change.run(connection)
            except BaseException as error:
                raised = error
                raise
    except BaseException as error:  # noqa: BLE001 - whatever the change raises is its caller's, and none else's
        reason = raised or error
        # A full disk makes SQLite roll the whole transaction back: then what ran before is lost too, there is no
        # savepoint to return to, and a further one would be a transaction of its own.
        if not _in_transaction(connection):
            raise _unwritten(reason) from reason
        change.done.set_exception(_unwritten(reason) if isinstance(reason, OperationalError) else reason)
        return None


def _in_transaction(connection: Connection) -> bool:
    driver = connection.connection.driver_connection
    return isinstance(driver, sqlite3.Connection) and driver.in_transaction


def _unwritten(error: BaseException) -> Unavailable:
    """What the disk or SQLite did, without the statement that met it."""
    if isinstance(error, Unavailable):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    _log.error("the state could not be written: %s", cause)
    return Unavailable(f"The state could not be written: {cause}.")
