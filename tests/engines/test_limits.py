"""Limits of replicas by real processes; what a real server makes of them is tested in tests/acceptance."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.engines import limits as limits_module
from mooring.engines.limits import FILE_NAME, Found, Limits, Way, told
from mooring.errors import StartFailure
from mooring.processes import control_groups
from mooring.processes.identity import ProcessIdentity, of

ID = f"i-{os.getpid():017x}"  # control groups are the machine's, and so are those of other test runs
TAKE = """
import os, sys, time
sys.stdin.readline()
kept = [os.urandom(1024) * 1024 for _ in range(int(sys.argv[1]))]
print(len(kept), flush=True)
time.sleep(60)
"""


def _groups_can_be_made() -> bool:
    try:
        control_groups.prove(control_groups.place(), f"mooring-trial-tests-{os.getpid()}")
    except (OSError, ValueError):
        return False
    return True


WAYS = [
    pytest.param("cgroup", marks=pytest.mark.skipif(not _groups_can_be_made(), reason="no control groups here")),
    "watchdog",
]


class Child:
    """A process that leads a group and takes some megabytes when it is told to."""

    def __init__(self, megabytes: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        found = of(self.process.pid)
        assert found is not None
        self.identity: ProcessIdentity = found

    def go(self) -> bytes:
        """What it says when it has taken them; nothing when it died of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@pytest.fixture
def make_child() -> Iterator[Callable[[int], Child]]:
    made: list[Child] = []

    def make(megabytes: int) -> Child:
        made.append(Child(megabytes))
        return made[-1]

    yield make
    for child in made:
        child.process.kill()
        child.process.communicate()


@pytest.fixture(params=WAYS)
def limits(request: pytest.FixtureRequest) -> Iterator[Limits]:
    made = Limits(request.param, f"tests-{os.getpid()}")
    assert made.found().way == request.param
    yield made
    made.close()


def _run_dir(tmp_path: Path) -> Path:
    run_dir = tmp_path / ID
    run_dir.mkdir()
    return run_dir


def _groups(run_dir: Path) -> list[Path]:
    found = json.loads((run_dir / FILE_NAME).read_text())["control_group"]
    return [Path(each) for each in found or ()]


def test_what_uses_too_much_is_killed(limits: Limits, tmp_path: Path, make_child: Callable[[int], Child]) -> None:
    run_dir, child = _run_dir(tmp_path), make_child(400)
    limits.impose(ID, run_dir, child.identity, 128)
    assert child.go() in (b"", b"400\n")  # the watchdog may look a moment later
    assert child.process.wait(timeout=20) == -signal.SIGKILL
    assert limits.failure(ID) == "the model used more than its MemorySizeInMB of 128 MB"
    groups = _groups(run_dir)
    limits.release(ID, run_dir)
    assert not [group for group in groups if group.exists()]
    assert limits.failure(ID) is None


def test_what_keeps_to_it_lives(limits: Limits, tmp_path: Path, make_child: Callable[[int], Child]) -> None:
    run_dir, child = _run_dir(tmp_path), make_child(80)
    limits.impose(ID, run_dir, child.identity, 128)
    assert child.go() == b"80\n"
    time.sleep(3 * limits_module.LOOK_S)
    assert child.process.poll() is None
    assert limits.failure(ID) is None
    used = limits.used(ID)
    assert used is not None
    assert 80 / 128 < used < 1
    child.process.kill()
    child.process.wait()
    limits.release(ID, run_dir)
    assert limits.used(ID) is None


def test_limits_outlive_who_imposed_them(limits: Limits, tmp_path: Path, make_child: Callable[[int], Child]) -> None:
    run_dir, child = _run_dir(tmp_path), make_child(400)
    limits.impose(ID, run_dir, child.identity, 128)
    limits.close()
    successor = Limits("watchdog", f"tests-{os.getpid()}-b")  # what has a group keeps it
    try:
        successor.take_up(ID, run_dir, child.identity)
        child.go()
        assert child.process.wait(timeout=20) == -signal.SIGKILL
        assert "MemorySizeInMB of 128 MB" in (successor.failure(ID) or "")
    finally:
        successor.release(ID, run_dir)
        successor.close()


def test_what_left_its_process_group_is_killed_with_its_control_group(
    tmp_path: Path, make_child: Callable[[int], Child]
) -> None:
    if not _groups_can_be_made():
        pytest.skip("no control groups here")
    limits = Limits("cgroup", f"tests-{os.getpid()}")
    run_dir, child, hidden = _run_dir(tmp_path), make_child(1), make_child(1)
    limits.impose(ID, run_dir, child.identity, 128)
    for group in _groups(run_dir):
        (group / "cgroup.procs").write_text(str(hidden.process.pid))
    limits.release(ID, run_dir)
    limits.close()
    assert hidden.process.wait(timeout=20) == -signal.SIGKILL


