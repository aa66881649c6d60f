"""A child that is fed in batches: it gets all that is said, is started again when it dies, and ends with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.processes.attendants import Attendant, Batches, batch

ECHO = """
import json, os, sys
from mooring.processes.attendants import Batches
batches = Batches()
print(json.dumps({"pid": os.getpid()}), flush=True)
while data := os.read(0, 65536):
    for frame in batches.feed(data):
        print(json.dumps(frame[0]), flush=True)
"""
PLAIN = st.recursive(
    st.binary(max_size=20) | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.none(),
    lambda inner: st.tuples(inner, inner) | st.dictionaries(st.binary(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(st.lists(st.tuples(PLAIN, PLAIN), max_size=4), max_size=4), st.integers(1, 50))
def test_batches_are_whole_however_they_are_cut(said: list[list[tuple[Any, ...]]], step: int) -> None:
    wire = b"".join(piece for frames in said for piece in batch(frames))
    reader, found = Batches(), []
    for at in range(0, len(wire), step):
        found += list(reader.feed(wire[at : at + step]))
    assert found == [frame for frames in said for frame in frames]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "echoing_attendant.py").write_text(ECHO)
    paths = [str(tmp_path), *(each for each in sys.path if each)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return "echoing_attendant"


@asynccontextmanager
async def attended(module: str, most_bytes: int) -> AsyncIterator[tuple[Attendant, list[tuple[int, Any]]]]:
    """An attendant and what it says; whatever happens, it goes."""
    lines: list[tuple[int, Any]] = []
    attendant = Attendant(module, most_bytes, lambda: [("hello",)], lambda *said: lines.append(said))
    try:
        yield attendant, lines
    finally:
        await attendant.finish()


async def until(attendant: Attendant, condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            attendant.sweep(asyncio.get_running_loop().time())
            await asyncio.sleep(0.01)


def test_it_is_fed_dies_and_is_fed_again(module: str) -> None:
    async def scene() -> None:
        async with attended(module, 10_000_000) as (attendant, lines):

            def pid(number: int) -> int:
                return next((line["pid"] for each, line in lines if each == number and isinstance(line, dict)), 0)

            for number in range(1000):
                attendant.say((number, b"x" * 100), 100)  # before it runs, too
            await until(attendant, lambda: (1, 999) in lines)
            assert [line for _, line in lines if not isinstance(line, dict)] == ["hello", *range(1000)]
            os.kill(pid(1), signal.SIGKILL)
            await until(attendant, lambda: pid(2))
            attendant.say((7,), 1)
            await until(attendant, lambda: (2, 7) in lines)
            assert (2, "hello") in lines
            for number in range(1000):
                attendant.say((number, b""), 10)
            await attendant.finish()  # what it was given is done first
            assert (2, 999) in lines
            assert not Path(f"/proc/{pid(2)}").exists()

    asyncio.run(scene())


def test_what_it_does_not_take_is_bounded(module: str) -> None:
    async def scene() -> None:
        async with attended(module, 500_000) as (attendant, lines):
            await until(attendant, lambda: lines)
            pid, said = lines[0][1]["pid"], 0
            os.kill(pid, signal.SIGSTOP)
            try:
                while attendant.has_room:
                    attendant.say((said, os.urandom(1000)), 1000)
                    said += 1
                    assert said < 5000
                    await asyncio.sleep(0)
            finally:
                os.kill(pid, signal.SIGCONT)
            await until(attendant, lambda: attendant.has_room and (1, said - 1) in lines)

    asyncio.run(scene())
