"""The part of control that the objects front asks for data keys, on a thread of a test's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Self, TypeVar

from mooring.access.keys import AccessKey, Keyring
from mooring.clock import SystemClock
from mooring.control.kms import Kms
from mooring.keys.master import open_master_key
from mooring.paths import Paths
from mooring.settings import AccessSettings, Settings
from mooring.store import Connection, Store

T = TypeVar("T")


class KeysOfControl:
    """Runs for as long as its block lasts; with access keys, those that it is given are in force."""

    def __init__(self, settings: Settings, paths: Paths, *keys: AccessKey) -> None:
        self._settings, self._paths, self._keys = settings, paths, keys
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="keys of control")

    async def _run(self) -> None:
        try:
            store = await Store.open(self._paths.state_db)
            master = open_master_key(self._paths.master_key, AccessSettings())
            keyring = Keyring() if self._keys else None
            if keyring is not None:
                keyring.replace(self._keys)
            self.kms = Kms(self._settings, self._paths, store, SystemClock(), master, keyring)
            self.store = store
            await self.kms.start()
            self._ending = asyncio.Event()
        except BaseException as error:  # noqa: BLE001
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        await self._ending.wait()
        await self.kms.close()
        await store.close()

    def do(self, what: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine there."""

        async def run() -> T:
            return await what()

        return asyncio.run_coroutine_threadsafe(run(), self._started.result(10)).result(10)

    def write(self, change: Callable[[Connection], T]) -> T:
        return self.do(lambda: self.store.write(change))

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._started.result().call_soon_threadsafe(self._ending.set)
        self._thread.join(10)
