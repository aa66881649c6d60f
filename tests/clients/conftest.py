from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.acceptance.running import Server
from tests.clients import terraform
from tests.clients.environments import Unreachable, node_modules_with, python_with
from tests.clients.running import Runner
from tests.clients.terraform import Terraform

Tell = Callable[[str, str], None]
NODE_PACKAGES = [f"@aws-sdk/client-{name}" for name in ("iam", "s3", "sagemaker", "sagemaker-runtime", "sts")]
FLOW_S = 400
"""MLflow looks at an endpoint every 20 s, and its models get an environment of their own."""


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Says for the table of results which client it is, of which version."""

    def told(client: str, its_version: str) -> None:
        record_property("subject", client)
        record_property("version", its_version)

    return told


def _python(*requirements: str) -> Path:
    try:
        return python_with(*requirements)
    except Unreachable as error:
        pytest.skip(f"{requirements[0]} cannot be fetched here: {error}")


def _version(python: Path, package: str) -> str:
    program = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def aws_cli(tmp_path: Path, tell: Tell) -> Runner:
    """Runs the AWS CLI, as pip installs it."""
    python = _python("awscli")
    tell("AWS CLI v1", _version(python, "awscli"))
    return Runner(python.parent, tmp_path)


@pytest.fixture
def sdk_v2(sdk_python: Path, sdk: Runner, tell: Tell) -> Runner:
    """Runs scripts that use the SageMaker SDK v2."""
    tell("SageMaker Python SDK v2", _version(sdk_python, "sagemaker"))
    return sdk


@pytest.fixture
def sdk_v3(tmp_path: Path, tell: Tell) -> Runner:
    """Runs scripts that use the SageMaker SDK v3, with the scikit-learn that serves here."""
    python = _python("sagemaker>=3", f"scikit-learn=={version('scikit-learn')}")
    tell("SageMaker Python SDK v3", _version(python, "sagemaker"))
    return Runner(python.parent, tmp_path)


@pytest.fixture
def mlflow(tmp_path: Path, tell: Tell) -> Runner:
    """Runs MLflow, with boto3 as it wants it for SageMaker."""
    python = _python("boto3", "mlflow")
    tell("MLflow", _version(python, "mlflow"))
    return Runner(python.parent, tmp_path, FLOW_S)


@pytest.fixture
def javascript(tmp_path: Path, tell: Tell) -> Runner:
    """Runs scripts of Node that use the AWS SDK for JavaScript v3."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node and npm are not installed")
    try:
        modules = node_modules_with(*NODE_PACKAGES)
    except (Unreachable, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "EBADENGINE" not in str(error):
            raise
        pytest.skip(f"the AWS SDK for JavaScript cannot be had here: {error}")
    package = modules / "@aws-sdk" / "client-sagemaker" / "package.json"
    tell("AWS SDK for JavaScript v3", json.loads(package.read_text())["version"])
    (tmp_path / "node_modules").symlink_to(modules, target_is_directory=True)
    return Runner(None, tmp_path)


@pytest.fixture
def terraform_with(tmp_path: Path, tell: Tell, shared_server: Server) -> Callable[[str], Terraform]:
    """Terraform with AWS's provider, initialized for a configuration below `scripts`."""

    def initialized(configuration: str) -> Terraform:
        tell("Terraform", terraform.initialize(configuration, tmp_path))
        return Terraform(Runner(None, tmp_path), shared_server)

    return initialized
