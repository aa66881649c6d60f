"""The SageMaker Python SDK v2, unpatched, in an environment of its own: scripts as people have them run unchanged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.running import Server
from tests.clients.running import RECORDING, SCRIPTS, Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]  # the first test of all makes the environment


def test_session_role_and_bucket_with_a_server_for_it(sdk: Runner, tmp_path: Path) -> None:
    sdk.run(SCRIPTS / "session.py", tmp_path / "data")
    assert not (tmp_path / "data" / "run" / "server.json").exists()


def test_scikit_learn_model(sdk: Runner, shared_server: Server) -> None:
    sdk.run_in_shell(SCRIPTS / "sklearn_model.py", shared_server.data)


def test_xgboost_models(sdk: Runner, shared_server: Server) -> None:
    sdk.run(SCRIPTS / "xgboost_models.py", shared_server.data)


def test_variants_and_failures(sdk: Runner, shared_server: Server) -> None:
    sdk.run(SCRIPTS / "variants.py", shared_server.data)


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        (
            "socket.create_connection(('192.0.2.1', 9), 0.01)",
            "socket.getaddrinfo 192.0.2.1\nsocket.connect 192.0.2.1\n",
        ),
        ("socket.getaddrinfo('sts.us-east-1.invalid', 443)", "socket.getaddrinfo sts.us-east-1.invalid\n"),
        ("socket.create_connection(('localhost', 1), 1)", None),
    ],
)
def test_what_leaves_the_machine_is_seen(tmp_path: Path, call: str, seen: str | None) -> None:
    record = tmp_path / "record"
    environment = {"PYTHONPATH": str(RECORDING), "LEFT_THIS_MACHINE": str(record)}
    program = f"import contextlib, socket\nwith contextlib.suppress(OSError): {call}"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert (record.read_text() if record.exists() else None) == seen
