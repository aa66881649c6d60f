"""The `process` engine: a replica is a process group that speaks SageMaker's container contract on a Unix socket.

Guarantees: a replica runs no model code before it is recorded under `run/replicas/<id>/` (a control that is killed
in between leaks nothing, as the replica then reads end of file and exits); a recorded replica can be found,
addressed and stopped by any later control; its environment holds only what the contract names and the model's own
variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.clock import Clock
from mooring.engines.artifacts import ArtifactStore
from mooring.engines.containers import container_of
from mooring.engines.limits import Limits, told
from mooring.engines.model_data import ModelDataCheck
from mooring.engines.preparing import Preparation, Prepared
from mooring.engines.replica_environment import ANY_KEY, ClientKey, shared_places
from mooring.engines.specs import spec_of
from mooring.engines.zygotes import PLAIN, Zygotes
from mooring.errors import StartFailure
from mooring.hosting.events import EventKind, Note
from mooring.paths import Paths
from mooring.processes.exits import read_exit
from mooring.processes.files import read_small, write_atomically
from mooring.processes.groups import kill_rest
from mooring.processes.identity import ProcessIdentity, boot_id
from mooring.processes.log_files import open_log
from mooring.processes.signals import terminate_group
from mooring.processes.sockets import listen_unix
from mooring.settings import Settings

log = logging.getLogger("mooring.engines")

EXIT_RECORD_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Replica:
    """A recorded replica. `owner` is what the caller wrote: it finds its own again by it."""

    id: str
    identity: ProcessIdentity
    address: str
    log: Path
    run_dir: Path
    owner: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a replica ended, for people."""

    returncode: int | None
    where: str | None
    """The step that the model server says it failed in, such as `model_fn`."""
    reason: str | None
    outgrown: bool = False
    """Whether it was killed because it used more than it may."""

    def __str__(self) -> str:
        if self.reason:
            return f"{self.where} failed: {self.reason}" if self.where else self.reason
        if self.returncode is None:
            return "the process has gone, its exit status is not known"
        if self.returncode < 0:
            return f"the process was killed by signal {-self.returncode}"
        return f"the process exited with status {self.returncode}"


