"""A control edge on a loopback port, with a real store and a control that only remembers what it was told."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from mooring.access.keys import AccessKey, Keyring
from mooring.access.modes import keys_are_needed
from mooring.access.policies import policy_of
from mooring.api.edge import Edge
from mooring.api.guarding import Guard
from mooring.clock import SystemClock
from mooring.control.kms_keys import KmsKeys
from mooring.control.log_groups import LogGroup
from mooring.errors import NotFound, NotInstalled, Refused
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.naming import Scope, not_found
from mooring.hosting.rollout.rollouts import Heard, Seen, moved
from mooring.http1.application import serve
from mooring.http1.messages import Request
from mooring.keys.master import MasterKey
from mooring.settings import Settings
from mooring.store import Connection, Store, endpoints
from mooring.wire.errors import WireResponse

T = TypeVar("T")
ANY_KEY = ("test", "test")
ACCOUNT = "000000000000"


class MemoryKeys:
    """Access keys in memory: those of a test, and none unless it has some."""

    def __init__(self) -> None:
        self.needed = False
        self.keyring = Keyring()
        self.held: dict[str, AccessKey] = {}

    def hold(self, *keys: AccessKey) -> None:
        self.held = {key.id: key for key in keys}
        self.keyring.replace(keys, b"k" * 32)

    async def create(self, name: str | None, policy: Mapping[str, Any] | None) -> dict[str, Any]:
        key = AccessKey(f"K{len(self.held)}", "made", name or "unnamed", None if policy is None else policy_of(policy))
        self.hold(*self.held.values(), key)
        return {"access_key_id": key.id, "name": key.name, "secret_access_key": "made", "policy": policy}

    async def listed(self) -> dict[str, Any]:
        return {"keys": [{"access_key_id": key.id, "name": key.name} for key in self.held.values()]}

    async def revoke(self, id_or_name: str) -> dict[str, Any]:
        if id_or_name not in self.held:
            raise NotFound(f'there is no access key "{id_or_name}"')
        self.hold(*(key for key in self.held.values() if key.id != id_or_name))
        return {"access_key_id": id_or_name}


class NoScaling:
    """What would scale variants."""

    def __init__(self) -> None:
        self.followed = 0

    async def follow(self) -> None:
        self.followed += 1


class RecordingControl:
    """Control's twin for tests."""

    def __init__(self) -> None:
        self.keys = MemoryKeys()
        self.scaling = NoScaling()
        self.woken: list[str] = []
        self.looked_at: list[tuple[str, str]] = []
        self.data_is_there = True
        self.prewarmed: list[dict[str, Any]] = []
        self.deleted: list[tuple[Scope, str]] = []
        self.broken = False
        self.logs_directory: Path | None = None
        self.neighbours: Callable[[Request], WireResponse] | None = None
        self.kms_keys = KmsKeys(MasterKey(b"m" * 32, "master key of a test"))
        self.store: Store | None = None

    async def kms_service_key(self, scope: Scope, service: str) -> None:
        assert self.store is not None
        await self.store.write(lambda conn: self.kms_keys.of_service(conn, scope, service, time.time()))

    def wake(self, uid: str) -> None:
        self.woken.append(uid)

    def prewarm(self, model: dict[str, Any]) -> None:
        self.prewarmed.append(model)

    async def require_model_data(self, model: dict[str, Any], region: str) -> None:
        self.looked_at.append((model["ModelName"], region))
        if not self.data_is_there or "absent" in str(model):
            raise Refused("Could not find model data at s3://absent/.")

    def is_prebuilt(self, image: str) -> bool:
        return image.startswith("683313688378.")

    def change_of(self, uid: str) -> asyncio.Event:
        return asyncio.Event()

    async def status(self) -> dict[str, Any]:
        if self.broken:
            raise RuntimeError("a defect with a secret in it")
        return {"version": "0", "endpoints": []}

    async def events(self, scope: Scope, name: str, after: int) -> dict[str, Any]:
        return {"events": [{"position": after + 1, "at": 1.0, "kind": "step", "text": f"{scope.region} {name}"}]}

    async def ask_neighbours(self, request: Request, request_id: str) -> WireResponse:
        if self.neighbours is None:
            raise NotInstalled
        return self.neighbours(request)

    async def force_delete(self, scope: Scope, name: str) -> None:
        if name == "absent":
            raise NotFound(not_found("endpoint", scope.arn("endpoint", name)))
        self.deleted.append((scope, name))

    async def log_group(self, scope: Scope, name: str) -> LogGroup:
        if self.logs_directory is None or name == "absent":
            raise NotFound(not_found("endpoint", scope.arn("endpoint", name)))
        return LogGroup(self.logs_directory / name, SystemClock())

    async def log_groups(self, scope: Scope) -> list[tuple[EndpointRecord, LogGroup]]:
        return []

    async def logs(self, scope: Scope, name: str, after: str | None) -> dict[str, Any]:
        return {"lines": [{"replica": "r", "variant": "v", "text": f"{scope.region} {name} {after}"}], "next": "n"}


