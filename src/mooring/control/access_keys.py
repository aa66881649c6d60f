"""Access keys as they are kept: made, listed, revoked, and opened for those who verify.

A secret is told once, when its key is made, and is sealed from then on. Only this module brings the store and the
master key together.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from typing import Any

from mooring.access.keys import NAME, AccessKey
from mooring.access.policies import Policy, policy_of
from mooring.clock import Clock
from mooring.control.own_keys import RESERVED_NAMES
from mooring.errors import BadInput, LimitExceeded
from mooring.keys.master import MasterKey
from mooring.keys.sealing import seal, unseal
from mooring.store import Connection, Store, access_keys
from mooring.store.access_keys import KeyRecord

MOST = 1000
"""Every process that verifies holds all of them."""
PREFIX = "MKIA"
"""Not AWS's AKIA: nobody shall take it for a key of theirs that has leaked."""


class KeyKeeper:
    """The keys of one data directory."""

    def __init__(self, store: Store, master: MasterKey, clock: Clock) -> None:
        self._store = store
        self._master = master
        self._clock = clock

    async def create(self, name: str | None, policy: Mapping[str, Any] | None) -> dict[str, Any]:
        """A new key with its secret, which nobody is told again. Raises `BadInput`, or `AlreadyExists`."""
        key_id = PREFIX + base64.b32encode(os.urandom(10)).decode()
        name = key_id if name is None else name
        if NAME.fullmatch(name) is None:
            raise BadInput(f"the name {name!a} is not 2 to 64 letters, digits and _+=,.@-")
        if name in RESERVED_NAMES:
            raise BadInput(f'the name "{name}" is one of Mooring\'s own: choose another')
        text = None if policy is None else policy_of(policy).text
        secret = base64.b64encode(secrets.token_bytes(30)).decode()
        record = KeyRecord(
            key_id, name, seal(self._master, secret.encode(), key_id), text, round(self._clock.wall(), 3)
        )

        def write(connection: Connection) -> None:
            if access_keys.count(connection) >= MOST:
                raise LimitExceeded(f"there are {MOST} access keys, which is the most: revoke some")
            access_keys.insert(connection, record)

        await self._store.write(write)
        return {**_told(record), "secret_access_key": secret}

    async def listed(self) -> dict[str, Any]:
        """Every key, without secrets."""
        return {"keys": [_told(record) for record in await self._store.read(access_keys.all)]}

    async def revoke(self, id_or_name: str) -> dict[str, Any]:
        """Forget a key. Raises `NotFound`."""
        found = await self._store.write(lambda connection: access_keys.remove(connection, id_or_name))
        return {"access_key_id": found}

    async def opened(self) -> list[AccessKey]:
        """Every key with its secret, in memory. Raises `DataDirectoryError` when one was sealed elsewhere."""
        return [
            AccessKey(
                record.id,
                unseal(self._master, record.sealed, record.id).decode(),
                record.name,
                None if record.policy is None else Policy(record.policy),
            )
            for record in await self._store.read(access_keys.all)
        ]


def _told(record: KeyRecord) -> dict[str, Any]:
    return {
        "access_key_id": record.id,
        "name": record.name,
        "created_at": record.created_at,
        "policy": None if record.policy is None else json.loads(record.policy),
    }
