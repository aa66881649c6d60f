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


def test_keys_and_what_they_encrypt(aws_cli: Runner, shared_server: Server) -> None:
    """`kms` create-key to cancel-key-deletion; `s3 cp --sse`, in parts and between keys; a bucket's default."""
    aws_cli.run(SCRIPTS / "aws_cli_keys.py", shared_server.data)


def test_a_variant_that_is_scaled(aws_cli: Runner, shared_server: Server) -> None:
    """`application-autoscaling` register-scalable-target to deregister-scalable-target: both kinds of policies,
    schedules, activities in pages, tags; `cloudwatch set-alarm-state` asks a policy."""
    aws_cli.run(SCRIPTS / "aws_cli_scaling.py", shared_server.data)


def test_explanations(aws_cli: Runner, shared_server: Server) -> None:
    """`create-endpoint-config --explainer-config`, `invoke-endpoint --enable-explanations`."""
    aws_cli.run(SCRIPTS / "aws_cli_explanations.py", shared_server.data)
