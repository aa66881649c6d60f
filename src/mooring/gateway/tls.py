"""TLS on a gateway's port: one context for all connections, whose certificate is replaced while it is used.

Both files are looked at every `LOOK_S`. A pair that does not fit together a moment after a change may be one of which
only half has been replaced: it is tried once more before anybody is told, and the old one is served meanwhile.
"""

from __future__ import annotations

import asyncio
import logging

from mooring.errors import BadPair
from mooring.paths import Paths
from mooring.processes import certificates
from mooring.settings import TlsSettings

log = logging.getLogger("mooring.gateway")

LOOK_S = 1.0


class Tls:
    """The certificate that this gateway shows."""

    def __init__(self, settings: TlsSettings, paths: Paths) -> None:
        self.context = certificates.server_context()
        self.handshake_s = settings.handshake_timeout_s
        self._settings = settings
        self._paths = paths

    def begin(self) -> None:
        """Load the pair, or the last good one when that cannot be used. Raises OSError when there is neither."""
        try:
            self._take()
        except BadPair as error:
            log.error("%s; the pair that was served before is served on", error)
        certificates.load(self.context, self._paths.served_pair)

    async def keep(self) -> None:
        """Load what takes the place of the files, for as long as the gateway runs."""
        changes = certificates.changes(self._settings.certificate, self._settings.key)
        again = False
        while True:
            changed = next(changes)
            if changed or again:
                again = await self._replaced(last=again and not changed)
            await asyncio.sleep(LOOK_S)

    async def _replaced(self, *, last: bool) -> bool:
        """Load a new pair; True when it is bad and should be tried again, which `last` rules out."""
        try:
            await asyncio.to_thread(self._take)
        except BadPair as error:
            if last:
                log.error("%s; the pair that was served before is served on", error)
            return not last
        certificates.load(self.context, self._paths.served_pair)
        log.info("the new certificate is served")
        return False

    def _take(self) -> None:
        certificates.take(self._settings.certificate, self._settings.key, self._paths)
