"""Calls of waiters: which they are, what they are held for, and how many."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mooring.api.holding import Holding, is_a_waiters
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.naming import Scope
from mooring.settings import ApiSettings
from mooring.store import Store, endpoints

SCOPE = Scope("000000000000", "us-east-1")
RECORD = EndpointRecord("u1", SCOPE, "ep", "c", {}, EndpointStatus.CREATING, (), 1.0, 1.0)


@pytest.mark.parametrize(
    ("agent", "waits"),
    [
        (b"Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 m/b,E,B,Z,N,e cfg/retry-mode#standard Botocore/1.44.5", True),
        (b"Boto3/1.44.5 m/B", True),
        (b"Boto3/1.44.5 m/b,Z cfg/retry-mode#legacy", False),
        (b"Boto3/1.44.5 xm/B", False),
        (b"B", False),
        (b"", False),
        (None, False),
    ],
)
def test_a_waiters_call_is_told_by_its_features(agent: bytes | None, waits: bool) -> None:
    assert is_a_waiters(agent) is waits


class Changes:
    """The part of control that a held call needs."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def change_of(self, uid: str) -> asyncio.Event:
        return self.event


def scene(
    tmp_path: Path,
    script: Callable[[Holding, Store, Changes], Awaitable[None]],
    settings: ApiSettings | None = None,
) -> None:
    async def run() -> None:
        store = await Store.open(tmp_path / "state.db")
        try:
            await store.write(lambda conn: endpoints.insert(conn, RECORD))
            changes = Changes()
            holding = Holding(settings or ApiSettings(hold_s=30.0), store, changes)  # type: ignore[arg-type]
            async with asyncio.timeout(20):
                await script(holding, store, changes)
        finally:
            await store.close()

    asyncio.run(run())


async def settle(store: Store, changes: Changes, status: EndpointStatus) -> None:
    await store.write(lambda conn: endpoints.save(conn, dataclasses.replace(RECORD, status=status)))
    changed, changes.event = changes.event, asyncio.Event()
    changed.set()


@pytest.mark.parametrize("status", [EndpointStatus.IN_SERVICE, EndpointStatus.FAILED])
def test_held_until_the_endpoint_is_settled(tmp_path: Path, status: EndpointStatus) -> None:
    async def script(holding: Holding, store: Store, changes: Changes) -> None:
        call = asyncio.create_task(holding.hold(SCOPE, "ep"))
        await asyncio.sleep(0.1)
        assert not call.done()
        await settle(store, changes, EndpointStatus.UPDATING)
        await asyncio.sleep(0.1)
        assert not call.done()
        await settle(store, changes, status)
        await call

    scene(tmp_path, script)


def test_held_until_the_endpoint_is_gone(tmp_path: Path) -> None:
    async def script(holding: Holding, store: Store, changes: Changes) -> None:
        call = asyncio.create_task(holding.hold(SCOPE, "ep"))
        await asyncio.sleep(0.05)
        await store.write(lambda conn: endpoints.delete(conn, "u1"))
        changes.event.set()
        await call

    scene(tmp_path, script)


def test_held_no_longer_than_the_setting_says(tmp_path: Path) -> None:
    async def script(holding: Holding, store: Store, changes: Changes) -> None:
        await holding.hold(SCOPE, "ep")

    scene(tmp_path, script, ApiSettings(hold_s=0.05))


@pytest.mark.parametrize("settings", [ApiSettings(held_calls=0), ApiSettings(hold_s=0.0)])
def test_zero_turns_it_off(tmp_path: Path, settings: ApiSettings) -> None:
    scene(tmp_path, lambda holding, store, changes: holding.hold(SCOPE, "ep"), settings)


def test_only_so_many_are_held(tmp_path: Path) -> None:
    async def script(holding: Holding, store: Store, changes: Changes) -> None:
        held = [asyncio.create_task(holding.hold(SCOPE, "ep")) for _ in range(2)]
        await asyncio.sleep(0.05)
        await holding.hold(SCOPE, "ep")  # the third is answered at once
        assert not any(call.done() for call in held)
        holding.release()
        await asyncio.gather(*held)

    scene(tmp_path, script, ApiSettings(hold_s=30.0, held_calls=2))


def test_nothing_is_held_for_an_unknown_endpoint_or_a_settled_one(tmp_path: Path) -> None:
    async def script(holding: Holding, store: Store, changes: Changes) -> None:
        await holding.hold(SCOPE, "nobody")
        await settle(store, changes, EndpointStatus.IN_SERVICE)
        await holding.hold(SCOPE, "ep")

    scene(tmp_path, script)
