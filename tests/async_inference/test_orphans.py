"""When a job that a killed control had called may be called again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mooring.async_inference import orphans
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Claim, JobState, QueuedJob
from mooring.processes.identity import of


@given(
    alive=st.booleans(),
    calls=st.none() | st.frozensets(st.sampled_from(["a", "b", "mine"])),
    waited=st.floats(0, 7200),
    timeout=st.integers(1, 3600),
)
def test_only_what_has_certainly_ended_is_repeated(
    alive: bool, calls: frozenset[str] | None, waited: float, timeout: int
) -> None:
    may = orphans.may_repeat(alive=alive, calls=calls, inference_id="mine", waited_s=waited, timeout_s=timeout)
    if not alive:
        assert may, "a process that is gone computes nothing"
    elif calls is not None:
        assert may == ("mine" not in calls), "a replica that can tell is believed"
    else:
        assert may == (waited >= timeout), "one that cannot tell has the time that the call had"


def queued(claim: Claim | None, timeout_s: int = 3600) -> QueuedJob:
    job = Job("j", "u", "mine", "s3://b/k", None, "s3://b/o", None, None, None, None, 60, timeout_s, 0.0, 0.0, "boot")
    return QueuedJob(1, job, JobState.CALLING, 1, claim)


async def _serve(socket: Path, answers: list[bytes]) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = answers.pop(0) if len(answers) > 1 else answers[0]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(answer, socket)


def test_a_replica_that_tells_is_asked_until_the_call_has_ended(tmp_path: Path) -> None:
    me = of(os.getpid())
    assert me is not None

    async def ask() -> list[bytes]:
        answers = [b'{"calls": ["mine", "other"]}', b'{"calls": ["other", "mine"]}', b'{"calls": ["other"]}']
        async with await _serve(tmp_path / "s", answers):
            claim = Claim("j", "i-1", me.to_document())
            await asyncio.wait_for(orphans.wait_for_end(queued(claim), tmp_path / "s"), 10)
        return answers

    assert asyncio.run(ask()) == [b'{"calls": ["other"]}']


def test_a_process_that_dies_is_enough(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        process = of(child.pid)
        assert process is not None
        claim = Claim("j", "i-1", process.to_document())

        async def wait() -> bool:
            waiting = asyncio.create_task(orphans.wait_for_end(queued(claim), tmp_path / "nobody"))
            await asyncio.sleep(0.3)
            waited = not waiting.done()
            child.kill()
            await asyncio.wait_for(waiting, 10)
            return waited

        assert asyncio.run(wait())
    finally:
        child.kill()
        child.wait()


def test_a_server_that_cannot_tell_has_the_time_of_its_call(tmp_path: Path) -> None:
    me = of(os.getpid())
    assert me is not None

    async def wait() -> float:
        began = time.monotonic()
        async with await _serve(tmp_path / "s", [b"not found"]):
            await orphans.wait_for_end(queued(Claim("j", "i-1", me.to_document()), 1), tmp_path / "s")
        return time.monotonic() - began

    assert asyncio.run(wait()) >= 1.0


def test_a_claim_of_nobody_is_no_call(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(orphans.wait_for_end(queued(None), tmp_path / "s"), 5))
    asyncio.run(asyncio.wait_for(orphans.wait_for_end(queued(Claim("j", "i", {"pid": "x"})), tmp_path / "s"), 5))
