"""Sessions and variants by hand: production_variant, endpoint_from_production_variants, weights, and what fails."""

import collections
import io
import tarfile

import boto3
import sagemaker
from sagemaker import image_uris
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.session import production_variant

SCRIPT = "def model_fn(d): return {!r}\ndef transform_fn(model, body, content_type, accept): return model, 'text/csv'\n"

session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
client = boto3.client("sagemaker")
image = image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1")


def packed(name, script):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(script)
        tar.addfile(entry, io.BytesIO(script.encode()))
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=archive.getvalue())
    return f"s3://{bucket}/{name}/model.tar.gz"


for name in ("old", "new"):
    definition = sagemaker.container_def(image, packed(name, SCRIPT.format(name)))
    assert session.create_model(name, role, definition) == name
    session.create_model(name, role, definition)  # the SDK goes on with the one that is there
variants = [
    production_variant("old", "ml.m5.large", initial_instance_count=1, variant_name="Old", initial_weight=1),
    production_variant("new", "ml.m5.large", initial_instance_count=1, variant_name="New", initial_weight=0),
]
assert session.endpoint_from_production_variants("ab", variants, wait=False) == "ab"
client.get_waiter("endpoint_in_service").wait(EndpointName="ab")
predictor = Predictor("ab", sagemaker_session=session, serializer=CSVSerializer())
assert collections.Counter(predictor.predict("1") for _ in range(20)) == {b"old": 20}
assert predictor.predict("1", target_variant="New") == b"new"
client.update_endpoint_weights_and_capacities(
    EndpointName="ab",
    DesiredWeightsAndCapacities=[
        {"VariantName": "Old", "DesiredWeight": 0},
        {"VariantName": "New", "DesiredWeight": 1},
    ],
)
session.wait_for_endpoint("ab", poll=0.1)
assert collections.Counter(predictor.predict("1") for _ in range(20)) == {b"new": 20}
predictor.delete_predictor()

plain = Model(
    image_uri=image, model_data=packed("broken", "raise ValueError('on purpose')\n"), role=role, name="broken"
)
assert plain.deploy(1, "ml.m5.large", endpoint_name="broken", wait=False) is None
try:
    session.wait_for_endpoint("broken", poll=0.1)
except UnexpectedStatusException as error:
    assert error.actual_status == "Failed"
    assert "on purpose" in str(error)
else:
    raise AssertionError("a model that does not load is in service")
session.delete_endpoint("broken")
session.delete_endpoint_config("broken")
for name in ("old", "new", "broken"):
    session.delete_model(name)
