"""The log of explained calls: whole lines whoever writes, nothing that steers a terminal, and no call ever waits."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.edge.call_log import CallLog, Place, text
from mooring.explainer.frames import Explained, Unexplained
from mooring.processes import line_logs
from mooring.processes.line_logs import LONGEST_TEXT, line

PLACE = Place("u", "v")
WHOLE = Explained(1, b"", 2, [0.0, 0.0], 124)


def path(root: Path) -> Path:
    return root / "u" / "v" / "explainer.log"


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (WHOLE, "Explained 2 records with 124 synthetic records in 0.500 s, exactly"),
        (Explained(1, b"", 0, [], 0), "Explained 0 records with 0 synthetic records in 0.500 s"),
        (
            Explained(1, b"", 3, [0.01, 0.3, 0.02], 6228),
            "Explained 3 records with 6228 synthetic records in 0.500 s; relative error about 2.0e-02, at most 3.0e-01",
        ),
        (Unexplained(1, "explainer", 0, "record 3 is none"), "Not explained after 0.500 s: record 3 is none"),
    ],
)
def test_what_is_told_of_a_call(frame: Explained | Unexplained, told: str) -> None:
    assert text(frame, 0.5) == told


def test_a_call_that_had_a_language_loaded_says_how_long_that_took() -> None:
    told = text(WHOLE._replace(loading_s=0.25), 0.5)
    assert told.endswith(" in 0.500 s, of which 0.250 s to load the language of its texts, exactly")


@given(st.text(), st.text())
def test_a_line_is_one_line_and_can_be_printed(inference_id: str, said: str) -> None:
    found = line(1_800_000_000.0, inference_id, said)
    assert found.endswith(b"\n")
    assert found.count(b"\n") == 1
    assert found[:-1].decode().isprintable()
    assert len(found) < 4 * (LONGEST_TEXT + len(inference_id) + 100)


def test_gateways_append_to_one_file(tmp_path: Path) -> None:
    async def scene() -> None:
        logs = [CallLog(tmp_path, 10_000_000) for _ in range(4)]
        for number in range(50):
            for each in logs:
                each.add(PLACE, f"{number}", WHOLE, 0.5)
            await asyncio.sleep(0.005)
        await asyncio.gather(*(each.flush() for each in logs))

    asyncio.run(scene())
    lines = path(tmp_path).read_text().splitlines()
    assert len(lines) == 200
    assert all(each.endswith("in 0.500 s, exactly") for each in lines)


def test_a_part_of_a_line_that_a_full_disk_left_is_ended(tmp_path: Path) -> None:
    path(tmp_path).parent.mkdir(parents=True)
    path(tmp_path).write_bytes(b"2026-01-01T00:0")

    async def scene() -> None:
        log = CallLog(tmp_path, 10_000_000)
        log.add(PLACE, "", WHOLE, 0.5)
        await log.flush()

    asyncio.run(scene())
    first, second = path(tmp_path).read_text().splitlines()
    assert (first, second[-7:]) == ("2026-01-01T00:0", "exactly")


def test_it_is_bounded_on_disk_and_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_logs, "MOST_PENDING_BYTES", 10_000)

    async def scene() -> None:
        log = CallLog(tmp_path, 65_536)
        for _ in range(20):
            for _ in range(100):
                log.add(PLACE, "", WHOLE, 0.5)
            assert log._lines._pending_bytes <= 10_000
            await log.flush()

    asyncio.run(scene())
    found = path(tmp_path).lstat()
    assert found.st_blocks * 512 <= 2 * 65_536


def test_a_disk_that_takes_nothing_costs_lines_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "u").write_text("no directory")

    async def scene() -> None:
        log = CallLog(tmp_path, 10_000_000)
        for _ in range(3):
            log.add(PLACE, "", WHOLE, 0.5)
            await log.flush()
        (tmp_path / "u").unlink()
        log.add(PLACE, "", WHOLE, 0.5)
        await log.flush()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert [record.getMessage() for record in caplog.records] == ["lines of explained calls are lost: Not a directory"]
    assert len(path(tmp_path).read_text().splitlines()) == 1
