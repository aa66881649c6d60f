"""Data keys for captured records: what gateways seal them with on disk where an endpoint names a KmsKeyId.

One an endpoint and key, made anew by every control and handed to the gateways in memory; its sealed form lies beside
the records. So what waits on disk for S3 can be read only while its KMS key may be used, as in S3 itself.

Where S3 is elsewhere its keys are too, and Mooring's KMS does not know them: there the data key is sealed with the
master key, and S3 gets the KmsKeyId as it was given.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

from mooring.clock import Clock
from mooring.control.publishing import RoutePublisher
from mooring.data_capture.streams import Stream
from mooring.errors import MooringError
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route
from mooring.keys.envelopes import DataKeys

log = logging.getLogger("mooring.control")

RETRY_S = 5.0
_CONTEXT = "mooring:capture"


class CaptureKeys:
    """Of all endpoints, for this control's life."""

    def __init__(self, data_keys: DataKeys, publisher: RoutePublisher, clock: Clock, *, s3_is_elsewhere: bool) -> None:
        self._data_keys = data_keys
        self._publisher = publisher
        self._clock = clock
        self._elsewhere = s3_is_elsewhere
        self.takers: list[Callable[[dict[str, Any]], None]] = []
        """Who else than gateways seals records, and gets what they get."""
        self._given: set[tuple[str, str]] = set()
        self._refused: dict[tuple[str, str], float] = {}
        publisher.withdrawn.append(self._forget)

    async def provide(self, route: Route) -> float | None:
        """Give the gateways what they lack for a route that is about to go out. Returns when to try again.

        A key that cannot be used stops capture, which the gateways report, and nothing else.
        """
        wanted = {each.capture.key_id for each in route.variants if each.capture is not None and each.capture.key_id}
        waits = [await self._provide(route.scope, route.key, key_id) for key_id in sorted(wanted)]
        return min((wait for wait in waits if wait is not None), default=None)

    async def opened(self, stream: Stream) -> bytes:
        """What a stream's records are sealed with. Raises `KmsError`."""
        scope, sealed = Scope(stream.account, stream.region), base64.b64decode(stream.sealed_data_key)
        context = {_CONTEXT: stream.route_key}
        return (await self._data_keys.unseal(scope, sealed, context)).plaintext

    def _forget(self, route_key: str) -> None:
        """The endpoint is gone; one of its name would need keys anew."""
        self._given = {each for each in self._given if each[0] != route_key}
        self._refused = {each: at for each, at in self._refused.items() if each[0] != route_key}

    async def _provide(self, scope: Scope, route_key: str, key_id: str) -> float | None:
        wanted = (route_key, key_id)
        if wanted in self._given:
            return None
        wait = self._refused.get(wanted, 0.0) - self._clock.monotonic()
        if wait > 0:
            return wait
        context = {_CONTEXT: route_key}
        try:
            made = await self._data_keys.generate(scope, "" if self._elsewhere else key_id, context)
        except MooringError as error:
            log.warning("no records of %s can be captured with the key %s: %s", route_key, key_id, error)
            self._refused[wanted] = self._clock.monotonic() + RETRY_S
            return RETRY_S
        document = {
            "plaintext": base64.b64encode(made.plaintext).decode(),
            "sealed": base64.b64encode(made.sealed).decode(),
            "arn": made.key_arn,
        }
        self._publisher.publish_data_key(route_key, key_id, document)
        for take in self.takers:
            take({"route": route_key, "keys": {key_id: document}})
        self._given.add(wanted)
        return None
