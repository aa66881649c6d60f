"""The AWS SDK for JavaScript v3, in Node."""

from __future__ import annotations

import shutil

import pytest

from tests.acceptance.running import Server, archive
from tests.clients.running import SCRIPTS, Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

SCRIPT = """
def model_fn(d): return {!r}
def transform_fn(model, body, content_type, accept):
    if body == "raise":
        raise ValueError("on purpose")
    if body == "stream":
        return (part for part in (model, "!")), "text/plain"
    return model, "text/csv"
"""
PRODUCT = """
import json
def model_fn(d): return 1
def transform_fn(model, body, content_type, accept):
    rows = [json.loads(line)["features"] for line in body.splitlines()]
    return "".join(json.dumps({"score": a * b + 2 * c}) + "\\n" for a, b, c in rows), accept
"""


def test_an_endpoints_whole_life(javascript: Runner, shared_server: Server) -> None:
    """S3, STS and IAM; models, configs, waiters, 50 calls at once, a stream, weights, tags, paginators, exceptions."""
    for name in ("one", "two"):
        packed = archive({"code/inference.py": SCRIPT.format(name)})
        (javascript.directory / f"{name}.tar.gz").write_bytes(packed)
    shutil.copy(SCRIPTS / "javascript.mjs", javascript.directory)  # beside its node_modules
    javascript.run_command(shared_server.data, "node", "javascript.mjs")


def test_explanations(javascript: Runner, shared_server: Server) -> None:
    """`ExplainerConfig` for JSON Lines, and `EnableExplanations` of `InvokeEndpointCommand`."""
    (javascript.directory / "product.tar.gz").write_bytes(archive({"code/inference.py": PRODUCT}))
    shutil.copy(SCRIPTS / "javascript_explanations.mjs", javascript.directory)
    javascript.run_command(shared_server.data, "node", "javascript_explanations.mjs")
