"""For every test: what is made below the system's temporary directory is gone at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


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
