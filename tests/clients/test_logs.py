"""What replicas print, as the clients of CloudWatch Logs read it."""

from __future__ import annotations

import pytest

from tests.acceptance.running import Server, archive
from tests.clients.running import SCRIPTS, Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

SCRIPT = """
def model_fn(d): return None
def transform_fn(model, body, content_type, accept):
    print(f"asked for {body}", flush=True)
    return body, "text/csv"
"""


def test_of_the_aws_cli(aws_cli: Runner, shared_server: Server) -> None:
    """`logs describe-log-groups`, `describe-log-streams`, `get-log-events`, `filter-log-events`."""
    (aws_cli.directory / "printing.tar.gz").write_bytes(archive({"code/inference.py": SCRIPT}))
    aws_cli.run_command(shared_server.data, "sh", "-ex", SCRIPTS / "aws_cli_logs.sh")
