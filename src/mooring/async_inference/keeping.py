"""Answers become kept: the body on disk, the record of a captured call with capture, the job answered, in this order.

From the last step on the model is never called again for the job, and no record of it is made.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mooring.async_inference.capturing import CapturedCall
from mooring.async_inference.hand import Endpoint, InHand, Tools
from mooring.async_inference.spooling import SpoolFile
from mooring.hosting.async_jobs import Answered

LAST_WRITE_S = 2.0
"""How long the end of control waits for an answer that is being written down."""


class Keeping:
    """Of one endpoint's jobs."""

    def __init__(self, endpoint: Endpoint, tools: Tools) -> None:
        self._endpoint = endpoint
        self._queue = tools.queue

    async def keep(self, held: InHand, answered: Answered, file: SpoolFile) -> tuple[Answered, bytes | None]:
        """The answer as it is kept, and its body where that is in no file. Raises OSError when the disk is full."""
        small = file.small()
        if small is None:
            await file.commit()
            answered = replace(answered, spool=file.name)
        held.answered = True
        if held.captured is None:
            await self._note(held, answered, small)
        else:
            await self._record(held, held.captured, answered, small)
            held.captured.close()
        return answered, small

    async def _note(self, held: InHand, answered: Answered, small: bytes | None) -> None:
        await self._endpoint.persisted(lambda: self._queue.answered(held.queued.job.id, answered, small))

    async def _record(self, held: InHand, captured: CapturedCall, answered: Answered, small: bytes | None) -> None:
        async def both() -> None:
            await captured.answered(answered, small)
            await self._note(held, answered, small)

        writing = asyncio.create_task(both(), name=f"answer to job {held.queued.job.id}")
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # A job that has its record is not to be called again by the next control, if that can be helped.
            await asyncio.wait({writing}, timeout=LAST_WRITE_S)
            writing.cancel()
            raise
