"""Access as control runs it: the keys in force here and in every process that verifies, and what changes them.

A change is stored, taken over here, published, and acknowledged by every living gateway and the objects front before
it is answered: from then on a revoked key opens nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from mooring.access.keys import AccessKey, Keyring
from mooring.access.modes import is_exposed, keys_are_needed
from mooring.clock import Clock
from mooring.control import own_keys
from mooring.control.access_keys import KeyKeeper
from mooring.control.publishing import RoutePublisher
from mooring.errors import DataDirectoryError, Unavailable
from mooring.keys.master import MasterKey
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.store import Store

log = logging.getLogger("mooring.control")

ACKNOWLEDGED_WITHIN_S = 10.0


class Access:
    """Made by `open_access`."""

    def __init__(
        self, settings: Settings, paths: Paths, store: Store, clock: Clock, master: MasterKey, publisher: RoutePublisher
    ) -> None:
        self.needed = keys_are_needed(settings)
        self.keyring = Keyring()
        self.replicas_key = own_keys.replicas_key(master)
        self._session_key = master.derive("sessions")
        self._keeper = KeyKeeper(store, master, clock)
        self._publisher = publisher
        self._paths = paths
        self._settings = settings
        self._own: list[AccessKey] = []
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Put the stored keys in force. Raises `DataDirectoryError` when there must be some and are none."""
        if not self.needed:
            own_keys.forget_local_key(self._paths)
            if is_exposed(self._settings):
                log.warning("whoever reaches %s may do everything: no access keys are asked for", self._host)
            return
        kept = await self._keeper.opened()
        if not kept and is_exposed(self._settings):
            raise DataDirectoryError(
                f"{self._host} can be reached over the network, and there is no access key: make one "
                f"with `mooring keys create --data-dir {self._paths.root}`, or let everyone in with --insecure"
            )
        self._own = [self.replicas_key, own_keys.local_key(self._paths)]
        self._put_in_force(kept)
        log.info("access keys are needed; there are %d", len(kept))

    @property
    def _host(self) -> str:
        return self._settings.server.host

    async def create(self, name: str | None, policy: Mapping[str, Any] | None) -> dict[str, Any]:
        """A new key, which works when this returns. Raises `BadInput`, or `AlreadyExists`."""
        async with self._changing:
            made = await self._keeper.create(name, policy)
            await self._publish(made["access_key_id"])
        return made

    async def listed(self) -> dict[str, Any]:
        """Every key, without secrets."""
        return await self._keeper.listed()

    async def revoke(self, id_or_name: str) -> dict[str, Any]:
        """A key that opens nothing more when this returns. Raises `NotFound`, `Unavailable` when that is not sure."""
        async with self._changing:
            revoked = await self._keeper.revoke(id_or_name)
            await self._publish(revoked["access_key_id"])
        return revoked

    async def _publish(self, key_id: str) -> None:
        if not self.needed:
            return
        version = self._put_in_force(await self._keeper.opened())
        if not await self._publisher.wait_keys_in_effect(version, ACKNOWLEDGED_WITHIN_S):
            raise Unavailable(
                f"The change of the access key {key_id} is stored, but within {ACKNOWLEDGED_WITHIN_S:g} s not every "
                "process has said that it follows it: `mooring status` shows them; restart the server to be sure."
            )

    def _put_in_force(self, kept: list[AccessKey]) -> int:
        keys = [*kept, *self._own]
        self.keyring.replace(keys, self._session_key)
        return self._publisher.publish_keys(keys, self._session_key)
