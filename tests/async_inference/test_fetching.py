"""Inputs from an S3 that is not itself."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from mooring.async_inference import fetching
from mooring.async_inference.failures import Away
from mooring.async_inference.fetching import Budget, Fetching
from mooring.objects.async_client import AsyncS3
from tests.store.test_queue import a_job


class Dripping:
    """An object that comes byte by byte, and the S3 that has it."""

    length, content_type = 100_000, "text/csv"

    def __init__(self) -> None:
        self.closed = False

    async def get(self, bucket: str, key: str) -> Dripping:
        return self

    async def read(self) -> bytes:
        await asyncio.sleep(0.01)
        return b"x"

    def close(self) -> None:
        self.closed = True


def test_an_object_that_drips_holds_no_place_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SMALL_S", 0.1)
    s3, budget = Dripping(), Budget(Dripping.length)

    async def fetch() -> None:
        async with asyncio.timeout(20):
            await Fetching(cast(AsyncS3, s3), 1_000_000, budget).fetch(a_job(), None)

    with pytest.raises(Away, match="too slowly"):
        asyncio.run(fetch())
    assert s3.closed
    assert budget.reserve(Dripping.length), "what it took of memory is given back"
