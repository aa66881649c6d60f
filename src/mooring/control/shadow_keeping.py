"""The counts of shadows over time: heard from gateways, and kept in their file while control runs."""

from __future__ import annotations

import asyncio
import logging

from mooring.control.publishing import RoutePublisher
from mooring.control.shadow_reports import ShadowReports
from mooring.errors import Unavailable
from mooring.store import Store, endpoints

log = logging.getLogger("mooring.control")

SAVE_EVERY_S = 5.0


class ShadowKeeping:
    """Feeds and saves `reports`."""

    def __init__(self, reports: ShadowReports, store: Store, publisher: RoutePublisher) -> None:
        self._reports = reports
        self._store = store
        publisher.heeded["shadows"] = lambda link, message: reports.heard(link.incarnation, message["shadows"])

    async def run(self) -> None:
        """Save every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Write what is of the endpoints that there are, in the generations that run."""
        try:
            self._reports.keep_only(
                {
                    each.uid: {fleet.generation for fleet in (each, each.rollout, each.remnant) if fleet is not None}
                    for each in await self._store.read(endpoints.all)
                }
            )
            self._reports.save()
        except (OSError, Unavailable) as error:
            log.warning("the counts of shadows are not kept: %s", error)
