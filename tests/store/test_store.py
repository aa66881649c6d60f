from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from mooring.errors import AlreadyExists, DataDirectoryError, Unavailable
from mooring.hosting.naming import Scope
from mooring.hosting.resources import Resource
from mooring.store import Store, models, tags
from mooring.store.schema import HEAD
from tests.store.making import a_model

HERE = Scope("000000000000", "us-east-1")


def with_store(path: Path, body: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await Store.open(path)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(run())


def test_a_read_sees_every_write_that_returned(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        for number in range(20):
            name = f"m{number}"
            await store.write(lambda conn, name=name: models.insert(conn, a_model(name)))
            found = await store.read(lambda conn, name=name: models.get(conn, HERE, name))
            assert found == a_model(name)

    with_store(tmp_path / "state.db", body)


def test_a_change_that_raises_leaves_nothing_and_takes_no_other_with_it(tmp_path: Path) -> None:
    def bad(conn: Connection) -> None:
        models.insert(conn, a_model("bad"))
        raise LookupError("on purpose")

    async def body(store: Store) -> None:
        changes = [store.write(lambda conn, n=n: models.insert(conn, a_model(f"good{n}"))) for n in range(5)]
        outcomes = await asyncio.gather(changes[0], store.write(bad), *changes[1:], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), LookupError] + [type(None)] * 4
        names = [found.name for found in await store.read(models.all)]
        assert sorted(names) == [f"good{n}" for n in range(5)]

    with_store(tmp_path / "state.db", body)


def test_queued_changes_share_one_commit(tmp_path: Path) -> None:
    commits: list[int] = []

    async def body(store: Store) -> None:
        event.listen(store._engine, "commit", lambda _conn: commits.append(1))
        gate = threading.Event()
        first = asyncio.ensure_future(store.write(lambda _conn: gate.wait(5)))
        await asyncio.sleep(0.05)
        rest = [
            asyncio.ensure_future(store.write(lambda c, n=n: models.insert(c, a_model(f"m{n}")))) for n in range(50)
        ]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *rest)

    with_store(tmp_path / "state.db", body)
    assert len(commits) == 2


def test_of_two_inserts_of_one_name_at_once_one_wins(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        outcomes = await asyncio.gather(
            store.write(lambda conn: models.insert(conn, a_model("Name"))),
            store.write(lambda conn: models.insert(conn, a_model("nAME"))),
            return_exceptions=True,
        )
        [loser] = [outcome for outcome in outcomes if outcome is not None]
        assert isinstance(loser, AlreadyExists)
        assert "Cannot create already existing model" in str(loser)

    with_store(tmp_path / "state.db", body)


def test_a_transaction_that_sqlite_gives_up_fails_all_of_its_changes(tmp_path: Path) -> None:
    """A full disk makes SQLite roll back by itself; what ran before in the group must not be reported as kept."""

    def gives_up(conn: Connection) -> None:
        conn.exec_driver_sql("ROLLBACK")
        raise OSError("disk full")

    async def body(store: Store) -> None:
        outcomes = await asyncio.gather(
            store.write(lambda conn: models.insert(conn, a_model("before"))),
            store.write(gives_up),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], Unavailable)
        kept = {found.name for found in await store.read(models.all)}
        assert kept == (set() if isinstance(outcomes[0], Unavailable) else {"before"})
        await store.write(lambda conn: models.insert(conn, a_model("after")))
        assert "after" in {found.name for found in await store.read(models.all)}

    with_store(tmp_path / "state.db", body)


def test_a_full_disk_is_told_without_the_statement(tmp_path: Path) -> None:
    def limit(conn: Connection) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")

    big = Resource("model", HERE, "big", {"Image": "x" * 100_000}, 1.0)

    async def body(store: Store) -> None:
        await store.write(limit)
        outcomes = await asyncio.gather(
            store.write(lambda conn: tags.put(conn, "arn:x", {"k": "v"})),
            store.write(lambda conn: models.insert(conn, big)),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], Unavailable)
        assert str(outcomes[1]) == "The state could not be written: database or disk is full."
        kept = await store.read(lambda conn: tags.of(conn, "arn:x"))
        assert kept == ({} if isinstance(outcomes[0], Unavailable) else {"k": "v"})

    with_store(tmp_path / "state.db", body)


