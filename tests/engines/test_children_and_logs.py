"""Killable children, and logs that stay bounded."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from mooring.engines.children import run
from mooring.engines.logs import TAIL_BYTES, append_note, last_lines, read_after
from mooring.processes.identity import of
from mooring.processes.log_files import bound_log, open_log


def test_a_child_is_heard(tmp_path: Path) -> None:
    script = "import sys; sys.stderr.write('said'); print(sys.stdin.read() + '!')"
    command = (sys.executable, "-c", script)
    finished = asyncio.run(run(command, stdin=b"hello", environment={}, timeout_s=20, stderr=tmp_path / "log"))
    assert (finished.returncode, finished.output, finished.timed_out) == (0, b"hello!\n", False)
    assert (tmp_path / "log").read_text() == "said"


def test_a_slow_child_dies_with_its_own_children(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(60)"
    )
    command = (sys.executable, "-c", script)

    async def conversation() -> None:
        task = asyncio.create_task(run(command, stdin=b"", environment={}, timeout_s=60))
        while not (tmp_path / "pids").exists() or len((tmp_path / "pids").read_text().split()) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(conversation())
    # The grandchild is not ours to reap: it was killed, and dies when the kernel gets to it.
    deadline = time.monotonic() + 10
    for pid in (tmp_path / "pids").read_text().split():
        while (found := of(int(pid))) is not None and found.alive():
            assert time.monotonic() < deadline, f"{pid} lives on"
            time.sleep(0.01)


def test_a_child_over_its_time_is_killed() -> None:
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    assert asyncio.run(run(command, stdin=b"", environment={}, timeout_s=0.3)).timed_out


def test_a_log_gives_back_its_oldest_part(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    descriptor = open_log(path)
    line = b"x" * 99 + b"\n"
    os.write(descriptor, line * 10_000)
    size = path.stat().st_size
    bound_log(path, 200_000)
    if sys.platform == "linux":
        assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 <= 200_000
    os.write(descriptor, b"the last\n")
    os.close(descriptor)
    text, offset = read_after(path, 0, 500_000)
    assert text.startswith("x")
    assert text.endswith("the last\n")
    assert offset == path.stat().st_size


def test_a_note_of_our_own_is_a_line(tmp_path: Path) -> None:
    append_note(tmp_path / "v" / "x.log", "the process was killed by signal 9")
    assert (tmp_path / "v" / "x.log").read_text() == "[mooring] the process was killed by signal 9\n"


def test_a_note_of_our_own_begins_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("Segmentation fault")
    append_note(path, "one")
    append_note(path, "two")
    assert path.read_text() == "Segmentation fault\n[mooring] one\n[mooring] two\n"


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    os.close(open_log(path))
    path.write_bytes(b"one\ntwo\n")
    bound_log(path, 100_000)
    assert path.read_bytes() == b"one\ntwo\n"


def test_following_a_log_gives_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"one\ntw")
    text, offset = read_after(path, 0, 1000)
    assert text == "one\n"
    path.write_bytes(b"one\ntwo\nthree\n")
    assert read_after(path, offset, 1000)[0] == "two\nthree\n"


def test_a_long_log_is_read_in_parts_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    lines = [f"line {number}\n" for number in range(5000)]
    path.write_text("".join(lines))
    read, offset = "", 0
    while part := read_after(path, offset, 1000):
        if not part[0]:
            break
        read, offset = read + part[0], part[1]
    assert read == "".join(lines)


def test_a_line_longer_than_the_limit_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"y" * 2500)
    assert read_after(path, 0, 1000) == ("y" * 1000, 1000)
    assert read_after(path, 2000, 1000) == ("", 2000)


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {number}\n\n" for number in range(2000)))
    lines = last_lines(path)
    assert lines[-2:] == ["line 1998", "line 1999"]
    assert len("\n\n".join(lines)) <= TAIL_BYTES
    assert last_lines(tmp_path / "none.log") == []
