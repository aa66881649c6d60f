"""UpdateEndpoint, as the clients call it: an endpoint gets another config, and its answers change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.running import Server, archive
from tests.clients.running import SCRIPTS, Runner
from tests.clients.terraform import Terraform

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]

SCRIPT = "def model_fn(d): return {!r}\ndef transform_fn(model, body, content_type, accept): return model, 'text/csv'\n"


@pytest.fixture
def models(tmp_path: Path) -> None:
    """`one.tar.gz` and `two.tar.gz`, which answer with their names, where the clients run."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.tar.gz").write_bytes(archive({"code/inference.py": SCRIPT.format(name)}))


@pytest.mark.usefixtures("models")
def test_of_the_aws_cli(aws_cli: Runner, shared_server: Server) -> None:
    """`update-endpoint` with a deployment config in shorthand."""
    aws_cli.run_command(shared_server.data, "sh", "-ex", SCRIPTS / "aws_cli_updates.sh")


@pytest.mark.usefixtures("models")
def test_of_the_javascript_sdk(javascript: Runner, shared_server: Server) -> None:
    """`UpdateEndpoint` while calls go on, none of which fails."""
    shutil.copy(SCRIPTS / "javascript_updates.mjs", javascript.directory)
    javascript.run_command(shared_server.data, "node", "javascript_updates.mjs")


def test_of_the_sagemaker_sdk_v2(sdk_v2: Runner, shared_server: Server) -> None:
    """`Predictor.update_endpoint`, `Model.deploy(update_endpoint=True)`, `Session.update_endpoint`."""
    sdk_v2.run(SCRIPTS / "v2_updates.py", shared_server.data)


def test_of_the_sagemaker_sdk_v3(sdk_v3: Runner, shared_server: Server) -> None:
    """`Endpoint.update` by a canary."""
    sdk_v3.run(SCRIPTS / "v3_updates.py", shared_server.data)


def test_of_mlflow(mlflow: Runner, models_server: Server) -> None:
    """`mlflow deployments update`."""
    mlflow.run(SCRIPTS / "mlflow_models.py", models_server.data)
    mlflow.run_command(models_server.data, "sh", "-ex", SCRIPTS / "mlflow_updates.sh")


@pytest.mark.usefixtures("models")
def test_of_terraform(terraform_with: Callable[[str], Terraform], shared_server: Server) -> None:
    """A configuration that is replaced under its endpoint, linearly, and an empty plan after it."""
    terraform, runtime = terraform_with("terraform-updates"), shared_server.client("sagemaker-runtime")

    def ask() -> bytes:
        answer = runtime.invoke_endpoint(EndpointName="tf-updated", ContentType="text/csv", Body=b"1")
        body: bytes = answer["Body"].read()
        return body

    terraform.apply()
    assert ask() == b"one"
    assert "Resources: 1 added, 1 changed, 1 destroyed." in terraform.apply("-var=model=two")
    assert ask() == b"two"
    terraform.plan_is_empty("-var=model=two")
    terraform.destroy("-var=model=two")