def test_a_cancelled_change_that_has_not_begun_is_dropped(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        gate = threading.Event()
        first = asyncio.ensure_future(store.write(lambda _conn: gate.wait(5)))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(store.write(lambda conn: models.insert(conn, a_model("dropped"))))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])  # only then has the queue heard of it
        gate.set()
        await first
        await store.write(lambda _conn: None)
        assert await store.read(models.all) == []

    with_store(tmp_path / "state.db", body)


def test_closing_writes_what_is_queued_and_refuses_more(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        queued = [
            asyncio.ensure_future(store.write(lambda c, n=n: models.insert(c, a_model(f"m{n}")))) for n in range(9)
        ]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*queued)
        with pytest.raises(Unavailable):
            await store.write(models.all)
        with pytest.raises(Unavailable):
            await store.read(models.all)

    with_store(tmp_path / "state.db", body)


def test_a_returned_write_survives_kill_9(tmp_path: Path) -> None:
    program = """
import asyncio, sys, time
from pathlib import Path
from mooring.store import Store, models
from tests.store.making import a_model
async def main():
    store = await Store.open(Path(sys.argv[1]))
    await store.write(lambda conn: models.insert(conn, a_model("kept")))
    print("written", flush=True)
    time.sleep(30)
asyncio.run(main())
"""
    path = tmp_path / "state.db"
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, cwd=root, env={**os.environ}
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()

    async def body(store: Store) -> None:
        assert await store.read(lambda conn: models.get(conn, HERE, "kept")) == a_model("kept")
        assert store.epoch == 2

    with_store(path, body)


def test_the_epoch_grows_with_every_opening(tmp_path: Path) -> None:
    epochs: list[int] = []

    async def body(store: Store) -> None:
        epochs.append(store.epoch)

    for _ in range(3):
        with_store(tmp_path / "state.db", body)
    assert epochs == [1, 2, 3]


def test_the_file_is_opened_durably(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")

        def read(conn: Connection) -> list[object]:
            return [conn.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]

        assert await store.write(read) == ["wal", 2, 1, 5000]

    with_store(tmp_path / "state.db", body)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"certainly not SQLite" * 100)
    with pytest.raises(DataDirectoryError, match=r"cannot open .*state\.db: file is not a database"):
        asyncio.run(Store.open(path))


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="cannot open"):
        asyncio.run(Store.open(tmp_path / "none" / "state.db"))


def test_a_file_of_a_newer_mooring_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def nothing(_store: Store) -> None: ...

    path = tmp_path / "state.db"
    with_store(path, nothing)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(DataDirectoryError, match=rf"newer Mooring \(schema 9999; this one knows up to {HEAD}\)"):
        asyncio.run(Store.open(path))
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT value FROM meta").fetchone() == (1,)
    raw.close()


def test_alembic_is_not_imported_where_nothing_is_to_migrate(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from mooring.store import Store
async def main():
    for _ in range(2):
        await (await Store.open(Path(sys.argv[1]))).close()
asyncio.run(main())
print("alembic" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path / "state.db")], capture_output=True, check=True)
    assert ran.stdout == b"False\n"


def test_tags_keep_their_order_and_are_overwritten_by_key(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        await store.write(lambda conn: tags.put(conn, "arn:x", {"b": "1", "a": "2"}))
        await store.write(lambda conn: tags.put(conn, "arn:x", {"c": "3", "b": "4"}))
        assert list((await store.read(lambda conn: tags.of(conn, "arn:x"))).items()) == [
            ("b", "4"),
            ("a", "2"),
            ("c", "3"),
        ]
        await store.write(lambda conn: tags.remove(conn, "arn:x", ["a", "absent"]))
        assert await store.read(lambda conn: tags.of(conn, "arn:x")) == {"b": "4", "c": "3"}

    with_store(tmp_path / "state.db", body)
