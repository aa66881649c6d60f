"""The SageMaker SDK v3, its resources: an endpoint that explains its predictions."""

import io
import json
import tarfile

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import (
    ClarifyExplainerConfig,
    ClarifyInferenceConfig,
    ClarifyShapBaselineConfig,
    ClarifyShapConfig,
    ContainerDefinition,
    ExplainerConfig,
    ProductionVariant,
)

SCRIPT = b"""
import numpy as np
def model_fn(d):
    return 1
def predict_fn(data, model):
    width, height, more = np.atleast_2d(data).T
    return width * height + 2 * more
"""

session = Session()
bucket = session.default_bucket()
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    entry = tarfile.TarInfo("code/inference.py")
    entry.size = len(SCRIPT)
    tar.addfile(entry, io.BytesIO(SCRIPT))
boto3.client("s3").put_object(Bucket=bucket, Key="v3-explained/model.tar.gz", Body=archive.getvalue())
container = ContainerDefinition(
    image=image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1"),
    model_data_url=f"s3://{bucket}/v3-explained/model.tar.gz",
)
model = Model.create(model_name="v3-explained", primary_container=container, execution_role_arn=get_execution_role())
clarify = ClarifyExplainerConfig(
    enable_explanations="[0]>`10`",
    inference_config=ClarifyInferenceConfig(feature_headers=["a", "b", "c"], label_headers=["area"]),
    shap_config=ClarifyShapConfig(shap_baseline_config=ClarifyShapBaselineConfig(shap_baseline="0,0,0")),
)
variant = ProductionVariant(
    variant_name="All", model_name="v3-explained", initial_instance_count=1, instance_type="ml.m5.large"
)
config = EndpointConfig.create(
    endpoint_config_name="v3-explained",
    production_variants=[variant],
    explainer_config=ExplainerConfig(clarify_explainer_config=clarify),
)
endpoint = Endpoint.create(endpoint_name="v3-explained", endpoint_config_name="v3-explained")
endpoint.wait_for_status("InService", poll=1)
shown = endpoint.refresh().explainer_config.clarify_explainer_config
assert shown.shap_config.shap_baseline_config.shap_baseline == "0,0,0"


def ask(body, **members):
    return json.loads(endpoint.invoke(body=body, content_type="text/csv", accept="text/csv", **members).body.read())


answer = ask("3,4,5\n1,1,1")
explained, not_explained = answer["explanations"]["kernel_shap"]
assert not_explained is None
assert answer["label_headers"] == ["area"]
found = [each["attributions"][0]["attribution"][0] for each in explained]
assert all(abs(one - other) < 1e-9 for one, other in zip(found, [6, 6, 10], strict=True)), found
assert ask("3,4,5", enable_explanations="`false`")["explanations"] == {}

endpoint.delete()
endpoint.wait_for_delete(poll=1)
config.delete()
model.delete()
