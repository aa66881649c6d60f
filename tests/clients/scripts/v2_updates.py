"""The SageMaker SDK v2: an endpoint that is updated in each way that the SDK has, and never without an answer."""

import io
import tarfile

import boto3
import sagemaker
from sagemaker import image_uris
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.session import production_variant

SCRIPT = "def model_fn(d): return {!r}\ndef transform_fn(model, body, content_type, accept): return model, 'text/csv'\n"

session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
client = boto3.client("sagemaker")
image = image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1")


def model(name):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        script = SCRIPT.format(name).encode()
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(script)
        tar.addfile(entry, io.BytesIO(script))
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=archive.getvalue())
    data = f"s3://{bucket}/{name}/model.tar.gz"
    return Model(image_uri=image, model_data=data, role=role, name=name, predictor_cls=Predictor)


predictor = model("v2-one").deploy(1, "ml.m5.large", endpoint_name="v2-updated", wait=False)
client.get_waiter("endpoint_in_service").wait(EndpointName="v2-updated")
assert predictor.predict("1") == b"v2-one"
first = client.describe_endpoint(EndpointName="v2-updated")["EndpointConfigName"]

# Another model, through the predictor.
session.create_model("v2-two", role, model("v2-two").prepare_container_def("ml.m5.large"))
predictor.update_endpoint(initial_instance_count=2, instance_type="ml.m5.large", model_name="v2-two", wait=False)
session.wait_for_endpoint("v2-updated", poll=0.2)
assert predictor.predict("1") == b"v2-two"
described = client.describe_endpoint(EndpointName="v2-updated")
assert described["EndpointConfigName"] != first
assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2

# Another model, through its own deploy.
model("v2-three").deploy(1, "ml.m5.large", endpoint_name="v2-updated", update_endpoint=True, wait=False)
session.wait_for_endpoint("v2-updated", poll=0.2)
assert predictor.predict("1") == b"v2-three"

# Two variants, through the session.
variants = [
    production_variant("v2-one", "ml.m5.large", initial_instance_count=1, variant_name="One", initial_weight=0),
    production_variant("v2-two", "ml.m5.large", initial_instance_count=1, variant_name="Two", initial_weight=1),
]
client.create_endpoint_config(EndpointConfigName="v2-variants", ProductionVariants=variants)
session.update_endpoint("v2-updated", "v2-variants", wait=False)
session.wait_for_endpoint("v2-updated", poll=0.2)
assert predictor.predict("1") == b"v2-two"
assert predictor.predict("1", target_variant="One") == b"v2-one"

predictor.delete_endpoint()
for name in ("v2-one", "v2-two", "v2-three"):
    session.delete_model(name)
