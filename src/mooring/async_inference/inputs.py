"""Inputs of one endpoint's jobs, however long S3 is away."""

from __future__ import annotations

import asyncio
import random
import time

from mooring.async_inference.counting import COUNT, MICROSECONDS
from mooring.async_inference.failures import Away, Problem
from mooring.async_inference.fetching import Input
from mooring.async_inference.hand import FIRST_PAUSE_S, LONGEST_PAUSE_S, Endpoint, InHand, Tools
from mooring.async_inference.seating import LaneGone

WARY_S = 5.0
"""After S3 was away no place at a replica is taken before the input is at hand."""


class Inputs:
    """Reads what jobs name."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        self._endpoint = endpoint
        self._tools = tools
        self._wary_until = 0.0

    @property
    def is_wary(self) -> bool:
        """Whether S3 was away just now."""
        return time.monotonic() < self._wary_until

    async def of(self, held: InHand) -> Input:
        """The input of a job, once S3 gives it. Raises `Problem`, or `LaneGone` when somebody else ends the job."""
        pause = FIRST_PAUSE_S
        while not held.ending:
            try:
                return await self.now(held)
            except Away:
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))
                pause = min(pause * 2, LONGEST_PAUSE_S)
        raise LaneGone

    async def now(self, held: InHand) -> Input:
        """The input of a job. Raises `Problem`, or `Away` when S3 is."""
        queued, began = held.queued, time.monotonic()
        body = await self._tools.queue.body(queued.job.id) if queued.is_inline else None
        try:
            given = await self._tools.fetching.fetch(queued.job, body)
        except (Away, Problem) as error:
            self._endpoint.count(held, "RequestDownloadFailures", COUNT, 1.0)
            if isinstance(error, Away):
                self._wary_until = time.monotonic() + WARY_S
            raise
        if not queued.is_inline:
            self._endpoint.count(held, "RequestDownloadLatency", MICROSECONDS, (time.monotonic() - began) * 1e6)
        return given
