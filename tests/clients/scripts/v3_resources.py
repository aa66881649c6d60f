"""The SageMaker SDK v3, its resources: an endpoint of two variants from its creation to its deletion."""

import collections
import io
import tarfile

import boto3
import numpy as np
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, DesiredWeightAndCapacity, ProductionVariant, Tag
from sagemaker.core.utils.exceptions import FailedStatusError

SCRIPT = "def model_fn(d): return {!r}\ndef transform_fn(model, body, content_type, accept): return model, 'text/csv'\n"

session = Session()
role = get_execution_role()
bucket = session.default_bucket()
image = image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1")


def packed(name, script):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(script)
        tar.addfile(entry, io.BytesIO(script.encode()))
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=archive.getvalue())
    return f"s3://{bucket}/{name}/model.tar.gz"


def model(name, script):
    container = ContainerDefinition(image=image, model_data_url=packed(name, script), environment={"LEVEL": "20"})
    made = Model.create(model_name=name, primary_container=container, execution_role_arn=role)
    assert made.primary_container.environment == {"LEVEL": "20"}
    assert (made.model_name, made.execution_role_arn) == (name, role)
    return made


def variant(name, weight):
    return ProductionVariant(
        variant_name=name,
        model_name=f"core-{name}",
        initial_instance_count=1,
        instance_type="ml.m5.large",
        initial_variant_weight=weight,
    )


models = [model(f"core-{name}", SCRIPT.format(name)) for name in ("old", "new")]
# This version of the SDK leaves out a member that is 0 or False: a variant without traffic has a tiny weight here.
config = EndpointConfig.create(
    endpoint_config_name="core", production_variants=[variant("old", 1.0), variant("new", 1e-9)]
)
weights = [each.initial_variant_weight for each in EndpointConfig.get("core").production_variants]
assert np.allclose(weights, [1.0, 1e-9]), weights

endpoint = Endpoint.create(endpoint_name="core", endpoint_config_name="core", tags=[Tag(key="team", value="churn")])
endpoint.wait_for_status("InService", poll=1)
assert endpoint.endpoint_status == "InService"
assert endpoint.production_variants[0].current_instance_count == 1


def ask():
    return endpoint.invoke(body=b"1,2,3", content_type="text/csv").body.read().decode()


assert collections.Counter(ask() for _ in range(20)) == {"old": 20}
named = endpoint.invoke(body=b"1,2,3", content_type="text/csv", target_variant="new")
assert (named.invoked_production_variant, named.body.read()) == ("new", b"new")
endpoint.update_weights_and_capacities(
    [
        DesiredWeightAndCapacity(variant_name="old", desired_weight=1e-9),
        DesiredWeightAndCapacity(variant_name="new", desired_weight=1.0, desired_instance_count=2),
    ]
)
endpoint.wait_for_status("InService", poll=1)
assert collections.Counter(ask() for _ in range(20)) == {"new": 20}
assert endpoint.refresh().production_variants[1].current_instance_count == 2

assert [each.endpoint_name for each in Endpoint.get_all(name_contains="core")] == ["core"]
found = [each.model_name for each in Model.get_all(name_contains="core-", sort_by="Name", sort_order="Ascending")]
assert found == ["core-new", "core-old"]

models.append(model("core-broken", "raise ValueError('on purpose')\n"))
broken_config = EndpointConfig.create(endpoint_config_name="core-broken", production_variants=[variant("broken", 1.0)])
broken = Endpoint.create(endpoint_name="core-broken", endpoint_config_name="core-broken")
try:
    broken.wait_for_status("InService", poll=1)
except FailedStatusError as error:
    assert "on purpose" in str(error), error
else:
    raise AssertionError("a model that does not load is in service")

for each in (endpoint, broken):
    each.delete()
    each.wait_for_delete(poll=1)
for each in (config, broken_config, *models):
    each.delete()
assert not list(Model.get_all(name_contains="core-"))
