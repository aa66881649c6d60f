"""Control's side of the zygotes: warm parents that have imported a framework and never compute.

A zygote (`mooring_model_server.zygote`) forks a replica in milliseconds where a fresh interpreter needs a second
for its imports. Zygotes are started when first needed and stopped when nobody needed them for a while, unless they are
kept for replicas that must be there at once. Losing one loses no replica, as those are re-parented and known by pidfd.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mooring.clock import Clock
from mooring.errors import StartFailure, ZygoteLost

log = logging.getLogger("mooring.engines")

READY_TIMEOUT_S = 120.0
SPAWN_TIMEOUT_S = 10.0
LARGEST_MESSAGE_BYTES = 256 * 1024
SOON_S = 10.0
"""A kept zygote that dies is started again at once, but not twice in this time: then when `keep` is called again."""
PLAIN = "none"
"""The zygote that imports no framework: for replicas that must be exec'ed."""
QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads of a finished OpenMP region sleep instead of spinning, as replicas share the machine: a one-row prediction of
XGBoost took 3.9 ms of CPU with spinning threads, 0.6 ms without (two cores). Read when the library is loaded."""
_KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class Zygote:
    """One zygote process and the channel to it."""

    def __init__(self, framework: str, environment: Mapping[str, str], on_end: Callable[[str], None]) -> None:
        self.framework = framework
        self.last_used = 0.0
        self.asked = 0
        """How many wait for it to fork."""
        self._on_end = on_end
        self._channel, remote = socket.socketpair(socket.AF_UNIX, _KIND)
        self._channel.setblocking(False)
        for side in (self._channel, remote):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_MESSAGE_BYTES * 2)
        command = [sys.executable, "-P", "-m", "mooring_model_server.zygote", "--control-fd", str(remote.fileno())]
        self._process = subprocess.Popen(
            [*command, "--preload", framework],
            pass_fds=(remote.fileno(),),
            stdin=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED if name in os.environ} | dict(environment),
            start_new_session=True,
        )
        remote.close()
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ready.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._spawns: dict[int, asyncio.Future[tuple[int, str]]] = {}
        self._next = 0
        self._alive = True
        loop.add_reader(self._channel, self._readable)

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def pid(self) -> int:
        return self._process.pid

    async def spawn(self, spec: dict[str, Any], descriptors: Sequence[int]) -> tuple[int, str]:
        """Fork a replica with (listening socket, log, recorded pipe); returns (pid, start time).

        Raises `StartFailure` when the zygote cannot import its framework or dies.
        """
        self.asked += 1
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await asyncio.shield(self._ready)
            return await self._fork(spec, descriptors)
        finally:
            self.asked -= 1

    async def _fork(self, spec: dict[str, Any], descriptors: Sequence[int]) -> tuple[int, str]:
        self._next += 1
        number = self._next
        answer: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._spawns[number] = answer
        message = json.dumps({"spawn": spec, "id": number}).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self._channel.sendmsg([message], rights)
            async with asyncio.timeout(SPAWN_TIMEOUT_S):
                return await answer
        except (OSError, TimeoutError) as error:
            raise ZygoteLost(f"The zygote for {self.framework} did not answer: {error or 'time is over'}") from None
        finally:
            self._spawns.pop(number, None)

    def close(self) -> None:
        """Let the zygote exit: it does so when its channel closes. Its replicas live on."""
        if self._alive:
            self._alive = False
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            self._fail(ZygoteLost(f"The zygote for {self.framework} has ended."))

    async def wait(self, timeout_s: float = 5.0) -> None:
        """Reap the process; kills it when it does not go by itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._process.poll() is None:  # noqa: ASYNC110 - a child of Popen has no event
                    await asyncio.sleep(0.01)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _readable(self) -> None:
        try:
            data = self._channel.recv(LARGEST_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            log.warning("zygote for %s (pid %d) has ended", self.framework, self._process.pid)
            self.close()
            self._on_end(self.framework)
            return
        self._received(json.loads(data))

    def _received(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            if message["ready"]:
                log.info("zygote for %s is warm after %.2f s", self.framework, message.get("seconds", 0.0))
                if not self._ready.done():
                    self._ready.set_result(None)
            else:
                self._fail(StartFailure(f"{self.framework} cannot be imported: {message.get('error')}"))
        elif "spawned" in message:
            spawned = message["spawned"]
            self._settle(spawned["id"], (int(spawned["pid"]), str(spawned["start_time"])))
        elif "failed" in message:
            failed = message["failed"]
            self._settle(failed["id"], StartFailure(f"The replica could not be forked: {failed.get('error')}"))

    def _settle(self, number: int, outcome: tuple[int, str] | StartFailure) -> None:
        answer = self._spawns.get(number)
        if answer is None or answer.done():
            return
        if isinstance(outcome, StartFailure):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def _fail(self, error: StartFailure) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
        for answer in self._spawns.values():
            if not answer.done():
                answer.set_exception(error)


class Zygotes:
    """All zygotes, by framework. `environment` is what a framework shall find while it is imported."""

    def __init__(self, clock: Clock, idle_s: float, environment: Mapping[str, str]) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self._environment = {**QUIET_THREADS, **environment}
        self._zygotes: dict[str, Zygote] = {}
        self._leaving: list[Zygote] = []
        self._kept: frozenset[str] = frozenset()
        self._started_again: dict[str, float] = {}

    def get(self, framework: str) -> Zygote:
        """The zygote of a framework, started when there is none."""
        zygote = self._zygotes.get(framework)
        if zygote is None or not zygote.alive:
            if zygote is not None:
                self._leaving.append(zygote)
            zygote = self._zygotes[framework] = Zygote(framework, self._environment, self._ended)
        zygote.last_used = self._clock.monotonic()
        return zygote

    def keep(self, frameworks: Iterable[str]) -> None:
        """Have these warm from now on, whoever needs them or not; the others go when they are idle."""
        self._kept = frozenset(frameworks)
        for framework in self._kept:
            if framework not in self._zygotes or not self._zygotes[framework].alive:
                self.get(framework)

    def _ended(self, framework: str) -> None:
        now = self._clock.monotonic()
        if framework in self._kept and now - self._started_again.get(framework, -SOON_S) >= SOON_S:
            self._started_again[framework] = now
            self.get(framework)

    def evict_idle(self) -> None:
        """Stop the zygotes that nobody needed for `idle_s`."""
        now = self._clock.monotonic()
        for framework, zygote in list(self._zygotes.items()):
            idle = not zygote.asked and framework not in self._kept and now - zygote.last_used > self._idle_s
            if idle or not zygote.alive:
                zygote.close()
                self._leaving.append(self._zygotes.pop(framework))

    async def reap(self) -> None:
        """Wait for those that were told to go."""
        while self._leaving:
            await self._leaving.pop().wait()

    def listing(self) -> list[tuple[str, int]]:
        """(framework, pid) of each."""
        return [(zygote.framework, zygote.pid) for zygote in self._zygotes.values() if zygote.alive]

    async def close(self) -> None:
        """End all zygotes."""
        self._kept = frozenset()
        for zygote in self._zygotes.values():
            zygote.close()
            self._leaving.append(zygote)
        self._zygotes.clear()
        await self.reap()
