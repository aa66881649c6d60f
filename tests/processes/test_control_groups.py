"""Where control groups can be made, by what the kernel says of several kinds of machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.processes import control_groups


def machine(proc: Path, membership: str, mounts: str) -> Path:
    proc.mkdir()
    (proc / "cgroup").write_text(membership)
    (proc / "mountinfo").write_text(mounts)
    return proc


def unified(directory: Path, controllers: str, given: str = "") -> Path:
    """A directory as v2 has them."""
    directory.mkdir(parents=True)
    (directory / "cgroup.controllers").write_text(controllers)
    (directory / "cgroup.subtree_control").write_text(given)
    (directory / "cgroup.procs").write_text("")
    return directory


def test_v1_has_a_hierarchy_each(tmp_path: Path) -> None:
    proc = machine(
        tmp_path / "proc",
        "4:memory:/mine\n1:cpu,cpuacct:/\n0::/\n",
        f"30 25 0:26 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"31 25 0:27 / {tmp_path}/cpu rw shared:3 - cgroup cgroup rw,cpu,cpuacct\n"
        f"32 25 0:28 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n",
    )
    found = control_groups.place(proc)
    assert found == control_groups.Place(tmp_path / "memory" / "mine", tmp_path / "cpu", unified=False)
    assert found.group("x").directories == (f"{tmp_path}/memory/mine/x", f"{tmp_path}/cpu/x")


def test_v1_in_a_container_is_mounted_from_its_own_group(tmp_path: Path) -> None:
    proc = machine(
        tmp_path / "proc",
        "4:memory:/docker/abc\n1:cpu:/docker/other\n",
        f"30 25 0:26 /docker/abc {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"31 25 0:27 /docker/abc {tmp_path}/cpu rw - cgroup cgroup rw,cpu\n",
    )
    assert control_groups.place(proc) == control_groups.Place(tmp_path / "memory", None, unified=False)


def test_v2_makes_them_below_its_own_group(tmp_path: Path) -> None:
    own = unified(tmp_path / "fs" / "own", "cpu memory pids", "pids")
    proc = machine(tmp_path / "proc", "0::/own\n", f"30 25 0:26 / {tmp_path}/fs rw - cgroup2 cgroup2 rw\n")
    assert control_groups.place(proc) == control_groups.Place(own, own, unified=True)
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory\n"


def test_v2_without_memory_is_none(tmp_path: Path) -> None:
    unified(tmp_path / "fs" / "own", "pids")
    proc = machine(tmp_path / "proc", "0::/own\n", f"30 25 0:26 / {tmp_path}/fs rw - cgroup2 cgroup2 rw\n")
    with pytest.raises(OSError, match="no controller for memory"):
        control_groups.place(proc)


def test_no_hierarchy_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no control groups are mounted"):
        control_groups.place(machine(tmp_path / "proc", "0::/\n", "1 1 0:1 / / rw - ext4 /dev/vda rw\n"))
    with pytest.raises(OSError, match="No such file"):
        control_groups.place(tmp_path / "nothing")


def test_the_limits_of_v2(tmp_path: Path) -> None:
    group = control_groups.Place(tmp_path, tmp_path, unified=True).group("x")
    directory = tmp_path / "x"
    directory.mkdir()
    names = ("memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "cgroup.procs")
    for name in names:
        (directory / name).write_text("")
    group.make(2**30, 0.5)
    group.add(77)
    assert [(directory / name).read_text().strip() for name in names] == [str(2**30), "0", "1", "50000 100000", "77"]
    assert group.limits_processors
    (directory / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n")
    (directory / "memory.current").write_text("1000\n")
    (directory / "memory.stat").write_text("anon 700\ninactive_file 300\n")
    assert (group.outgrown(), group.used_bytes()) == (True, 700)
    (directory / "memory.events").write_text("low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\n")
    assert not group.outgrown(), "the machine had no more"
    assert control_groups.Place(tmp_path, tmp_path, unified=True).group("gone").used_bytes() is None