def test_what_is_in_a_group_inside_is_killed_with_it(tmp_path: Path, make_child: Callable[[int], Child]) -> None:
    """As root a model can make groups of its own in its group, and its children can live there."""
    if not _groups_can_be_made():
        pytest.skip("no control groups here")
    limits = Limits("cgroup", f"tests-{os.getpid()}")
    run_dir, child, hidden = _run_dir(tmp_path), make_child(1), make_child(1)
    limits.impose(ID, run_dir, child.identity, 128)
    groups = _groups(run_dir)
    for group in groups:
        (group / "inner" / "most").mkdir(parents=True)
        (group / "inner" / "most" / "cgroup.procs").write_text(str(hidden.process.pid))
    limits.release(ID, run_dir)
    limits.close()
    assert hidden.process.wait(timeout=20) == -signal.SIGKILL
    assert not [group for group in groups if group.exists()]


def test_a_group_that_could_not_be_removed_in_time_is_removed_later(
    tmp_path: Path, make_child: Callable[[int], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _groups_can_be_made():
        pytest.skip("no control groups here")
    limits = Limits("cgroup", f"tests-{os.getpid()}")
    run_dir, child = _run_dir(tmp_path), make_child(1)
    limits.impose(ID, run_dir, child.identity, 128)
    groups = _groups(run_dir)
    shares = [path for each in groups for name in ("cpu.max", "cpu.cfs_quota_us") if (path := each / name).exists()]
    with monkeypatch.context() as kernel:
        kernel.setattr(control_groups.os, "kill", lambda pid, number: None)  # which is slow to end what was killed
        limits.release(ID, run_dir)
        assert child.process.poll() is None
        # To die takes processors: many with a small share of them would take long.
        assert {share.read_text().split()[0] for share in shares} <= {"max", "-1"}
    assert child.process.wait(timeout=20) == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while any(group.exists() for group in groups):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    limits.close()


def test_a_group_that_cannot_be_made_is_watched_instead(
    tmp_path: Path, make_child: Callable[[int], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = control_groups.Place(tmp_path / "missing", None, unified=True)
    monkeypatch.setattr(limits_module, "_find", lambda wanted, name: Found(Way.CGROUP, None, nowhere))
    limits = Limits("auto", "x")
    run_dir, child = _run_dir(tmp_path), make_child(400)
    limits.impose(ID, run_dir, child.identity, 128)
    child.go()
    assert child.process.wait(timeout=20) == -signal.SIGKILL
    assert limits.failure(ID) is not None
    limits.release(ID, run_dir)
    limits.close()


def test_who_wants_nothing_else_gets_nothing_else(
    tmp_path: Path, make_child: Callable[[int], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_groups, "place", functools.partial(control_groups.place, tmp_path))
    limits = Limits("cgroup", "x")
    with pytest.raises(StartFailure, match="MOORING_SERVERLESS_LIMITS is cgroup, and no control group can be made: "):
        limits.impose(ID, _run_dir(tmp_path), make_child(1).identity, 128)
    limits.close()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"memory_mb": 1}',
        '{"memory_mb": 1, "control_group": []}',
        '{"memory_mb": 1, "control_group": ["/somebody/elses"]}',
        '{"memory_mb": 1, "control_group": ["/a/../mooring-i-0123456789abcdef0"]}',
        '{"memory_mb": null, "control_group": null}',
    ],
)
def test_a_hostile_note_is_none(tmp_path: Path, content: str, make_child: Callable[[int], Child]) -> None:
    run_dir, child = _run_dir(tmp_path), make_child(1)
    (run_dir / FILE_NAME).write_text(content)
    limits = Limits("watchdog", "x")
    limits.take_up(ID, run_dir, child.identity)
    assert limits.used(ID) is None
    limits.release(ID, run_dir)
    limits.close()


def test_off_limits_nothing(tmp_path: Path, make_child: Callable[[int], Child]) -> None:
    run_dir, child = _run_dir(tmp_path), make_child(100)
    limits = Limits("off", "x")
    limits.impose(ID, run_dir, child.identity, 64)
    assert child.go() == b"100\n"
    assert not (run_dir / FILE_NAME).exists()
    assert "not limited" in told(limits.found(), 64)
    limits.close()
