"""Every example runs to its end, unchanged, and leaves no endpoint behind."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.acceptance.running import Server
from tests.clients.running import Runner

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WITH_THE_SDK = [path for path in EXAMPLES if "import sagemaker\n" in path.read_text("utf-8")]
WITH_BOTO3 = [path for path in EXAMPLES if path not in WITH_THE_SDK]


@pytest.mark.timeout(180)  # it trains, and calls an endpoint some thousand times
@pytest.mark.parametrize("example", WITH_BOTO3, ids=lambda path: path.stem)
def test_with_boto3(shared_server: Server, tmp_path: Path, example: Path) -> None:
    check(Runner(Path(sys.executable).parent, tmp_path), shared_server, example)


@pytest.mark.clients
@pytest.mark.timeout(300)  # the first test of all makes the SDK's environment, from the network
@pytest.mark.parametrize("example", WITH_THE_SDK, ids=lambda path: path.stem)
def test_with_the_sdk(sdk: Runner, shared_server: Server, example: Path) -> None:
    check(sdk, shared_server, example)


def check(runner: Runner, server: Server, example: Path) -> None:
    before = {endpoint["name"] for endpoint in server.status()["endpoints"]}
    printed = runner.run(example, server.data)
    assert "Cleaned up" in printed.splitlines()[-1]
    left = {endpoint["name"]: endpoint["status"] for endpoint in server.status()["endpoints"]}
    assert {name for name, status in left.items() if status != "Deleting"} <= before


def test_every_example_is_in_the_table() -> None:
    page = (ROOT / "docs" / "examples.md").read_text("utf-8")
    assert sorted(re.findall(r"\]\(\.\./(examples/\w+\.py)\)", page)) == [
        str(path.relative_to(ROOT)) for path in EXAMPLES
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_knows_nothing_of_mooring(example: Path) -> None:
    text = example.read_text("utf-8")
    code = text[text.index('"""', 3) + 3 :]
    assert "mooring" not in code.lower()
