from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable

import pytest

from tests.acceptance.running import Deployment, Server
from tests.models import pages
from tests.models.deploying import Endpoint
from tests.models.installing import require_torch


@pytest.fixture(scope="session")
def models(models_server: Server) -> Deployment:
    """Where the tests of every kind put their models, each under a name of its own."""
    return Deployment(models_server, "kinds")


@pytest.fixture(scope="session")
def torch() -> None:
    """Nothing, where PyTorch can be had; elsewhere the test is skipped."""
    require_torch()


@pytest.fixture(scope="session")
def run_page(
    models_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a page of docs/models, each once a session."""

    @functools.cache
    def run(name: str) -> subprocess.CompletedProcess[str]:
        return pages.run(pages.read(name), models_server, tmp_path_factory.mktemp(name))

    return run


@pytest.fixture(scope="session")
def served_by_page(
    models: Deployment, run_page: Callable[[str], subprocess.CompletedProcess[str]]
) -> Callable[[str], Endpoint]:
    """The endpoint that a page leaves, to be asked for more than the page does."""

    def serve(name: str) -> Endpoint:
        done = run_page(name)
        assert done.returncode == 0, done.stderr
        return Endpoint(models, pages.read(name).endpoint)

    return serve
