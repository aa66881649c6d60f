"""Whether this machine's disk has room for answers: while it has none, no model is called, as it would be in vain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mooring.async_inference.spooling import Spool

log = logging.getLogger("mooring.control")

LOOK_S = 1.0
FULL = "the disk of the data directory is full"


class Room:
    """`run` is the one task. What waits for room is told by `there_is`."""

    def __init__(self, spool: Spool, tell: Callable[[str], None]) -> None:
        self.is_there = True
        self.there_is: Callable[[], None] = lambda: None
        self._spool = spool
        self._tell = tell

    def missing(self, why: str) -> None:
        """An answer could not be kept."""
        if self.is_there:
            self.is_there = False
            log.error("no models of asynchronous endpoints are called for now: %s", why)
            self._tell(f"No jobs of asynchronous endpoints are begun for now: {why}.")

    async def run(self) -> None:
        """Look at the disk until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                has_room = await self._spool.has_room()
            except OSError as error:
                self.missing(str(error.strerror or error))
                continue
            if not has_room:
                self.missing(FULL)
            elif not self.is_there:
                self.is_there = True
                log.info("models of asynchronous endpoints are called again")
                self._tell("There is room for answers again: jobs of asynchronous endpoints are begun.")
                self.there_is()
