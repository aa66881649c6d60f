from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Deployment, Server
from tests.acceptance.sleeping import IDLE_S, Sleeper


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Servers of this test's own; nothing of them outlives the test."""
    made: list[Server] = []

    def make(name: str = "data", **environment: str) -> Server:
        made.append(Server(tmp_path / name, **environment))
        return made[-1]

    try:
        yield make
    finally:
        for server in made:
            server.end()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server().start()


@pytest.fixture
def own(server: Server) -> Deployment:
    """A server of this test's own, to be killed and broken."""
    return Deployment(server)


@pytest.fixture
def sleeper(make_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Sleeper]:
    """Makes the one endpoint of a server."""

    def make(*flags: str, idle_s: float = IDLE_S, hold_s: float = 30, **serverless: Any) -> Sleeper:
        server = make_server(MOORING_SERVERLESS_IDLE_S=str(idle_s), MOORING_SERVERLESS_HOLD_S=str(hold_s))
        server.start(*flags)
        return Sleeper(Deployment(server), tmp_path / "seen").make(**serverless)

    return make
