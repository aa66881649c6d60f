"""The AWS CLI v1, as pip installs it."""

from __future__ import annotations

import pytest

from tests.acceptance.running import Server
from tests.clients.running import SCRIPTS, Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


def test_an_endpoints_whole_life(aws_cli: Runner, shared_server: Server) -> None:
    """`s3` mb, cp, sync, ls, rb; models and configs in shorthand, JSON and from a file; waiters, invocations, weights,
    tags, pages, filters, errors, deletion."""
    aws_cli.run(SCRIPTS / "aws_cli.py", shared_server.data)
