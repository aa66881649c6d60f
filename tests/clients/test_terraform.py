"""Terraform with AWS's own provider: what it reads back is what it made, and what went it notices."""

from __future__ import annotations

import pytest

from tests.acceptance.running import ECHO, Server, archive
from tests.clients.running import Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]

CHANGES = 2
"""The exit status of `terraform plan -detailed-exitcode` when there is something to do."""


class Terraform:
    """Its commands against one server."""

    def __init__(self, runner: Runner, server: Server) -> None:
        self._runner = runner
        self._data = server.data

    def run(self, *arguments: str, status: int = 0) -> str:
        alone = ("env", "CHECKPOINT_DISABLE=1", "terraform")
        return self._runner.run_command(self._data, *alone, *arguments, status=status)

    def apply(self, *flags: str) -> str:
        return self.run("apply", "-no-color", "-auto-approve", "-input=false", *flags)

    def plan(self, status: int) -> str:
        return self.run("plan", "-no-color", "-detailed-exitcode", "-input=false", status=status)

    def destroy(self) -> str:
        return self.run("destroy", "-no-color", "-auto-approve")

    def plan_is_empty(self) -> None:
        """Nothing that the provider reads differs from what it was told to make."""
        assert "No changes." in self.plan(0)


def test_resources_from_their_creation_to_their_destruction(terraformed: Runner, shared_server: Server) -> None:
    """`apply` of a bucket, an object, a role, a model, four endpoint configurations and an endpoint; an empty second
    plan; what was deleted elsewhere is planned anew; `import`; `destroy`."""
    (terraformed.directory / "model.tar.gz").write_bytes(archive({"code/inference.py": ECHO.format(name="tf")}))
    terraform = Terraform(terraformed, shared_server)
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
    assert "Plan: 3 to add, 0 to change, 0 to destroy." in terraform.plan(CHANGES)
    terraform.apply()
    terraform.plan_is_empty()
    assert "Destroy complete! Resources: 9 destroyed." in terraform.destroy()
    for listed in (sagemaker.list_models, sagemaker.list_endpoint_configs, sagemaker.list_endpoints):
        found = listed(NameContains="tf-")
        assert not next(each for member, each in found.items() if member.endswith("s"))
