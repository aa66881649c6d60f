"""The SageMaker SDK v3: an endpoint that is updated blue/green by a canary."""

import io
import tarfile

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import (
    BlueGreenUpdatePolicy,
    CapacitySize,
    ContainerDefinition,
    DeploymentConfig,
    ProductionVariant,
    TrafficRoutingConfig,
)

SCRIPT = "def model_fn(d): return {!r}\ndef transform_fn(model, body, content_type, accept): return model, 'text/csv'\n"

session = Session()
role = get_execution_role()
bucket = session.default_bucket()
image = image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1")


def data(name):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        script = SCRIPT.format(name).encode()
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(script)
        tar.addfile(entry, io.BytesIO(script))
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=archive.getvalue())
    return f"s3://{bucket}/{name}/model.tar.gz"


def config(name):
    container = ContainerDefinition(image=image, model_data_url=data(name))
    Model.create(model_name=name, primary_container=container, execution_role_arn=role)
    variant = ProductionVariant(
        variant_name="AllTraffic", model_name=name, initial_instance_count=2, instance_type="ml.m5.large"
    )
    return EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])


def ask():
    return endpoint.invoke(body=b"1", content_type="text/csv").body.read().decode()


config("v3-one")
config("v3-two")
endpoint = Endpoint.create(endpoint_name="v3-updated", endpoint_config_name="v3-one")
endpoint.wait_for_status("InService", poll=1)
assert ask() == "v3-one"

canary = TrafficRoutingConfig(
    type="CANARY",
    wait_interval_in_seconds=1,
    canary_size=CapacitySize(type="INSTANCE_COUNT", value=1),
)
policy = BlueGreenUpdatePolicy(traffic_routing_configuration=canary, termination_wait_in_seconds=1)
endpoint.endpoint_config_name = "v3-two"
endpoint.update(deployment_config=DeploymentConfig(blue_green_update_policy=policy))
endpoint.wait_for_status("InService", poll=1)
assert endpoint.endpoint_config_name == "v3-two"
assert ask() == "v3-two"
last = endpoint.last_deployment_config.blue_green_update_policy
assert last.traffic_routing_configuration.type == "CANARY"

endpoint.delete()
endpoint.wait_for_delete(poll=1)
for name in ("v3-one", "v3-two"):
    EndpointConfig.get(name).delete()
    Model.get(name).delete()
