"""Which zygotes are kept, by real ones that import nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mooring.engines.zygotes import PLAIN, SOON_S, Zygotes


class SetClock:
    now = 100.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@asynccontextmanager
async def _zygotes(clock: SetClock) -> AsyncIterator[Zygotes]:
    zygotes = Zygotes(clock, 60.0, {})
    try:
        yield zygotes
    finally:
        await zygotes.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def _run(test: Callable[[Zygotes, SetClock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = SetClock()
        async with _zygotes(clock) as zygotes:
            await test(zygotes, clock)

    asyncio.run(run())


def test_what_nobody_needs_goes_unless_it_is_kept() -> None:
    async def test(zygotes: Zygotes, clock: SetClock) -> None:
        zygotes.keep([PLAIN])
        zygotes.get("generic")
        clock.now += 61
        zygotes.evict_idle()
        assert [framework for framework, _ in zygotes.listing()] == [PLAIN]
        zygotes.keep([])
        zygotes.evict_idle()
        assert zygotes.listing() == []

    _run(test)


def test_one_that_dies_is_started_again_before_it_is_needed() -> None:
    async def test(zygotes: Zygotes, clock: SetClock) -> None:
        zygotes.keep([PLAIN])
        for _ in range(2):
            [(_, pid)] = zygotes.listing()
            os.kill(pid, signal.SIGKILL)
            await _until(lambda pid=pid: bool(zygotes.listing()) and zygotes.listing()[0][1] != pid)
            clock.now += SOON_S
        clock.now -= SOON_S
        [(_, pid)] = zygotes.listing()
        os.kill(pid, signal.SIGKILL)  # once more at once: something is wrong with it
        await _until(lambda: not zygotes.listing())
        zygotes.keep([PLAIN])
        assert zygotes.listing()[0][1] != pid

    _run(test)


def test_one_that_is_not_kept_is_not_started_again() -> None:
    async def test(zygotes: Zygotes, clock: SetClock) -> None:
        os.kill(zygotes.get(PLAIN).pid, signal.SIGKILL)
        await _until(lambda: not zygotes.listing())

    _run(test)


def test_none_goes_while_a_replica_waits_for_it() -> None:
    async def test(zygotes: Zygotes, clock: SetClock) -> None:
        zygote = zygotes.get(PLAIN)
        waiting = asyncio.create_task(zygote.spawn({}, ()))
        await asyncio.sleep(0)
        clock.now += 61
        zygotes.evict_idle()
        assert zygote.alive
        with pytest.raises(Exception, match="could not be forked"):  # the spec is none, and the zygote has said so
            await waiting
        zygotes.evict_idle()
        assert not zygote.alive

    _run(test)