@dataclass
class Raw:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Serving:
    """A running edge."""

    port: int
    loop: asyncio.AbstractEventLoop
    store: Store
    control: RecordingControl
    stops: list[int] = field(default_factory=list)

    def client(
        self, service: str = "sagemaker", region: str = "us-east-1", key: tuple[str, ...] = ANY_KEY, **config: Any
    ) -> Any:
        return boto3.session.Session(*key).client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=10, **config),
        )

    def raw(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Raw:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Raw(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def call(
        self, operation: str, body: object, *, invocation: str | None = None, region: str = "us-east-1", **headers: str
    ) -> Raw:
        """An unsigned-but-scoped AWS JSON call, bytes as they are given."""
        scope = f"test/20260101/{region}/sagemaker/aws4_request"
        sent = {
            "X-Amz-Target": f"SageMaker.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if invocation is not None:
            sent["amz-sdk-invocation-id"] = invocation
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.raw("POST", "/", sent, data)

    def write(self, change: Callable[[Connection], T]) -> T:
        return asyncio.run_coroutine_threadsafe(self.store.write(change), self.loop).result(10)

    def settle(self, region: str, name: str, status: EndpointStatus = EndpointStatus.IN_SERVICE) -> None:
        """What the reconciler does once replicas run: everything wished has taken effect."""

        def change(conn: Connection) -> None:
            record = endpoints.require(conn, Scope(ACCOUNT, region), name)
            if record.rollout is not None:
                endpoints.save(conn, rolled_out(record))
                return
            variants = tuple(
                replace(variant, current_weight=variant.desired_weight, current_count=variant.desired_count)
                for variant in record.variants
            )
            endpoints.save(conn, replace(record, status=status, variants=variants, modified_at=record.modified_at + 1))

        self.write(change)

    def vanish(self, region: str, name: str) -> None:
        """What the reconciler does once nothing of a deleted endpoint runs."""
        scope = Scope(ACCOUNT, region)
        self.write(lambda conn: endpoints.delete(conn, endpoints.require(conn, scope, name).uid))


def rolled_out(record: EndpointRecord) -> EndpointRecord:
    """A record whose update went well from where it is to its end."""
    now = record.modified_at
    while (rollout := record.rollout) is not None:
        now = max(now, rollout.wait_until or 0.0) + 1
        seen = Seen(old_complete=True, new_complete=True, in_effect=True, settled=True, heard=Heard(now))
        record = moved(record, seen, now, 60.0) or record
    return record


@contextmanager
def serving(path: Path, settings: Settings | None = None) -> Iterator[Serving]:
    """Run an edge on a thread of its own for as long as the block lasts."""
    started: Future[tuple[Serving, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_run(path, settings or Settings(), started)), name="edge")
    thread.start()
    try:
        running, ending = started.result(10)
        try:
            yield running
        finally:
            running.loop.call_soon_threadsafe(ending.set)
    finally:
        thread.join(10)


async def _run(path: Path, settings: Settings, started: Future[tuple[Serving, asyncio.Event]]) -> None:
    try:
        store = await Store.open(path)
        control, stops = RecordingControl(), []
        control.store = store
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        guard = Guard(settings, control.keys.keyring, SystemClock().wall) if keys_are_needed(settings) else None
        edge = Edge(settings, store, SystemClock(), control, lambda: stops.append(1), guard)
        server = await serve(listener, edge.handle, body_limit=8 * 1024 * 1024)
        ending = asyncio.Event()
        running = Serving(listener.getsockname()[1], asyncio.get_running_loop(), store, control, stops)
    except BaseException as error:  # noqa: BLE001
        started.set_exception(error)
        return
    started.set_result((running, ending))
    await ending.wait()
    await server.close()
    await store.close()


def unique(prefix: str = "n") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"
