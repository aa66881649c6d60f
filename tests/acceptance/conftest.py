from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Deployment, Server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as they found it."""
    server = Server(tmp_path_factory.mktemp("shared") / "data")
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture
def shared(shared_server: Server) -> Deployment:
    """The shared server, with a bucket and a name prefix of this test's own."""
    return Deployment(shared_server, f"t{next(_numbers)}")


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
