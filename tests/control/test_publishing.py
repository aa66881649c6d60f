"""The route channel as gateways see it: versions, acknowledgements, and when a route is in effect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mooring.control.publishing import RoutePublisher
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, RouteVariant, Version
from mooring.paths import Paths

SCOPE = Scope("000000000000", "us-east-1")


def route(name: str = "ep", weight: float = 1.0) -> Route:
    variants = (RouteVariant("v", weight, ()),)
    return Route(SCOPE, name, Version(0, 0), variants, "InService", 6_291_456, 60.0)


class FakeGateway:
    """Speaks the gateway's side of the channel."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.routes_socket
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, routes: dict[str, list[int]] | None = None, index: int = 0) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        await self.send({"hello": {"gateway": index, "incarnation": "x", "pid": 1, "routes": routes or {}}})

    async def send(self, message: dict[str, Any]) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps(message).encode() + b"\n")
        await self._writer.drain()

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            message: dict[str, Any] = json.loads(await self._reader.readline())
            return message

    async def acknowledge(self, key: str, version: object, busy: tuple[str, ...] = ()) -> None:
        await self.send({"ack": {"key": key, "version": version, "busy": busy}})

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def conversation(
    tmp_path: Path, script: Callable[[RoutePublisher, FakeGateway], Awaitable[None]], gateways: int = 1
) -> None:
    async def run() -> None:
        paths = Paths(tmp_path)
        paths.make_private_directories()
        publisher = RoutePublisher(paths, epoch=7, gateways=gateways)
        await publisher.start()
        gateway = FakeGateway(paths)
        try:
            async with asyncio.timeout(20):
                await script(publisher, gateway)
        finally:
            gateway.close()
            await publisher.close()

    asyncio.run(run())


def test_a_gateway_gets_what_it_lacks_then_synced(tmp_path: Path) -> None:
    async def script(publisher: RoutePublisher, gateway: FakeGateway) -> None:
        publisher.publish(route("a"))
        version = publisher.publish(route("b"))
        publisher.settle()
        await gateway.connect({route("b").key: list(version), "000000000000/us-east-1/gone": [6, 90]})
        drop, sent, synced = [await gateway.receive() for _ in range(3)]
        assert drop["drop"]["key"].endswith("/gone")
        assert Version(*drop["drop"]["version"]) > Version(6, 90)
        assert Route.from_document(sent["route"]).endpoint == "a"
        assert synced == {"synced": {"epoch": 7}}

    conversation(tmp_path, script)


def test_nothing_is_dropped_before_every_endpoint_was_looked_at(tmp_path: Path) -> None:
    async def script(publisher: RoutePublisher, gateway: FakeGateway) -> None:
        await gateway.connect({route("a").key: [6, 1]})
        await asyncio.sleep(0.05)
        publisher.publish(route("a"))
        publisher.settle()
        assert "route" in await gateway.receive()
        assert "synced" in await gateway.receive()

    conversation(tmp_path, script)


def test_in_effect_when_every_gateway_acknowledged(tmp_path: Path) -> None:
    async def script(publisher: RoutePublisher, gateway: FakeGateway) -> None:
        publisher.settle()
        await gateway.connect()
        await gateway.receive()
        version = publisher.publish(route())
        assert not await publisher.wait_in_effect(route().key, version, 0.05)
        await gateway.acknowledge(route().key, version)
        assert await publisher.wait_in_effect(route().key, version, 2)
        newer = publisher.publish(route(weight=2.0))
        assert newer > version
        assert not await publisher.wait_in_effect(route().key, newer, 0.05)

    conversation(tmp_path, script)


def test_the_same_route_is_not_sent_twice(tmp_path: Path) -> None:
    async def script(publisher: RoutePublisher, gateway: FakeGateway) -> None:
        publisher.settle()
        await gateway.connect()
        await gateway.receive()
        assert publisher.publish(route()) == publisher.publish(route())
        publisher.drop(route().key)
        assert "route" in await gateway.receive()
        assert "drop" in await gateway.receive()

    conversation(tmp_path, script)


def test_a_gateway_that_has_died_is_not_waited_for(tmp_path: Path) -> None:
    async def script(publisher: RoutePublisher, gateway: FakeGateway) -> None:
        publisher.settle()
        await gateway.connect()
        await gateway.receive()
        version = publisher.publish(route())
        gateway.close()
        assert await publisher.wait_in_effect(route().key, version, 10)

    conversation(tmp_path, script)


def test_idle_when_no_gateway_is_busy_with_it(tmp_path: Path) -> None:
    async def script(publisher: RoutePublisher, gateway: FakeGateway) -> None:
        publisher.settle()
        await gateway.connect()
        await gateway.receive()
        version = publisher.publish(route())
        await gateway.acknowledge(route().key, version, busy=("i-1",))
        assert await publisher.wait_in_effect(route().key, version, 2)
        assert not await publisher.wait_idle("i-1", 0.05)
        assert await publisher.wait_idle("i-2", 0.05)
        await gateway.send({"idle": {"replica": "i-1"}})
        assert await publisher.wait_idle("i-1", 2)

    conversation(tmp_path, script)


def test_nonsense_closes_the_link_and_nothing_else(tmp_path: Path) -> None:
    async def script(publisher: RoutePublisher, gateway: FakeGateway) -> None:
        publisher.settle()
        await gateway.connect()
        await gateway.receive()
        await gateway.send({"ack": 5})
        async with asyncio.timeout(20):
            while publisher.gateways:
                await asyncio.sleep(0.01)
        other = FakeGateway(Paths(tmp_path))
        await other.connect()
        assert "synced" in await other.receive()
        other.close()

    conversation(tmp_path, script)
