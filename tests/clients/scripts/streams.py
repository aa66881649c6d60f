"""A response stream through the SDK's Predictor: bytes, lines, and what fails in the middle."""

import io
import tarfile

import boto3
import sagemaker
from botocore.exceptions import EventStreamError
from sagemaker import image_uris
from sagemaker.iterators import ByteIterator, LineIterator
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer

SCRIPT = """
import json
def model_fn(d): return 1
def transform_fn(model, body, content_type, accept):
    return tokens(**json.loads(body)), "text/plain"
def tokens(count, fail_at=None):
    for number in range(count):
        if number == fail_at:
            raise ValueError("in the middle")
        yield f"to"
        yield f"ken {number}\\n"
"""

session = sagemaker.Session()
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    entry = tarfile.TarInfo("code/inference.py")
    entry.size = len(SCRIPT)
    tar.addfile(entry, io.BytesIO(SCRIPT.encode()))
bucket = session.default_bucket()
boto3.client("s3").put_object(Bucket=bucket, Key="streams/model.tar.gz", Body=archive.getvalue())

model = Model(
    image_uri=image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1"),
    model_data=f"s3://{bucket}/streams/model.tar.gz",
    role=sagemaker.get_execution_role(),
    predictor_cls=Predictor,
)
predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.large", wait=False)
boto3.client("sagemaker").get_waiter("endpoint_in_service").wait(EndpointName=predictor.endpoint_name)
predictor.serializer = JSONSerializer()

lines = [f"token {number}" for number in range(5)]
received = b"".join(predictor.predict_stream({"count": 5}, iterator=ByteIterator))
assert received.decode().splitlines() == lines, received
found = [line.decode() for line in predictor.predict_stream({"count": 5}, iterator=LineIterator)]
assert found == lines, found
told = predictor.predict_stream({"count": 1}, custom_attributes="c=1", inference_id="i", target_variant="AllTraffic")
assert b"".join(told) == b"token 0\n"
try:
    b"".join(predictor.predict_stream({"count": 3, "fail_at": 2}))
except (EventStreamError, sagemaker.exceptions.ModelStreamError) as error:
    assert "ended before it was complete" in str(error), error
else:
    raise AssertionError("it did not fail")
predictor.delete_model()
predictor.delete_endpoint()
