"""The table of access keys."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mooring.errors import AlreadyExists, NotFound
from mooring.store import Connection, Store, access_keys
from mooring.store.access_keys import KeyRecord


def record(number: int, name: str = "") -> KeyRecord:
    return KeyRecord(f"MKIA{number}", name or f"n{number}", b"\0sealed", None if number % 2 else "{}", float(number))


def test_keys_come_back_as_they_were_and_go_by_id_or_name(tmp_path: Path) -> None:
    async def run() -> None:
        store = await Store.open(tmp_path / "state.db")

        def insert(connection: Connection) -> None:
            for number in (3, 1, 2):
                access_keys.insert(connection, record(number))

        await store.write(insert)
        assert await store.read(access_keys.all) == [record(1), record(2), record(3)]
        with pytest.raises(AlreadyExists, match='of the name "n1".*`mooring keys revoke n1`'):
            await store.write(lambda connection: access_keys.insert(connection, record(4, "n1")))
        assert await store.write(lambda connection: access_keys.remove(connection, "n1")) == "MKIA1"
        assert await store.write(lambda connection: access_keys.remove(connection, "MKIA3")) == "MKIA3"
        with pytest.raises(NotFound, match='no access key "MKIA3"'):
            await store.write(lambda connection: access_keys.remove(connection, "MKIA3"))
        assert await store.read(access_keys.count) == 1
        await store.close()

    asyncio.run(run())


def test_a_record_does_not_print_its_secret() -> None:
    assert "sealed" not in repr(record(1))
