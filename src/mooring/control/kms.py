"""KMS as control runs it: data keys for those who encrypt beside it, and what is due with time.

Keys stay here. Whoever encrypts asks for a data key and holds that alone, in memory: `mooring.objects` over
`run/sockets/keys.sock`, one question an object and no answer kept, so that a key which was disabled a moment ago opens
nothing more, and a front that is killed has left nothing that opens anything. A question says whose call it serves, and
control decides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mooring.access.deciding import Denied
from mooring.access.keys import Keyring
from mooring.clock import Clock
from mooring.control import kms_keys as keys
from mooring.control.kms_keys import KmsKeys
from mooring.control.kms_users import KeyUser
from mooring.errors import KmsError
from mooring.hosting.kms_names import key_arn, read_key_name
from mooring.hosting.naming import Scope
from mooring.http1.application import Server, serve
from mooring.http1.messages import Request, Response
from mooring.keys import blobs
from mooring.keys.envelopes import KEY_BYTES, DataKey, Tampered, open_record, seal_record
from mooring.keys.master import MasterKey
from mooring.paths import Paths
from mooring.processes.audit_log import AuditLog, AuditRecord
from mooring.settings import Settings
from mooring.store import Connection, Store

T = TypeVar("T")

log = logging.getLogger("mooring.control")

LOOK_S = 30.0
"""Between two looks for keys that are due; a due key is refused at once, whether it is destroyed yet or not."""
_QUESTION_BYTES = 64 * 1024
_OF_S3 = b"\x02"
"""The first byte of a data key that is sealed with no key of KMS, but with the store's own (AES256)."""


