"""Keys on their way: made, sealed, put in force, published and acknowledged."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.clock import SystemClock
from mooring.control import access as control_access
from mooring.control import own_keys
from mooring.control.access import Access
from mooring.control.publishing import RoutePublisher
from mooring.errors import AlreadyExists, BadInput, DataDirectoryError, NotFound, Unavailable
from mooring.keys.master import open_master_key
from mooring.paths import Paths
from mooring.settings import AccessSettings, ServerSettings, Settings
from mooring.store import Store
from tests.control.test_publishing import FakeGateway

KEYS_NEEDED = Settings(access=AccessSettings(mode="keys"))
MAY_LIST = {"Statement": {"Effect": "Allow", "Action": "sagemaker:List*", "Resource": "*"}}


class Front(FakeGateway):
    """The objects front's side of the channel."""

    async def connect(self, routes: dict[str, list[int]] | None = None, index: int = 0) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        await self.send({"objects": {"pid": 2}})


class Scene:
    """Everything of control that keys need."""

    def __init__(self, settings: Settings, paths: Paths, store: Store) -> None:
        self.paths = paths
        self.publisher = RoutePublisher(paths, epoch=1, gateways=1, fronts=1)
        self.master = open_master_key(paths.master_key, AccessSettings())
        self.access = Access(settings, paths, store, SystemClock(), self.master, self.publisher)
        self.gateway, self.front = FakeGateway(paths), Front(paths)

    async def follow(self, *followers: FakeGateway) -> None:
        """Connect and acknowledge the first keys, as processes that start do."""
        self.publisher.settle()
        for follower in followers:
            await follower.connect()
            await acknowledged(follower)


async def acknowledged(follower: FakeGateway) -> list[str]:
    """Take keys and say so; their names."""
    message: dict[str, Any] = {}
    while "keys" not in message:
        message = await follower.receive()
    await follower.send({"keys_ack": message["keys"]["version"]})
    return [key["name"] for key in message["keys"]["keys"]]


def scene(tmp_path: Path, script: Callable[[Scene], Awaitable[None]], settings: Settings = KEYS_NEEDED) -> None:
    async def run() -> None:
        paths = Paths(tmp_path)
        paths.make_private_directories()
        store = await Store.open(paths.state_db)
        made = Scene(settings, paths, store)
        try:
            async with asyncio.timeout(20):
                await made.access.start()
                await made.publisher.start()
                await script(made)
        finally:
            made.gateway.close()
            made.front.close()
            await made.publisher.close()
            await store.close()

    asyncio.run(run())


def test_a_new_key_is_in_force_when_everyone_has_said_so(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.follow(scene.gateway, scene.front)
        making = asyncio.create_task(scene.access.create("ann", MAY_LIST))
        assert await acknowledged(scene.gateway) == ["ann", "replica", "local"]
        await asyncio.sleep(0.05)
        assert not making.done()
        await acknowledged(scene.front)
        made = await making
        key = scene.access.keyring.find(made["access_key_id"])
        assert key is not None
        assert key.signing.secret == made["secret_access_key"]
        assert made["secret_access_key"].encode() not in scene.paths.state_db.read_bytes()
        listed = await scene.access.listed()
        assert [each["name"] for each in listed["keys"]] == ["ann"]
        assert "secret" not in json.dumps(listed)
        assert listed["keys"][0]["policy"] == MAY_LIST

    scene(tmp_path, script)


def test_a_revoked_key_is_gone_everywhere_or_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_access, "ACKNOWLEDGED_WITHIN_S", 0.1)

    async def script(scene: Scene) -> None:
        await scene.follow(scene.gateway, scene.front)
        making = asyncio.create_task(scene.access.create("ann", None))
        await acknowledged(scene.gateway)
        await acknowledged(scene.front)
        made = await making
        with pytest.raises(Unavailable, match="is stored, but within"):
            await scene.access.revoke("ann")
        assert scene.access.keyring.find(made["access_key_id"]) is None
        assert await acknowledged(scene.gateway) == ["replica", "local"]
        with pytest.raises(NotFound):
            await scene.access.revoke("ann")

    scene(tmp_path, script)


