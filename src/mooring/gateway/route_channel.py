"""The gateway's end of the route channel: newline-delimited JSON over a Unix socket to control.

Access keys come the same way, all of them at every change; they stay in memory, and while control is away.

It connects again for as long as the gateway lives; serving never waits for it. On every connection it says what it
holds, and control sends what is newer. Replicas that became idle while control was away are told once it is back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import uuid
from collections.abc import Callable
from typing import Any

from mooring.access.keys import Keyring
from mooring.errors import MooringError
from mooring.gateway.routes import Acknowledgement, RouteTable
from mooring.hosting.routes import Route, Version

log = logging.getLogger("mooring.gateway")

LINE_LIMIT_BYTES = 16 * 1024 * 1024
RECONNECT_AFTER_S = 0.02
RECONNECT_AFTER_MAX_S = 0.5


class RouteChannel:
    """Keeps a route table in step with control. `run` is the one task."""

    def __init__(self, socket_path: str, index: int, keyring: Keyring) -> None:
        self._socket_path = socket_path
        self._keyring = keyring
        self.keys_known = asyncio.Event()
        """Set once there are access keys to verify with."""
        self._index = index
        self._incarnation = str(uuid.uuid4())
        self.synced = asyncio.Event()
        """Set once control has said that nothing newer is held back."""
        self._writer: asyncio.StreamWriter | None = None
        self._unsaid: list[str] = []
        self.greeted: list[Callable[[], None]] = []
        """Called when control has only just come, once it knows who this is."""
        self.heeded: dict[str, Callable[[Any], None]] = {}
        """Who heeds a message of control's that is not about routes or keys, by the message's kind."""

    def replica_idle(self, replica_id: str) -> None:
        """A replica that was reported busy has no outstanding call any more."""
        if self._writer is not None:
            self._say({"idle": {"replica": replica_id}})
        else:
            self._unsaid.append(replica_id)

    def tell(self, message: dict[str, Any]) -> bool:
        """Say something that is not about routes; False while control is away."""
        return self._say(message)

    async def run(self, table: RouteTable) -> None:
        """Stay connected until cancelled."""
        delay = RECONNECT_AFTER_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._socket_path, limit=LINE_LIMIT_BYTES)
            except OSError:
                await asyncio.sleep(delay)
                delay = min(delay * 2, RECONNECT_AFTER_MAX_S)
                continue
            try:
                self._writer = writer
                self._greet(table)
                while line := await reader.readline():
                    self._heed(json.loads(line), table)
                    await writer.drain()
                    delay = RECONNECT_AFTER_S
            except (OSError, ValueError, KeyError, TypeError, MooringError) as error:
                log.warning("the route channel broke: %s", error)
            finally:
                self._writer = None
                writer.close()
            await asyncio.sleep(delay)
            delay = min(delay * 2, RECONNECT_AFTER_MAX_S)

    def _greet(self, table: RouteTable) -> None:
        held = {key: list(version) for key, version in table.versions().items()}
        hello = {"gateway": self._index, "incarnation": self._incarnation, "pid": os.getpid(), "routes": held}
        self._say({"hello": hello})
        unsaid, self._unsaid = self._unsaid, []
        for replica_id in unsaid:
            self._say({"idle": {"replica": replica_id}})
        for greet in self.greeted:
            greet()

    def _heed(self, message: dict[str, Any], table: RouteTable) -> None:
        if "route" in message:
            self._acknowledge(table.apply(Route.from_document(message["route"])))
        elif "drop" in message:
            drop = message["drop"]
            self._acknowledge(table.drop(drop["key"], Version(*drop["version"])))
        elif "keys" in message:
            version = self._keyring.take(message["keys"])
            self.keys_known.set()
            self._say({"keys_ack": version})
        elif "synced" in message:
            self.synced.set()
            log.debug("routes are in step with control of epoch %s", message["synced"].get("epoch"))
        elif (heed := self.heeded.get(next(iter(message), ""))) is not None:
            heed(message)
        else:
            log.warning("control says something unknown: %.100r", list(message))

    def _acknowledge(self, acknowledgement: Acknowledgement) -> None:
        key, version, busy = acknowledgement
        self._say({"ack": {"key": key, "version": list(version), "busy": busy}})

    def _say(self, message: dict[str, Any]) -> bool:
        # It is closing from when the connection broke until `run` has noticed.
        if self._writer is None or self._writer.is_closing():
            return False
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        return True