class Kms:
    """Makes and opens data keys; `DataKeys` of `mooring.keys.envelopes` for whoever is in this process."""

    def __init__(
        self, settings: Settings, paths: Paths, store: Store, clock: Clock, master: MasterKey, keyring: Keyring | None
    ) -> None:
        self.keys = KmsKeys(master)
        self._settings = settings
        self._paths = paths
        self._store = store
        self._clock = clock
        self._own_key = master.derive("objects")
        self._keyring = keyring
        """Those of access keys; None where none are needed."""
        self._audit = AuditLog(paths, settings.audit, "kms")
        self._server: Server | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Do what is due, answer questions, and look again and again."""
        await self.settle()
        self._server = await serve(self._paths.keys_socket, self._answer, body_limit=_QUESTION_BYTES)
        self._looking = asyncio.create_task(self._look(), name="keys that are due")

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        if self._server is not None:
            self._paths.keys_socket.unlink(missing_ok=True)
            await self._server.close()

    async def settle(self) -> None:
        """Destroy and rotate what is due."""
        now = self._clock.wall()
        if not await self._store.read(lambda conn: keys.any_due(conn, now)):
            return
        for key in await self._store.write(lambda conn: self.keys.settle(conn, now)):
            did = "destroyed" if keys.is_over(key, now) else "rotated"
            log.info("%s is %s", key_arn(key.scope, key.id), did)
        await self._store.truncate_log()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(Exception):
                await self.settle()

    async def service_key(self, scope: Scope, service: str) -> None:
        """Have a service's own key, made now if this is its first use."""
        now = round(self._clock.wall(), 3)
        await self._store.write(lambda conn: self.keys.of_service(conn, scope, service, now))

    async def generate(
        self, scope: Scope, key_id: str, context: Mapping[str, str], user: KeyUser | None = None
    ) -> DataKey:
        """A new data key under a key in any of its four forms, or the store's own. Raises `KmsError` or `Denied`."""
        if not key_id:
            return self._generate_own(context)
        now, plaintext = self._clock.wall(), os.urandom(KEY_BYTES)

        def make(conn: Connection) -> DataKey:
            key = keys.found(conn, scope, key_id, now)
            (user or self._itself(scope)).require(key, "GenerateDataKey", context)
            sealed = self.keys.encrypt(conn, key, plaintext, context)
            return DataKey(plaintext, sealed, key_arn(key.scope, key.id))

        return await self._read(scope, key_id, make)

    async def unseal(
        self, scope: Scope, sealed: bytes, context: Mapping[str, str], user: KeyUser | None = None
    ) -> DataKey:
        """A data key that `generate` made, for the same context. Raises `KmsError` or `Denied`."""
        if sealed.startswith(_OF_S3):
            return self._unseal_own(sealed, context)
        now = self._clock.wall()

        def opened(conn: Connection) -> DataKey:
            found = self.keys.decrypt(conn, scope, sealed, context, now, user or self._itself(scope))
            return DataKey(found.plaintext, sealed, key_arn(found.key.scope, found.key.id))

        return await self._store.read(opened)

    def _generate_own(self, context: Mapping[str, str]) -> DataKey:
        """A data key that no key of KMS seals: what S3 calls AES256."""
        plaintext = os.urandom(KEY_BYTES)
        return DataKey(plaintext, _OF_S3 + seal_record(self._own_key, plaintext, blobs.bound(context)), "")

    def _unseal_own(self, sealed: bytes, context: Mapping[str, str]) -> DataKey:
        """The same again. Raises `KmsError`."""
        try:
            return DataKey(open_record(self._own_key, sealed[1:], blobs.bound(context)), sealed, "")
        except Tampered:
            raise KmsError("InvalidCiphertextException") from None

    async def _read(self, scope: Scope, key_id: str, query: Callable[[Connection], T]) -> T:
        """What `query` finds; when it misses a service's own key, that is made first."""
        try:
            return await self._store.read(query)
        except KmsError:
            name, now = read_key_name(key_id, scope), self._clock.wall()
            if not name.service or name.scope != scope:
                raise
            if await self._store.read(lambda conn: keys.is_named(conn, name, now)):
                raise
        await self.service_key(scope, name.service)
        return await self._store.read(query)

    def _itself(self, scope: Scope) -> KeyUser:
        return KeyUser(scope.account, self._settings.account.role, own=True)

    # Questions of the objects front

    async def _answer(self, request: Request) -> Response:
        began = self._clock.monotonic()
        question: dict[str, Any] = json.loads(request.body)
        sealed = base64.b64decode(question["sealed"]) if "sealed" in question else None
        status, code = 200, ""
        try:
            key = await self._asked(question, sealed)
            answer = {"plaintext": _text(key.plaintext), "sealed": _text(key.sealed), "key_arn": key.key_arn}
        except (KmsError, Denied) as error:
            code = error.code if isinstance(error, KmsError) else "AccessDenied"
            status, answer = 400, {"code": code, "message": str(error)}
        if question.get("key_id") or (sealed is not None and not sealed.startswith(_OF_S3)):
            resource = answer.get("key_arn") or _resource(question, sealed, self._settings.account.id)
            self._record(question, status, resource, code, self._clock.monotonic() - began)
        return Response(status, ((b"Content-Type", b"application/json"),), json.dumps(answer).encode())

    async def _asked(self, question: dict[str, Any], sealed: bytes | None) -> DataKey:
        scope, context = Scope(self._settings.account.id, question["region"]), question["context"]
        user = self._user(question, scope)
        if sealed is not None:
            return await self.unseal(scope, sealed, context, user)
        return await self.generate(scope, question["key_id"], context, user)

    def _user(self, question: dict[str, Any], scope: Scope) -> KeyUser:
        if question["own"]:
            return self._itself(scope)
        role, via = self._settings.account.role, f"s3.{scope.region}.amazonaws.com"
        if self._keyring is None:
            return KeyUser(scope.account, role, via=via)
        key = self._keyring.find(str(question["caller"]))
        if key is None:
            raise Denied("The access key that the call was signed with is not in force any more.")
        return KeyUser(scope.account, role, key, via)

    def _record(self, question: dict[str, Any], status: int, resource: str, code: str, took_s: float) -> None:
        operation = "Decrypt" if "sealed" in question else "GenerateDataKey"
        if not self._audit.wants(operation):
            return
        record = AuditRecord(
            service="kms",
            operation=operation,
            request_id=str(question["request_id"]),
            status=status,
            took_s=took_s,
            resource=resource,
            region=str(question["region"]),
            key_id=str(question["caller"]),
            source="s3",
            error=code,
        )
        self._audit.add(record)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _resource(question: dict[str, Any], sealed: bytes | None, account: str) -> str:
    """What a question that failed was about."""
    if sealed is None:
        return str(question["key_id"])
    try:
        return key_arn(Scope(account, str(question["region"])), blobs.origin_of(sealed).key_id)
    except KmsError:
        return ""