class ProcessEngine:
    """Starts, finds and stops replicas as processes."""

    def __init__(self, paths: Paths, settings: Settings, clock: Clock, client_key: ClientKey = ANY_KEY) -> None:
        self._paths = paths
        self._client_key = client_key
        self._settings = settings
        self.zygotes = Zygotes(clock, settings.replicas.zygote_idle_s, shared_places(paths))
        self.artifacts = ArtifactStore(paths, settings)
        self.model_data = ModelDataCheck(settings, paths)
        self.limits = Limits(settings.serverless.limits, hashlib.sha256(os.fsencode(paths.root)).hexdigest()[:12])
        self._preparation = Preparation(paths, settings, self.artifacts)

    def prewarm(self, model: dict[str, Any]) -> None:
        """Start importing the framework of a model that is likely to be deployed soon."""
        with contextlib.suppress(StartFailure):
            if framework := self._preparation.warm_framework(container_of(model).image):
                self.zygotes.get(framework)

    def keep_warm(self, models: Iterable[dict[str, Any]]) -> None:
        """Have a zygote at hand for each of these models, whose replicas must be there soon when they are wanted."""
        self.zygotes.keep({zygote for model in models if (zygote := self._preparation.zygote_of(model)) is not None})

    async def prepare(
        self,
        owner: str,
        model: dict[str, Any],
        download_timeout_s: float,
        install_timeout_s: float,
        log_path: Path,
        note: Note,
        memory_mb: int | None = None,
    ) -> Prepared:
        """Bring the files, and make an environment where one is wanted; `note` hears of each step.

        With `memory_mb` each replica is limited to that much memory, and to processors in proportion.

        Raises `StartFailure` or `ArtifactError`, whose text is fit for FailureReason.
        """
        if memory_mb is not None:
            await asyncio.to_thread(self.limits.require)
        self.prewarm(model)
        prepared = await self._preparation.prepare(owner, model, download_timeout_s, install_timeout_s, log_path, note)
        if memory_mb is not None:
            note(EventKind.LIMITS, told(await asyncio.to_thread(self.limits.found), memory_mb))
        return dataclasses.replace(prepared, memory_mb=memory_mb)

    async def start(
        self, replica_id: str, prepared: Prepared, log_path: Path, region: str, owner: dict[str, Any]
    ) -> Replica:
        """Fork, limit, record, release. The replica is not healthy yet. Raises `StartFailure`; nothing is left then."""
        run_dir = self._paths.replicas / replica_id
        try:
            return await self._start(replica_id, prepared, log_path, region, owner, run_dir)
        except BaseException:  # also when it is told to leave meanwhile
            await asyncio.shield(asyncio.to_thread(self._remove, replica_id, run_dir))
            raise

    async def _start(
        self, replica_id: str, prepared: Prepared, log_path: Path, region: str, owner: dict[str, Any], run_dir: Path
    ) -> Replica:
        (run_dir / "work").mkdir(parents=True)
        address = self._paths.replica_socket(replica_id)
        around = self._settings, self._paths, self._client_key
        spec = await asyncio.to_thread(spec_of, replica_id, prepared, run_dir, region, *around)
        zygote = self.zygotes.get(PLAIN if spec["command"] else prepared.runtime.framework)
        with contextlib.ExitStack() as opened:
            listener = opened.enter_context(listen_unix(address))
            log_fd = open_log(log_path)
            opened.callback(os.close, log_fd)
            recorded, record = os.pipe()
            opened.callback(os.close, record)
            opened.callback(os.close, recorded)
            pid, start_time = await zygote.spawn(spec, (listener.fileno(), log_fd, recorded))
            identity = ProcessIdentity(pid, start_time, boot_id())
            replica = Replica(replica_id, identity, str(address), log_path, run_dir, owner)
            if prepared.memory_mb is not None:
                await _to_its_end(self.limits.impose, replica_id, run_dir, identity, prepared.memory_mb)
            _record(replica)
            os.write(record, b"1")
        return replica

    def recorded(self) -> Iterator[Replica]:
        """Replicas on record whose process lives. What is left of others is removed."""
        for directory in sorted(self._paths.replicas.iterdir()):
            replica = _read_record(directory)
            if directory.name.startswith("."):
                shutil.rmtree(directory, ignore_errors=True)
            elif replica is not None and replica.identity.alive():
                self.limits.take_up(replica.id, directory, replica.identity)
                yield replica
            else:
                self._remove(directory.name, directory)

    async def ending(self, replica: Replica) -> Ending:
        """How a replica that has gone ended; waits a moment for its parent to write that down."""
        deadline = asyncio.get_running_loop().time() + EXIT_RECORD_WAIT_S
        found = read_exit(replica.run_dir)
        while found is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
            found = read_exit(replica.run_dir)
        if (outgrown := self.limits.failure(replica.id)) is not None:
            return Ending(found.returncode if found is not None else None, None, outgrown, outgrown=True)
        failure: Any = None
        with contextlib.suppress(OSError, ValueError):
            failure = json.loads(read_small(replica.run_dir / "failure.json"))
        if not isinstance(failure, dict):
            failure = {}
        returncode = found.returncode if found is not None else None
        return Ending(returncode, _text(failure.get("where")), _text(failure.get("reason")))

    async def stop(self, replica: Replica) -> None:
        """End the replica's process group, with force after the grace time, and forget it."""
        await terminate_group(replica.identity, self._settings.replicas.stop_grace_s)
        kill_rest(replica.identity)  # a replica that died by itself may have left children in its group
        await asyncio.to_thread(self._remove, replica.id, replica.run_dir)

    def _remove(self, replica_id: str, run_dir: Path) -> None:
        self.limits.release(replica_id, run_dir)
        # Renamed first: a parent that is late to write the exit record must not bring the directory back.
        gone = run_dir.with_name(f".{replica_id}.gone")
        with contextlib.suppress(OSError):
            run_dir.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self._paths.replica_socket(replica_id).unlink(missing_ok=True)

    async def close(self) -> None:
        """End the zygotes. Replicas live on."""
        self.limits.close()
        self.model_data.close()
        await self.zygotes.close()


async def _to_its_end(work: Callable[..., None], *arguments: object) -> None:
    """Run `work` in a thread, which nobody can cancel: whoever is told to leave meanwhile waits for it."""
    working = asyncio.create_task(asyncio.to_thread(work, *arguments), name=f"{work.__name__} in a thread")
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise


def _record(replica: Replica) -> None:
    document = {
        **replica.identity.to_document(),
        "address": replica.address,
        "log": str(replica.log),
        "owner": replica.owner,
    }
    write_atomically(replica.run_dir / "identity.json", json.dumps(document).encode())


def _read_record(directory: Path) -> Replica | None:
    try:
        document = json.loads(read_small(directory / "identity.json"))
        identity = ProcessIdentity.from_document(document)
        return Replica(
            directory.name, identity, document["address"], Path(document["log"]), directory, document["owner"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
