"""Waiting for processes and ending them: the right ones, whole groups, within a deadline."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.processes import identity, pidfd
from mooring.processes.groups import kill_rest, signal_group
from mooring.processes.identity import ProcessIdentity
from mooring.processes.pidfd import open_pidfd, wait_for_exit
from mooring.processes.signals import terminate_group

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(60)
"""
WITH_CHILD = """
import os, signal, time
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""


def known(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    found = identity.of(process.pid)
    assert found is not None
    return found


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(params=["pidfd", "polling"])
def with_and_without_pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "polling":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        assert open_pidfd(os.getpid()) is None
    return str(request.param)


@pytest.mark.usefixtures("with_and_without_pidfd")
class TestWaitForExit:
    def test_times_out_while_it_runs(self, start) -> None:
        began = time.monotonic()
        assert not asyncio.run(wait_for_exit(known(start()), 0.05))
        assert time.monotonic() - began < 5

    def test_killed_though_not_reaped(self, start) -> None:
        process = start()
        who = known(process)

        async def scenario() -> bool:
            waiting = asyncio.create_task(wait_for_exit(who, 10), name="wait")
            await asyncio.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            return await waiting

        assert asyncio.run(scenario())

    def test_gone_before(self, start) -> None:
        process = start()
        who = known(process)
        process.kill()
        process.wait(10)
        assert asyncio.run(wait_for_exit(who, 10))

    def test_pid_of_another_process(self, start) -> None:
        stranger = dataclasses.replace(known(start()), start_time="1")
        assert asyncio.run(wait_for_exit(stranger, 10))


def test_kernel_without_pidfd_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    assert open_pidfd(os.getpid()) is None


def test_no_descriptor_is_left(start) -> None:
    process = start()
    who = known(process)
    before = len(list(Path("/dev/fd").iterdir()))
    asyncio.run(wait_for_exit(who, 0.01))
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_terminates_politely(start) -> None:
    process = start()
    assert asyncio.run(terminate_group(known(process), 10))
    assert process.wait(10) == -signal.SIGTERM


def test_kills_what_ignores_sigterm(start) -> None:
    process = start(STUBBORN)
    assert asyncio.run(terminate_group(known(process), 0.05))
    assert process.wait(10) == -signal.SIGKILL


def test_kills_the_rest_of_the_group(start) -> None:
    read, write = os.pipe()
    process = start(WITH_CHILD, pass_fds=(write,))
    os.close(write)
    assert asyncio.run(terminate_group(known(process), 10))
    assert process.wait(10) == -signal.SIGTERM
    os.set_blocking(read, True)
    assert os.read(read, 1) == b"", "the pipe ends only when the last process of the group has"
    os.close(read)


def test_reused_pid_is_not_signalled(start) -> None:
    process = start()
    stranger = dataclasses.replace(known(process), start_time="1")
    assert asyncio.run(terminate_group(stranger, 1))
    assert not signal_group(stranger, signal.SIGKILL)
    kill_rest(stranger)
    time.sleep(0.05)
    assert process.poll() is None


def test_process_without_a_group_of_its_own_is_signalled_alone(start) -> None:
    process = start(start_new_session=False)
    assert os.getpgid(process.pid) == os.getpgid(0)
    assert signal_group(known(process), signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


def test_group_of_a_zombie_is_killed(start) -> None:
    read, write = os.pipe()
    process = start(WITH_CHILD, pass_fds=(write,))
    os.close(write)
    who = known(process)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not who.alive())
    assert signal_group(who, signal.SIGKILL)
    assert os.read(read, 1) == b""
    os.close(read)


def test_group_that_outlived_its_reaped_leader_is_killed(start) -> None:
    read, write = os.pipe()
    process = start(WITH_CHILD, pass_fds=(write,))
    os.close(write)
    who = known(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert not signal_group(who, signal.SIGKILL)
    kill_rest(who)
    assert os.read(read, 1) == b""
    os.close(read)


def test_pidfd_module_is_the_only_fallback_switch() -> None:
    with pytest.raises(ProcessLookupError):
        pidfd.open_pidfd(2**22 + 5)
