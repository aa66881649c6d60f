"""Answers on disk: whole under their names, or not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mooring.async_inference.spooling import HELD_BYTES, Spool
from mooring.errors import DataDirectoryError


@pytest.fixture
def spool(tmp_path: Path):
    made = Spool(tmp_path / "spool")
    made.open(())
    yield made
    made.close()


def test_an_answer_has_its_name_when_it_is_whole(spool: Spool) -> None:
    async def write() -> list[str]:
        file = spool.begin("a")
        for _ in range(5):
            await file.write(b"x" * HELD_BYTES)
        assert file.small() is None
        before = [path.name for path in spool.path("a").parent.iterdir()]
        await file.commit()
        return before

    assert asyncio.run(write()) == [".a.tmp"]
    assert spool.path("a").read_bytes() == b"x" * 5 * HELD_BYTES
    assert [path.name for path in spool.path("a").parent.iterdir()] == ["a"]


def test_a_small_answer_needs_no_file(spool: Spool) -> None:
    async def write() -> bytes | None:
        file = spool.begin("a")
        assert file.small() == b""
        await file.write(b"x")
        await file.write(b"y")
        return file.small()

    assert asyncio.run(write()) == b"xy"
    assert list(spool.path("a").parent.iterdir()) == []


def test_what_is_discarded_is_gone(spool: Spool) -> None:
    async def write() -> None:
        file = spool.begin("a")
        await file.write(b"x" * HELD_BYTES * 2)
        file.discard()

    asyncio.run(write())
    spool.close()
    assert list(spool.path("a").parent.iterdir()) == []


def test_what_no_row_names_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    for name in ("kept", "lost", ".half.tmp"):
        (directory / name).write_bytes(b"x")
    spool = Spool(directory)
    spool.open({"kept"})
    assert [path.name for path in directory.iterdir()] == ["kept"]
    spool.close()


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"")
    with pytest.raises(DataDirectoryError):
        Spool(tmp_path / "spool").open(())


def test_what_was_written_can_be_had_again(spool: Spool) -> None:
    async def write() -> tuple[bytes, bytes, bytes]:
        aside, answer = spool.begin("aside"), spool.begin("answer")
        for file in (aside, answer):
            await file.write(b"x" * HELD_BYTES)
            await file.write(b"the end")
        await answer.commit()
        small = spool.begin("small")
        await small.write(b"y")
        return await aside.content(), await spool.read("answer", 3), await small.content()

    assert asyncio.run(write()) == (b"x" * HELD_BYTES + b"the end", b"xxx", b"y")
