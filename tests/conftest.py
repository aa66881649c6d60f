"""For every test: what is made below the system's temporary directory is gone at the end; and what many share."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.acceptance.running import Deployment, Server
from tests.clients.environments import Unreachable, python_with
from tests.clients.running import Runner
from tests.models.installing import kept_environments, server_settings

_numbers = itertools.count()

# A machine that is busy with other tests makes nothing wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, and a child inherits that: none would heed it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _temporary_directory_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sockets of deep data directories lie there, also those of servers that a test killed. Its name must be short."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="mt-") as directory:
        os.environ["TMPDIR"] = tempfile.tempdir = directory
        yield
        tempfile.tempdir = None
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


@pytest.fixture(autouse=True)
def _told(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """For the table of `make clients` and `make soak` (scripts/last_results.py); a test may say something better."""
    if any(request.node.get_closest_marker(name) for name in ("clients", "soak")):
        record_property("subject", str(request.path.relative_to(Path(__file__).parent)))
        did = request.function.__doc__ or request.function.__name__.removeprefix("test_").replace("_", " ")
        record_property("did", " ".join(did.split()).rstrip("."))


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as they found it."""
    server = Server(tmp_path_factory.mktemp("shared") / "data")
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture(scope="session")
def models_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every kind of model, and so one environment for all that ask for the same."""
    data = tmp_path_factory.mktemp("models") / "data"
    with kept_environments(data):
        server = Server(data, **server_settings())
        try:
            yield server.start()
        finally:
            server.end()


@pytest.fixture
def shared(shared_server: Server) -> Deployment:
    """The shared server, with a bucket and a name prefix of this test's own."""
    return Deployment(shared_server, f"t{next(_numbers)}")


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """An interpreter with the SageMaker SDK v2, and the frameworks at the versions that serve here."""
    xgboost = "xgboost-cpu" if sys.platform == "linux" else "xgboost"
    frameworks = [f"{name}=={version(name)}" for name in ("scikit-learn", xgboost)]
    try:
        return python_with("sagemaker<3", *frameworks)
    except Unreachable as error:
        pytest.skip(f"the SageMaker SDK cannot be fetched here: {error}")


@pytest.fixture
def sdk(sdk_python: Path, tmp_path: Path) -> Runner:
    """Runs scripts that use the SageMaker SDK v2."""
    return Runner(sdk_python.parent, tmp_path)
