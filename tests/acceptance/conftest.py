from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Deployment, Server


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
