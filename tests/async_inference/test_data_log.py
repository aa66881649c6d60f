"""The lines of data-logs: what they say, whatever is put into them, and what becomes of them on bad disks."""

from __future__ import annotations

import asyncio
import os
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.async_inference.data_log import NO_LENGTH, Instance, data_logs, texts
from mooring.hosting.async_jobs import Answered, Outcome, OutcomeKind
from mooring.processes import line_logs
from mooring.processes.line_logs import LONGEST_TEXT, LineLogs, line
from tests.async_inference.test_notifying import JOB

AT = 1731799326.943
ANSWERED = Answered(200, "text/csv", None, "", 61, 0.0123)
COMPLETED = Outcome(OutcomeKind.COMPLETED, None, "s3://b/o/x.out")
LIMIT = 1 << 20
INSTANCE = Instance("u", "v", "i-1")
FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}:\[sagemaker logs\] \[(.*)\] (.*)\n")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Of one endpoint `u` with two variants."""
    for path in ("u/v/i-1.log", "u/w/i-2.log"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    return tmp_path


def written(to: LineLogs[Instance], *lines: tuple[Instance, bytes]) -> None:
    async def scene() -> None:
        for instance, each in lines:
            to.add(instance, each)
        await to.flush()

    asyncio.run(scene())


def test_a_line_is_as_aws_writes_it() -> None:
    assert line(AT, "mine", "all is well") == b"2024-11-16T23:22:06.943:[sagemaker logs] [mine] all is well\n"


def test_what_is_said_of_a_job() -> None:
    [text] = texts(JOB, COMPLETED, ANSWERED, 5, 0.35)
    assert text == (
        "Completed: read 5 bytes from s3://b/in.wav, the model answered 200 with 61 bytes in 12 ms,"
        " wrote s3://b/o/x.out; 350 ms since the call"
    )
    [text] = texts(replace(JOB, input_location=None), COMPLETED, ANSWERED, None, 0.35)
    assert text.startswith("Completed: read the body of the call, the model")
    failed = Outcome(OutcomeKind.FAILED, "ClientError: x")
    assert list(texts(JOB, failed, replace(ANSWERED, status=500), 5, 1)) == ["ClientError: x"]
    assert list(texts(JOB, replace(failed, kind=OutcomeKind.EXPIRED), None, None, 1)) == ["ClientError: x"]
    warned = list(texts(JOB, failed, replace(ANSWERED, status=500, unsized=True), 5, 1))
    assert warned == [NO_LENGTH, "ClientError: x"]


@given(st.text(max_size=64), st.text())
def test_nothing_ends_a_line_or_steers_a_terminal(inference_id: str, text: str) -> None:
    told = line(AT, inference_id, text).decode()
    assert told.splitlines() == [told[:-1]]
    assert told[:-1].isprintable()
    found = FORM.fullmatch(told)
    assert found is not None
    if inference_id.isprintable() and text.isprintable():
        assert f"[{inference_id}] {text}\n" in told


def test_a_line_is_bounded() -> None:
    assert len(line(AT, "mine", "x" * 10**6)) < LONGEST_TEXT + 100


def test_lines_go_beside_the_log_of_the_replica(logs: Path) -> None:
    to = data_logs(logs, LIMIT)
    written(
        to,
        (INSTANCE, b"one\n"),
        (INSTANCE, b"two\n"),
        (Instance("u", "v", "i-2"), b"its answer was found by another control\n"),
        (Instance("u", "v", ""), b"nobody had it\n"),
        (Instance("u", "w", "i-3"), b"its log is no more\n"),
    )
    written(to, (INSTANCE, b"three\n"))
    found = {str(path.relative_to(logs)): path.read_text() for path in logs.rglob("*data-log.log")}
    assert found == {
        "u/v/i-1.data-log.log": "one\ntwo\nthree\n",
        "u/w/i-2.data-log.log": "its answer was found by another control\n",
        "u/v/data-log.log": "nobody had it\n",
        "u/w/data-log.log": "its log is no more\n",
    }


def test_it_writes_while_it_runs(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_logs, "PAUSE_S", 0.001)

    async def run() -> None:
        to = data_logs(logs, LIMIT)
        for text in (b"one\n", b"two\n"):
            to.add(INSTANCE, text)
            async with asyncio.timeout(10):
                while not (path := logs / "u/v/i-1.data-log.log").exists() or text not in path.read_bytes():
                    await asyncio.sleep(0.001)

    asyncio.run(run())


def test_what_waits_for_the_disk_is_bounded(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_logs, "MOST_PENDING_BYTES", 100)
    to = data_logs(logs, LIMIT)
    written(to, *[(INSTANCE, b"x" * 9 + b"\n")] * 50)
    written(to, (INSTANCE, b"again\n"))
    assert (logs / "u/v/i-1.data-log.log").read_bytes() == (b"x" * 9 + b"\n") * 10 + b"again\n"


def test_the_log_is_bounded(logs: Path) -> None:
    to = data_logs(logs, 200_000)
    for number in range(20):
        written(to, (INSTANCE, b"%d " % number + b"x" * 50_000 + b"\n"))
    path = logs / "u/v/i-1.data-log.log"
    assert path.stat().st_blocks * 512 <= 200_000
    assert path.read_bytes().rpartition(b"\n19 ")[2] == b"x" * 50_000 + b"\n"


def test_a_full_disk_costs_lines_and_is_said_once(logs: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bound on the size of files: like a full disk, it takes the first part of a write and refuses the rest."""
    to = data_logs(logs, LIMIT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        written(to, (INSTANCE, b"cut in two\n"), (Instance("u", "w", "i-2"), b"it fits\n"))
        written(to, (INSTANCE, b"lost\n"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    written(to, (INSTANCE, b"there is room\n"))
    assert (logs / "u/v/i-1.data-log.log").read_bytes() == b"cut in two\nthere is room\n"
    assert (logs / "u/w/i-2.data-log.log").read_bytes() == b"it fits\n"
    assert [record.getMessage() for record in caplog.records] == ["lines of data-logs are lost: File too large"]


@pytest.mark.parametrize("is_read", [False, True])
def test_a_pipe_in_its_place_blocks_nothing(logs: Path, is_read: bool) -> None:
    path = logs / "u/v/i-1.data-log.log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if is_read else None
    try:
        to = data_logs(logs, LIMIT)
        for _ in range(3):
            written(to, (INSTANCE, b"x" * 99_999 + b"\n"), (Instance("u", "w", "i-2"), b"written\n"))
    finally:
        if reader is not None:
            os.close(reader)
    assert (logs / "u/w/i-2.data-log.log").read_bytes() == b"written\n" * 3


def test_a_link_in_its_place_is_not_followed(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine\n")
    (logs / "u/v/i-1.data-log.log").symlink_to(tmp_path / "elsewhere")
    written(data_logs(logs, LIMIT), (INSTANCE, b"one\n"))
    assert (tmp_path / "elsewhere").read_bytes() == b"mine\n"
