"""The neighbours process as control has it: started when needed, again when it died, gone at the end."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from mooring.clock import SystemClock
from mooring.control import neighbours as module
from mooring.control.neighbours import Neighbours
from mooring.errors import NotInstalled, Unavailable
from mooring.http1.messages import Request
from mooring.paths import Paths
from mooring.processes.identity import of
from mooring.settings import load
from mooring.wire.errors import WireResponse

pytestmark = pytest.mark.timeout(120)
SCOPE = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"


def call(action: str, invocation: str | None = None, **members: str) -> Request:
    request = Request()
    request.method, request.target = b"POST", b"/"
    request.body = urlencode({"Action": action, "Version": "2010-05-08", **members}).encode()
    request.headers = [
        (b"authorization", SCOPE.encode()),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"%d" % len(request.body)),
    ]
    if invocation is not None:
        request.headers.append((b"amz-sdk-invocation-id", invocation.encode()))
    return request


def play(tmp_path: Path, scene: Callable[[Neighbours, Paths], Awaitable[None]]) -> None:
    async def run() -> None:
        settings = load({}, data_dir=str(tmp_path / "data"))
        paths = Paths(tmp_path / "data")
        paths.make_private_directories()
        neighbours = Neighbours(settings, paths, SystemClock())
        try:
            await scene(neighbours, paths)
        finally:
            await neighbours.close()
        assert neighbours.listing() == []
        assert not paths.neighbours_socket.exists()

    asyncio.run(run())


async def ask(neighbours: Neighbours, request: Request) -> WireResponse:
    return await neighbours.ask(request, "the-id")


def test_one_process_for_many_calls_and_none_before(tmp_path: Path) -> None:
    async def scene(neighbours: Neighbours, paths: Paths) -> None:
        assert neighbours.listing() == []
        assert not paths.neighbours_journal.exists()
        answers = await asyncio.gather(*(ask(neighbours, call("ListRoles")) for _ in range(5)))
        assert {answer.status for answer in answers} == {200}
        [(name, pid)] = neighbours.listing()
        assert name == "neighbours"
        assert paths.neighbours_socket.stat().st_mode & 0o777 == 0o600
        assert paths.neighbours_journal.stat().st_mode & 0o777 == 0o600
        identity = of(pid)
        assert identity is not None
        await neighbours.close()
        assert not identity.alive()

    play(tmp_path, scene)


def test_what_dies_is_started_again_and_knows_what_it_answered(tmp_path: Path) -> None:
    async def scene(neighbours: Neighbours, paths: Paths) -> None:
        role = {"RoleName": "r", "AssumeRolePolicyDocument": "{}"}
        made = await ask(neighbours, call("CreateRole", "an-id", **role))
        assert made.status == 200
        os.kill(neighbours.listing()[0][1], signal.SIGKILL)
        again, other, unknown = await asyncio.gather(
            ask(neighbours, call("CreateRole", "an-id", **role)),
            ask(neighbours, call("GetRole", "other-id", RoleName="r")),
            ask(neighbours, call("CreateRole", "third-id", **role)),
        )
        assert (again.status, again.body) == (200, made.body), "a client that repeats its call gets its answer"
        assert b"<RoleId>" in other.body
        assert other.body.split(b"<RoleId>")[1][:21] == made.body.split(b"<RoleId>")[1][:21]
        assert (unknown.status, b"EntityAlreadyExists" in unknown.body) == (409, True)
        assert (
            await ask(neighbours, call("CreateRole", "an-id", RoleName="x", AssumeRolePolicyDocument="{}"))
        ).body != (made.body), "another call under the same id is a call of its own"

    play(tmp_path, scene)


def test_a_process_that_hangs_fails_its_calls_and_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(neighbours: Neighbours, paths: Paths) -> None:
        await ask(neighbours, call("ListRoles"))
        pid = neighbours.listing()[0][1]
        os.kill(pid, signal.SIGSTOP)
        with monkeypatch.context() as hasty:
            hasty.setattr(module, "CALL_LIMIT_S", 0.3)
            hasty.setattr(module, "DEATH_WAIT_S", 0.1)
            hasty.setattr(module, "END_WAIT_S", 0.1)
            with pytest.raises(Unavailable, match=r"did not answer: no answer within 0.3 s"):
                await ask(neighbours, call("ListRoles", "an-id"))
            identity = of(pid)
            await neighbours.close()
            assert identity is not None
            assert not identity.alive()

    play(tmp_path, scene)


def test_a_start_that_fails_says_why_and_is_not_repeated_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_AFTER_FAILURE_S", 60.0)

    async def scene(neighbours: Neighbours, paths: Paths) -> None:
        paths.neighbours_journal.write_bytes(b"damage\n%08x {}\n" % zlib.crc32(b"{}"))
        starts = []
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"cannot be started: .*journal is damaged at byte 0"):
                await ask(neighbours, call("ListRoles"))
            starts.append(neighbours._start)
        assert starts[0] is starts[1], "there was no second start"
        assert neighbours.listing() == []

    play(tmp_path, scene)


def test_without_moto_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.util.find_spec

    def find_spec(name: str, *more: Any) -> Any:
        return None if name == "moto" else original(name, *more)

    async def scene(neighbours: Neighbours, paths: Paths) -> None:
        with monkeypatch.context() as bare:
            bare.setattr(importlib.util, "find_spec", find_spec)
            with pytest.raises(NotInstalled):
                await ask(neighbours, call("ListRoles"))
        assert neighbours.listing() == []

    play(tmp_path, scene)
