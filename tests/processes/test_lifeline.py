"""The end of the supervisor is seen by every process that holds the lifeline."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest

from mooring.processes import lifeline

HOLDER = "import time; print('up', flush=True); time.sleep(60)"
CHILD = """
import asyncio, sys
from mooring.processes.lifeline import exit_on_death

async def main():
    exit_on_death(int(sys.argv[1]))
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_reader_exits_when_the_holder_is_killed(start) -> None:
    read, write = os.pipe()
    holder = start(HOLDER, pass_fds=(write,))
    os.close(write)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(read)], stdout=subprocess.PIPE, pass_fds=(read,))
    os.close(read)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert child.poll() is None
        holder.send_signal(signal.SIGKILL)
        assert child.wait(20) == lifeline.ORPHANED
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()


@pytest.mark.parametrize("noise", [b"", b"x"])
def test_watch_calls_once_and_only_at_the_end(noise: bytes) -> None:
    async def scenario() -> list[str]:
        read, write = os.pipe()
        calls: list[str] = []
        lifeline.watch(read, lambda: calls.append("dead"))
        if noise:
            os.write(write, noise)
        await asyncio.sleep(0.02)
        assert calls == []
        os.close(write)
        for _ in range(3):
            await asyncio.sleep(0.01)
        os.close(read)
        return calls

    assert asyncio.run(scenario()) == ["dead"]


def test_end_of_file_is_readable_at_once() -> None:
    read, write = os.pipe()
    os.close(write)
    assert select.select([read], [], [], 1)[0] == [read]
    os.close(read)
