"""Terraform with AWS's own provider: what it reads back is what it made, and what went it notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.running import ECHO, Server, archive
from tests.clients.terraform import CHANGES, Terraform

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]


def test_resources_from_their_creation_to_their_destruction(
    terraform_with: Callable[[str], Terraform], tmp_path: Path, shared_server: Server
) -> None:
    """`apply` of a bucket, an object, a role, a model, four endpoint configurations and an endpoint; an empty second
    plan; what was deleted elsewhere is planned anew; `import`; `destroy`."""
    (tmp_path / "model.tar.gz").write_bytes(archive({"code/inference.py": ECHO.format(name="tf")}))
    terraform = terraform_with("terraform")
    assert "Apply complete! Resources: 9 added, 0 changed, 0 destroyed." in terraform.apply()
    runtime = shared_server.client("sagemaker-runtime")
    assert b"tf" in runtime.invoke_endpoint(EndpointName="tf-iris", ContentType="text/csv", Body=b"1")["Body"].read()
    terraform.plan_is_empty()

    # What is imported is read, and read alike.
    for resource in ("model", "endpoint_configuration", "endpoint"):
        terraform.run("state", "rm", f"aws_sagemaker_{resource}.iris")
        terraform.run("import", f"aws_sagemaker_{resource}.iris", "tf-iris")
    terraform.plan_is_empty()

    sagemaker = shared_server.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName="tf-iris")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="tf-iris")
    sagemaker.delete_endpoint_config(EndpointConfigName="tf-shadowed")
    sagemaker.delete_model(ModelName="tf-iris")
    assert "Plan: 3 to add, 0 to change, 0 to destroy." in terraform.plan(status=CHANGES)
    terraform.apply()
    terraform.plan_is_empty()
    assert "Destroy complete! Resources: 9 destroyed." in terraform.destroy()
    for listed in (sagemaker.list_models, sagemaker.list_endpoint_configs, sagemaker.list_endpoints):
        found = listed(NameContains="tf-")
        assert not next(each for member, each in found.items() if member.endswith("s"))


def test_what_stands_around_a_model(terraform_with: Callable[[str], Terraform], tmp_path: Path) -> None:
    """Default tags, the caller's identity, the image as data, policies of a role, an alarm, a topic; an empty second
    plan."""
    (tmp_path / "model.tar.gz").write_bytes(archive({"code/inference.py": ECHO.format(name="around")}))
    terraform = terraform_with("terraform-around")
    assert "Apply complete! Resources: 8 added, 0 changed, 0 destroyed." in terraform.apply()
    terraform.plan_is_empty()
    assert "Destroy complete! Resources: 8 destroyed." in terraform.destroy()
