"""Answers to a caller who waits, held until there is something to tell.

botocore's waiters describe an endpoint at once and then every 30 seconds, so an endpoint that is ready after one
second would be noticed after thirty. botocore marks a waiter's calls with `B` among the features in its User-Agent
(`m/…`): such a call is answered when the endpoint leaves the status that it is in, and after a bounded time in any
case. Only so many calls are held at once; one more is answered as ever. Nothing is promised to a caller that a
repeated call would not show.
"""

from __future__ import annotations

import asyncio
import contextlib
import re

from mooring.api.calls import Control
from mooring.hosting.endpoints import IN_PROGRESS
from mooring.hosting.naming import Scope
from mooring.settings import ApiSettings
from mooring.store import Store, endpoints

LOOK_AGAIN_S = 0.005
"""Between two looks: an endpoint that nobody works on yet has no changes to wait for."""
_FEATURES = re.compile(rb"(?:^|\s)m/(\S+)")
_WAITER = b"B"


def is_a_waiters(user_agent: bytes | None) -> bool:
    """Whether botocore says that the call is a waiter's."""
    found = _FEATURES.search(user_agent or b"")
    return found is not None and _WAITER in found.group(1).split(b",")


class Holding:
    """The calls that are being held."""

    def __init__(self, settings: ApiSettings, store: Store, control: Control) -> None:
        self._settings = settings
        self._store = store
        self._control = control
        self._held = 0
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let every held call go, and hold none from now on: the server is about to stop."""
        self._released.set()

    async def hold(self, scope: Scope, name: str) -> None:
        """Return when the endpoint is not in progress, is not there, or the time is over."""
        if self._held >= self._settings.held_calls or self._released.is_set():
            return
        self._held += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.hold_s):
                    await self._until_settled(scope, name)
        finally:
            self._held -= 1

    async def _until_settled(self, scope: Scope, name: str) -> None:
        record = await self._store.read(lambda conn: endpoints.get(conn, scope, name))
        while record is not None and record.status in IN_PROGRESS and not self._released.is_set():
            change = self._control.change_of(record.uid)
            # Looked at again behind the subscription: the change may have come in between.
            record = await self._store.read(lambda conn: endpoints.get(conn, scope, name))
            if record is not None and record.status in IN_PROGRESS:
                await self._change_or_release(change)
                await asyncio.sleep(LOOK_AGAIN_S)
                record = await self._store.read(lambda conn: endpoints.get(conn, scope, name))

    async def _change_or_release(self, change: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait(), name="a held call") for event in (change, self._released)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
