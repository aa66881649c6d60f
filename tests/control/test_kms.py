"""Data keys as control hands them out, and what is due with time, on a clock that a test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.access.deciding import Denied
from mooring.access.keys import AccessKey
from mooring.access.policies import policy_of
from mooring.control.kms import Kms
from mooring.control.kms_keys import DAY_S
from mooring.control.kms_users import KeyUser
from mooring.errors import DataDirectoryError, KmsError
from mooring.hosting.naming import Scope
from mooring.keys.envelopes import DataKey, DataKeys, Tampered, open_record, seal_record
from mooring.keys.master import MasterKey, open_master_key
from mooring.paths import Paths
from mooring.settings import AccessSettings, Settings
from mooring.store import Store, kms_keys
from mooring.store.kms_keys import PENDING_DELETION, KmsKey

T = TypeVar("T")
SCOPE = Scope("000000000000", "us-east-1")


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Scene:
    def __init__(self, paths: Paths, store: Store, master: MasterKey) -> None:
        self.paths, self.store, self.clock = paths, store, Clock()
        self.kms = Kms(Settings(), paths, store, self.clock, master, None)

    async def key(self, **members: object) -> KmsKey:
        now = self.clock.wall()
        made = await self.store.write(lambda conn: self.kms.keys.create(conn, SCOPE, now, None, ""))
        return await self.change(made, **members)

    async def change(self, key: KmsKey, **members: object) -> KmsKey:
        changed = replace(key, **members)  # type: ignore[arg-type]
        await self.store.write(lambda conn: kms_keys.save(conn, changed))
        return changed


def scene(root: Path, what: Callable[[Scene], Awaitable[T]]) -> T:
    async def run() -> T:
        paths = Paths(root)
        paths.make_private_directories()
        store = await Store.open(paths.state_db)
        try:
            return await what(Scene(paths, store, open_master_key(paths.master_key, AccessSettings())))
        finally:
            await store.close()

    return asyncio.run(run())


def test_a_data_key_comes_back_for_its_context_until_its_key_may_not_be_used(tmp_path: Path) -> None:
    async def run(made: Scene) -> None:
        keys: DataKeys = made.kms
        key = await made.key()
        data = await keys.generate(SCOPE, key.id, {"segment": "1"})
        assert data.key_arn.endswith(key.id)
        assert await keys.unseal(SCOPE, data.sealed, {"segment": "1"}) == data
        record = seal_record(data.plaintext, b"captured", b"place")
        assert open_record(data.plaintext, record, b"place") == b"captured"
        for context in ({}, {"segment": "2"}):
            with pytest.raises(KmsError) as caught:
                await keys.unseal(SCOPE, data.sealed, context)
            assert caught.value.code == "InvalidCiphertextException"
        await made.change(key, state="Disabled")
        for call in (keys.generate(SCOPE, key.id, {}), keys.unseal(SCOPE, data.sealed, {"segment": "1"})):
            with pytest.raises(KmsError) as caught:
                await call
            assert caught.value.code == "DisabledException"

    scene(tmp_path, run)


def test_the_directorys_own_key_needs_none_of_kms(tmp_path: Path) -> None:
    async def make(made: Scene) -> DataKey:
        return await made.kms.generate(SCOPE, "", {"a": "b"})

    async def again(made: Scene) -> DataKey:
        with pytest.raises(KmsError):
            await made.kms.unseal(SCOPE, data.sealed, {"a": "c"})
        return await made.kms.unseal(SCOPE, data.sealed, {"a": "b"})

    data = scene(tmp_path, make)
    assert scene(tmp_path, again) == data
    assert data.key_arn == ""


def test_a_key_that_is_to_be_made_at_its_first_use_is(tmp_path: Path) -> None:
    async def run(made: Scene) -> None:
        first = await made.kms.generate(SCOPE, "alias/aws/s3", {})
        second = await made.kms.generate(SCOPE, "arn:aws:kms:us-east-1:000000000000:alias/aws/s3", {})
        assert first.key_arn == second.key_arn
        assert first.plaintext != second.plaintext
        with pytest.raises(KmsError, match="alias/aws/lambda is not found"):
            await made.kms.generate(SCOPE, "alias/aws/lambda", {})

    scene(tmp_path, run)


def test_what_is_due_is_destroyed_or_rotated_and_nothing_else(tmp_path: Path) -> None:
    async def run(made: Scene) -> None:
        now = made.clock.now
        doomed = await made.key(state=PENDING_DELETION, delete_at=now + 7 * DAY_S)
        turning = await made.key(rotate_at=now + 90 * DAY_S, rotation_days=90)
        both = await made.key(state=PENDING_DELETION, delete_at=now + 30 * DAY_S, rotate_at=now + 7 * DAY_S)
        steady = await made.key()
        old = await made.kms.generate(SCOPE, turning.id, {})

        async def left() -> dict[str, int]:
            held = {key.id: key for key in (doomed, turning, both, steady)}
            return {
                key_id: len(await made.store.read(lambda conn, k=key_id: kms_keys.materials(conn, k)))
                for key_id in held
            }

        await made.kms.settle()
        assert list((await left()).values()) == [1, 1, 1, 1]
        made.clock.now = now + 8 * DAY_S
        await made.kms.settle()
        assert list((await left()).values()) == [0, 1, 1, 1]
        made.clock.now = now + 91 * DAY_S
        await made.kms.settle()
        assert list((await left()).values()) == [0, 2, 0, 1]
        assert (await made.kms.unseal(SCOPE, old.sealed, {})).plaintext == old.plaintext
        await made.kms.settle()
        assert list((await left()).values()) == [0, 2, 0, 1]
        rotated = await made.store.read(lambda conn: kms_keys.get(conn, turning.id))
        assert rotated is not None
        assert rotated.rotate_at == pytest.approx(made.clock.now + 90 * DAY_S)

    scene(tmp_path, run)


def test_destroyed_material_is_in_no_file_of_the_store(tmp_path: Path) -> None:
    async def run(made: Scene) -> bytes:
        key = await made.key(state=PENDING_DELETION, delete_at=made.clock.now + 1)
        material = await made.store.read(lambda conn: kms_keys.material(conn, key.id, 1))
        assert material is not None
        made.clock.now += 2
        assert any(material.sealed in path.read_bytes() for path in tmp_path.glob("state.db*"))
        await made.kms.settle()
        assert not any(material.sealed in path.read_bytes() for path in tmp_path.glob("state.db*"))
        return material.sealed

    sealed = scene(tmp_path, run)
    assert not any(sealed in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_material_opens_under_its_own_master_key_only(tmp_path: Path) -> None:
    async def make(made: Scene) -> bytes:
        return (await made.kms.generate(SCOPE, (await made.key()).id, {})).sealed

    async def again(made: Scene) -> None:
        with pytest.raises(DataDirectoryError, match="one of the kms keys, .* was not sealed with the master key"):
            await made.kms.unseal(SCOPE, sealed, {})

    sealed = scene(tmp_path, make)
    Paths(tmp_path).master_key.unlink()
    scene(tmp_path, again)


def test_who_is_asked_needs_the_keys_policy_and_mooring_does_not(tmp_path: Path) -> None:
    nothing = AccessKey(
        "MKIA1", "s", "ann", policy_of({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
    )

    async def run(made: Scene) -> None:
        key = await made.key()
        user = KeyUser(SCOPE.account, "mooring", nothing, "s3.us-east-1.amazonaws.com")
        data = await made.kms.generate(SCOPE, key.id, {})
        for call in (made.kms.generate(SCOPE, key.id, {}, user), made.kms.unseal(SCOPE, data.sealed, {}, user)):
            with pytest.raises(Denied, match="assumed-role/mooring/ann is not authorized"):
                await call
        own = await made.kms.generate(SCOPE, "alias/aws/s3", {}, user)
        assert (await made.kms.unseal(SCOPE, own.sealed, {}, user)).plaintext == own.plaintext
        direct = KeyUser(SCOPE.account, "mooring", nothing)
        with pytest.raises(Denied):
            await made.kms.unseal(SCOPE, own.sealed, {}, direct)

    scene(tmp_path, run)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_rubbish_is_no_data_key(tmp_path_factory: pytest.TempPathFactory, sealed: bytes) -> None:
    async def run(made: Scene) -> None:
        with pytest.raises(KmsError):
            await made.kms.unseal(SCOPE, sealed, {})

    scene(tmp_path_factory.mktemp("kms"), run)


def test_tampered_is_what_a_changed_record_raises() -> None:
    with pytest.raises(Tampered):
        open_record(b"k" * 32, b"", b"")
