"""Control's side of the route channel: publish, wait until every live gateway follows, learn what is still busy.

Gateways connect to `run/sockets/routes.sock`, say which routes they hold, and acknowledge each one that they take.
A version *is in effect* when every connected gateway has acknowledged it or a newer one; while fewer gateways are
connected than should run (one is being restarted) that is waited for, within bounds, as a gateway that comes up
serves the routes on its disk first.

Access keys go the same way, to gateways and to the objects front: all of them at every change, in memory on both sides.
A link that has just been made gets them first, so that nobody serves who does not know them.

Messages are JSON, one a line; `mooring.gateway` documents the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mooring.access.keys import AccessKey, document_of
from mooring.hosting.routes import Route, Version
from mooring.paths import Paths

log = logging.getLogger("mooring.control")

MISSING_GATEWAY_WAIT_S = 2.0
SETTLE_WAIT_S = 15.0
LONGEST_LINE_BYTES = 4 * 1024 * 1024
UNPUBLISHED = Version(0, 0)


class Link:
    """One connected process that verifies callers."""

    def __init__(self, writer: asyncio.StreamWriter, hello: dict[str, Any]) -> None:
        self.pid = int(hello["pid"])
        self.keys_acknowledged = 0
        self._writer = writer

    @property
    def name(self) -> str:
        return f"objects (pid {self.pid})"

    def send(self, message: dict[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        self._writer.close()


class GatewayLink(Link):
    """One connected gateway."""

    def __init__(self, writer: asyncio.StreamWriter, hello: dict[str, Any]) -> None:
        super().__init__(writer, hello)
        self.index = int(hello["gateway"])
        self.incarnation = str(hello["incarnation"])
        self.acknowledged = {key: Version(*version) for key, version in hello["routes"].items()}
        self.busy: set[str] = set()
        self.counted = 0
        """Up to which of its messages it was told that what it counted is on disk."""

    @property
    def name(self) -> str:
        return f"gateway {self.index} (pid {self.pid})"


Heed = Callable[[GatewayLink, dict[str, Any]], None]


class Follower(Protocol):
    """Who calls replicas from within this process. It follows a route as soon as it is told."""

    def routed(self, route: Route) -> None:
        """Begin nothing on a replica that this route does not name."""
        ...

    def dropped(self, key: str) -> None:
        """The endpoint has no route any more."""
        ...

    def uses(self, replica_id: str) -> bool:
        """Whether a call is outstanding there; `RoutePublisher.idle_again` is called when it is not any more."""
        ...


class RoutePublisher:
    """All routes of this control's life, and the gateways that follow them."""

    def __init__(self, paths: Paths, epoch: int, gateways: int, fronts: int = 0) -> None:
        self._paths = paths
        self._epoch = epoch
        self._expected = gateways
        self._expected_verifying = gateways + fronts
        self._keys_version = 0
        self._keys: dict[str, Any] | None = None
        self._verifying: set[Link] = set()  # everyone who is connected, also gateways that wait for their routes
        self._generation = 0
        self._routes: dict[str, Route] = {}
        self._dropped: dict[str, Version] = {}
        self._data_keys: dict[str, dict[str, Any]] = {}
        self._links: set[GatewayLink] = set()
        self._changed = asyncio.Condition()
        self._settled = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.heeded: dict[str, Heed] = {}
        """Who heeds a message of a gateway's that is not about routes or keys, by the message's kind."""
        self.withdrawn: list[Callable[[str], None]] = []
        """Called with the key of a route that goes."""
        self.left: list[Callable[[GatewayLink], None]] = []
        """Called when a gateway's connection has ended."""
        self._followers: list[Follower] = []

    def follow(self, follower: Follower) -> None:
        """Tell `follower` of every route, those that are out already too."""
        self._followers.append(follower)
        for route in self._routes.values():
            follower.routed(route)

    async def idle_again(self) -> None:
        """A follower has no call outstanding any more on a replica where it had one."""
        await self._notify()

    async def start(self) -> None:
        """Listen for gateways."""
        path = self._paths.routes_socket
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path, limit=LONGEST_LINE_BYTES)

    def settle(self) -> None:
        """Say that every endpoint of the store has been looked at: a gateway may now drop what is not published."""
        self._settled.set()

    @property
    def is_settled(self) -> bool:
        """Whether gateways are being told."""
        return self._settled.is_set()

    async def close(self) -> None:
        """Disconnect everyone."""
        if self._server is not None:
            self._server.close()
            for link in list(self._verifying):
                link.close()
            await self._server.wait_closed()

    @property
    def gateways(self) -> list[tuple[int, int]]:
        """(index, pid) of the connected gateways."""
        return sorted((link.index, link.pid) for link in self._links)

    def is_connected(self, incarnation: str) -> bool:
        """Whether a gateway is here, by its incarnation."""
        return any(isinstance(link, GatewayLink) and link.incarnation == incarnation for link in self._verifying)

    def tell_each(self, message: Callable[[GatewayLink], dict[str, Any] | None]) -> None:
        """Send each connected gateway a message of its own, or none."""
        for link in self._verifying:
            if isinstance(link, GatewayLink) and (told := message(link)) is not None:
                link.send(told)

    def publish(self, route: Route) -> Version:
        """Send a route to every gateway, unless the same one is out already; returns its version."""
        held = self._routes.get(route.key)
        if held is not None and dataclasses.replace(route, version=held.version) == held:
            return held.version
        route = dataclasses.replace(route, version=self._next())
        self._routes[route.key] = route
        self._dropped.pop(route.key, None)
        for follower in self._followers:
            follower.routed(route)
        self._send({"route": route.to_document()})
        return route.version

    def publish_data_key(self, key: str, key_id: str, document: dict[str, Any]) -> None:
        """Have the gateways know what to seal with for the endpoint of a route. It stays in memory on both sides."""
        keys = self._data_keys.setdefault(key, {})
        keys[key_id] = document
        self._send({"data_keys": {"route": key, "keys": keys}})  # all of them: an update may have two

    def drop(self, key: str) -> Version:
        """Withdraw a route; returns the version of its absence."""
        if key in self._dropped:
            return self._dropped[key]
        self._data_keys.pop(key, None)
        for withdrawn in self.withdrawn:
            withdrawn(key)
        self._routes.pop(key, None)
        for follower in self._followers:
            follower.dropped(key)
        version = self._dropped[key] = self._next()
        self._send({"drop": {"key": key, "version": version}})
        return version

    def publish_keys(self, keys: Sequence[AccessKey], session_key: bytes) -> int:
        """Have everyone verify with these keys and no others; returns their version."""
        self._keys_version += 1
        self._keys = document_of(keys, session_key, self._keys_version)
        for link in self._verifying:
            self._send_keys(link)
        return self._keys_version

    async def wait_keys_in_effect(self, version: int, timeout_s: float) -> bool:
        """Whether everyone who verifies follows `version` of the keys within `timeout_s`.

        Who has only just been started does, as it knows no older ones; so who is missing is waited for a while only.
        """
        loop = asyncio.get_running_loop()
        give_up_on_missing = loop.time() + MISSING_GATEWAY_WAIT_S

        def in_effect() -> bool:
            if len(self._verifying) < self._expected_verifying and loop.time() < give_up_on_missing:
                return False
            return all(link.keys_acknowledged >= version for link in self._verifying)

        return await self._wait_until(in_effect, timeout_s)

    def _send_keys(self, link: Link) -> None:
        if self._keys is not None:
            link.send({"keys": self._keys})

    async def wait_in_effect(self, key: str, version: Version, timeout_s: float) -> bool:
        """Whether every live gateway follows `version` within `timeout_s`.

        Before `settle` no gateway is told anything, so none follows: that is not waited for.
        """
        if not self.is_settled:
            return False
        loop = asyncio.get_running_loop()
        give_up_on_missing = loop.time() + MISSING_GATEWAY_WAIT_S

        def in_effect() -> bool:
            if len(self._links) < self._expected and loop.time() < give_up_on_missing:
                return False
            return all(link.acknowledged.get(key, UNPUBLISHED) >= version for link in self._links)

        return await self._wait_until(in_effect, timeout_s)

    async def wait_idle(self, replica_id: str, timeout_s: float) -> bool:
        """Whether nobody has a call outstanding on a replica that left its route, within `timeout_s`."""

        def idle() -> bool:
            if any(follower.uses(replica_id) for follower in self._followers):
                return False
            return all(replica_id not in link.busy for link in self._links)

        return await self._wait_until(idle, timeout_s)

    async def wait_unused(self, replica_id: str, timeout_s: float) -> bool:
        """Whether no follower in this process has a call outstanding there, within `timeout_s`."""
        return await self._wait_until(
            lambda: not any(follower.uses(replica_id) for follower in self._followers), timeout_s
        )

    async def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline = asyncio.get_running_loop().time() + timeout_s
        async with self._changed:
            while not condition():
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    return False
                with contextlib.suppress(TimeoutError):
                    # A second at the most, since a condition may also change with time alone.
                    await asyncio.wait_for(self._changed.wait(), min(left, 1.0))
        return True

    def _next(self) -> Version:
        self._generation += 1
        return Version(self._epoch, self._generation)

    def _send(self, message: dict[str, Any]) -> None:
        for link in self._links:
            link.send(message)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link: Link | None = None
        settling: asyncio.Task[None] | None = None
        try:
            hello = json.loads(await reader.readline() or b"null")
            if not hello:
                return
            link = Link(writer, hello["objects"]) if "objects" in hello else GatewayLink(writer, hello["hello"])
            self._verifying.add(link)
            self._send_keys(link)
            if isinstance(link, GatewayLink):
                # Beside the reading, since a gateway acknowledges its keys while it still waits for its routes.
                settling = asyncio.create_task(self._synchronize(link), name=f"synchronize {link.name}")
            while line := await reader.readline():
                await self._received(link, json.loads(line))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("a route channel broke: %s", error)
        finally:
            if settling is not None:
                settling.cancel()
                await asyncio.wait({settling})
            if link is not None:
                self._verifying.discard(link)
                if isinstance(link, GatewayLink):
                    self._links.discard(link)
                    for leave in self.left:
                        leave(link)
                log.info("%s has left", link.name)
                await self._notify()
            writer.close()

    async def _synchronize(self, link: GatewayLink) -> None:
        """Bring a gateway up to date; once it is among the links it also gets what is published meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_WAIT_S):
                await self._settled.wait()
        self._links.add(link)
        for key, keys in self._data_keys.items():
            link.send({"data_keys": {"route": key, "keys": keys}})
        for key in [key for key in link.acknowledged if key not in self._routes]:
            link.send({"drop": {"key": key, "version": self._dropped.get(key) or self._next()}})
        for key, route in self._routes.items():
            if link.acknowledged.get(key, UNPUBLISHED) < route.version:
                link.send({"route": route.to_document()})
        link.send({"synced": {"epoch": self._epoch}})
        log.info("%s follows", link.name)
        await self._notify()

    async def _received(self, link: Link, message: dict[str, Any]) -> None:
        if version := message.get("keys_ack"):
            link.keys_acknowledged = int(version)
        elif isinstance(link, GatewayLink):
            if acknowledgement := message.get("ack"):
                link.acknowledged[acknowledgement["key"]] = Version(*acknowledgement["version"])
                link.busy.update(acknowledgement.get("busy", ()))
            elif idle := message.get("idle"):
                link.busy.discard(idle["replica"])
            elif (heed := self.heeded.get(next(iter(message), ""))) is not None:
                heed(link, message)
                return
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
