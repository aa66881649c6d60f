"""`Store`: Mooring's state on disk, for one asyncio process.

A write returns when its change survives power loss. A read runs on a connection of its own, in one snapshot that holds
every write which has returned. It runs on the loop's own thread: queries find what they look for by an index, no writer
makes a reader wait, and to ask another thread takes several times as long as the query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine

from mooring.errors import Unavailable
from mooring.store.opening import open_engine
from mooring.store.writer import Writer

T = TypeVar("T")


class Store:
    """Open with `Store.open`; queries and changes are functions of the modules beside this one."""

    def __init__(self, engine: Engine, epoch: int) -> None:
        self.epoch = epoch
        """Grows by one at every opening of the file."""
        self._engine = engine
        self._writer = Writer(engine)
        self._reading = engine.connect()
        self._closed = False

    @staticmethod
    async def open(path: Path) -> Store:
        """Create or migrate the file where needed, and count this opening. Raises `DataDirectoryError`."""
        engine, epoch = await asyncio.to_thread(open_engine, path)
        store = Store(engine, epoch)
        store._writer.start()
        return store

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` returns, from one snapshot; it must not write."""
        if self._closed:
            raise Unavailable("The store is closed.")
        with self._reading.begin():
            return query(self._reading)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """What `change` returns, once it is durable. When it raises, nothing of it was done.

        Changes run one after the other, so what a change reads cannot be altered before it writes.
        """
        return await asyncio.wrap_future(self._writer.submit(change))

    async def truncate_log(self) -> None:
        """Have nothing of what was deleted left in the write-ahead log, as far as readers of now allow."""
        await asyncio.to_thread(self._truncate_log)

    def _truncate_log(self) -> None:
        with self._engine.connect().execution_options(begin="") as connection:
            connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]

    async def close(self) -> None:
        """Write what is queued and close the file."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._reading.close()
        self._engine.dispose()
