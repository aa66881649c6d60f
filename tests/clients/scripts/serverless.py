"""A serverless endpoint through the generic Model: no instances are named."""

import io
import tarfile

import boto3
import sagemaker
from sagemaker import image_uris
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serverless import ServerlessInferenceConfig

SCRIPT = (
    "def model_fn(d): return 1\ndef transform_fn(model, body, content_type, accept): return body[::-1], 'text/csv'\n"
)

session = sagemaker.Session()
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    entry = tarfile.TarInfo("code/inference.py")
    entry.size = len(SCRIPT)
    tar.addfile(entry, io.BytesIO(SCRIPT.encode()))
bucket = session.default_bucket()
boto3.client("s3").put_object(Bucket=bucket, Key="serverless/model.tar.gz", Body=archive.getvalue())

model = Model(
    image_uri=image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1"),
    model_data=f"s3://{bucket}/serverless/model.tar.gz",
    role=sagemaker.get_execution_role(),
    predictor_cls=Predictor,
)
predictor = model.deploy(
    serverless_inference_config=ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=5), wait=False
)
client = boto3.client("sagemaker")
client.get_waiter("endpoint_in_service").wait(EndpointName=predictor.endpoint_name)
assert predictor.predict("321") == b"123"
(variant,) = client.describe_endpoint(EndpointName=predictor.endpoint_name)["ProductionVariants"]
assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
predictor.delete_model()
predictor.delete_endpoint()
