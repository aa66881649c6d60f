"""A pid is believed only with its start time and its boot."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.processes import identity
from mooring.processes.identity import ProcessIdentity


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_of_this_process() -> None:
    me = identity.of(os.getpid())
    assert me is not None
    assert me.pid == os.getpid()
    assert me.alive()
    assert me == identity.of(os.getpid())


def test_killed_process_is_a_zombie_and_then_gone(start) -> None:
    process = start()
    known = identity.of(process.pid)
    assert known is not None
    assert known.alive()
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: not known.alive())
    assert known.present(), "nobody has reaped it"
    assert identity.start_time(process.pid) == known.start_time
    process.wait(10)
    assert not known.present()
    assert identity.start_time(process.pid) is None
    assert identity.of(process.pid) is None


def test_reused_pid_is_another_process(start) -> None:
    known = identity.of(start().pid)
    assert known is not None
    earlier = dataclasses.replace(known, start_time="1")
    assert not earlier.alive()
    assert not earlier.present()


def test_same_pid_in_another_boot_is_another_process() -> None:
    me = identity.of(os.getpid())
    assert me is not None
    assert not dataclasses.replace(me, boot_id="another").alive()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_command_with_spaces_and_parentheses_is_read_right(start) -> None:
    plain = identity.start_time(os.getpid())
    assert plain is not None
    assert plain.isdigit()
    process = start(
        "import time; open('/proc/self/comm', 'w').write(') Z 1 ('); print('up', flush=True); time.sleep(60)"
    )
    known = identity.of(process.pid)
    assert known is not None
    assert known.start_time.isdigit()
    assert int(known.start_time) >= int(plain)
    assert known.alive()


def test_process_table_command_tells_the_same() -> None:
    found = identity._stat_of_ps(os.getpid())
    assert found is None or (found.state in "RS" and found.start_time)
    assert identity._stat_of_ps(2**22 + 5) is None


@given(st.integers(min_value=1, max_value=2**31), st.text(), st.text())
def test_document_round_trip(pid: int, started: str, boot: str) -> None:
    known = ProcessIdentity(pid, started, boot)
    assert ProcessIdentity.from_document(json.loads(json.dumps({**known.to_document(), "more": 1}))) == known


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "{}",
        '{"pid": "1", "start_time": "2", "boot_id": "b"}',
        '{"pid": true, "start_time": "2", "boot_id": "b"}',
        '{"pid": -1, "start_time": "2", "boot_id": "b"}',
        '{"pid": 1, "start_time": 2, "boot_id": "b"}',
    ],
)
def test_damaged_file_is_no_identity(tmp_path: Path, text: str) -> None:
    file = tmp_path / "identity.json"
    assert ProcessIdentity.read(file) is None
    file.write_text(text)
    assert ProcessIdentity.read(file) is None


def test_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "identity.json"
    file.write_text('{"pid": 7, "start_time": "2", "boot_id": "b", "replica": "r"}')
    assert ProcessIdentity.read(file) == ProcessIdentity(7, "2", "b")