def test_a_gateway_that_waits_for_its_routes_has_its_keys_and_is_waited_for(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.gateway.connect()  # not settled: no route goes out yet
        await acknowledged(scene.gateway)
        await scene.front.connect()
        await acknowledged(scene.front)
        making = asyncio.create_task(scene.access.create("ann", None))
        await acknowledged(scene.front)
        await asyncio.sleep(0.05)
        assert not making.done()
        await acknowledged(scene.gateway)
        await making

    scene(tmp_path, script)


def test_names_are_ones_of_their_own(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.follow(scene.gateway, scene.front)
        for name, said in (
            ("local", "one of Mooring's own"),
            ("a b", "is not 2 to 64 letters"),
            ("", "is not 2 to 64"),
        ):
            with pytest.raises(BadInput, match=said):
                await scene.access.create(name, None)
        making = asyncio.create_task(scene.access.create(None, None))
        await acknowledged(scene.gateway)
        await acknowledged(scene.front)
        made = await making
        assert made["name"] == made["access_key_id"]
        with pytest.raises(AlreadyExists):
            await scene.access.create(made["name"], None)

    scene(tmp_path, script)


def test_where_no_keys_are_needed_they_can_be_made_and_nobody_is_told(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        assert not scene.access.needed
        await scene.access.create("ann", None)
        await scene.gateway.connect()
        scene.publisher.settle()
        assert "synced" in await scene.gateway.receive()
        assert not scene.paths.local_credentials.exists()

    scene(tmp_path, script, Settings())


@pytest.mark.parametrize(("host", "mode", "needed"), [
    ("127.0.0.1", "auto", False), ("localhost", "auto", False), ("::1", "auto", False), ("127.0.0.1", "keys", True),
    ("0.0.0.0", "auto", True), ("192.0.2.1", "auto", True), ("0.0.0.0", "any", False), ("example.com", "auto", True),
])  # fmt: skip
def test_keys_are_needed_where_the_network_reaches(tmp_path: Path, host: str, mode: str, needed: bool) -> None:
    settings = Settings(server=ServerSettings(host=host), access=AccessSettings(mode=mode))

    async def script(scene: Scene) -> None:
        assert scene.access.needed is needed

    if needed and mode == "auto":
        with pytest.raises(DataDirectoryError, match="mooring keys create .* or let everyone in with --insecure"):
            scene(tmp_path, script, settings)
        scene(
            tmp_path,
            lambda made: made.access.create("ann", None),
            dataclasses.replace(settings, access=AccessSettings("any")),
        )
    scene(tmp_path, script, settings)


def test_mooring_s_own_keys_outlive_control_as_they_must(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.make_private_directories()
    master = open_master_key(paths.master_key, AccessSettings())
    first, second = own_keys.local_key(paths), own_keys.local_key(paths)
    assert first.is_same(second)  # control again, under the same supervisor
    assert own_keys.replicas_key(master).is_same(
        own_keys.replicas_key(open_master_key(paths.master_key, AccessSettings()))
    )
    assert stat.S_IMODE(paths.local_credentials.stat().st_mode) == 0o600
    held = json.loads(paths.local_credentials.read_bytes())
    paths.local_credentials.write_text(json.dumps({**held, "server": {"pid": 1}}))
    assert not own_keys.local_key(paths).is_same(first)  # another server


def test_a_lost_master_key_is_told(tmp_path: Path) -> None:
    scene(tmp_path, lambda made: made.access.create("ann", None), Settings())
    Paths(tmp_path).master_key.unlink()
    with pytest.raises(DataDirectoryError, match="restore the one that it was sealed with"):
        scene(tmp_path, lambda made: made.access.listed())
