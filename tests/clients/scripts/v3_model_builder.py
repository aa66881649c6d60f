"""The SageMaker SDK v3, its ModelBuilder: a trained estimator and a directory with its script, deployed and asked."""

import json
import pathlib
import tarfile

import boto3
import joblib
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import SourceCode
from sagemaker.serve import ModelBuilder
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

features, labels = load_iris(return_X_y=True)
trained = LogisticRegression(max_iter=500).fit(features, labels)
joblib.dump(trained, "model.joblib")
with tarfile.open("model.tar.gz", "w:gz") as tar:
    tar.add("model.joblib")
session = Session()
model_data = session.upload_data("model.tar.gz", key_prefix="v3")

pathlib.Path("source").mkdir()
pathlib.Path("source/inference.py").write_text(
    "import os, joblib, beside\n"
    "def model_fn(model_dir):\n"
    "    return joblib.load(os.path.join(model_dir, beside.FILE))\n"
)
pathlib.Path("source/beside.py").write_text("FILE = 'model.joblib'\n")

builder = ModelBuilder(
    image_uri=image_uris.retrieve("sklearn", region=session.boto_region_name, version="1.2-1"),
    s3_model_data_url=model_data,
    source_code=SourceCode(source_dir="source", entry_script="inference.py"),
    env_vars={"OF_THE_MODEL": "1"},
    instance_type="ml.m5.large",
)
model = builder.build(model_name="v3-iris")
assert model.primary_container.environment["OF_THE_MODEL"] == "1"
assert model.primary_container.environment["SAGEMAKER_PROGRAM"] == "inference.py"
endpoint = builder.deploy(endpoint_name="v3-iris", initial_instance_count=1)
assert endpoint.refresh().endpoint_status == "InService"

body = json.dumps(features.tolist())
answer = endpoint.invoke(body=body, content_type="application/json", accept="application/json")
assert json.loads(answer.body.read()) == trained.predict(features).tolist()

client = boto3.client("sagemaker")
(variant,) = client.describe_endpoint_config(EndpointConfigName=endpoint.endpoint_config_name)["ProductionVariants"]
assert (variant["ModelName"], variant["InstanceType"]) == ("v3-iris", "ml.m5.large")

endpoint.delete()
client.get_waiter("endpoint_deleted").wait(EndpointName="v3-iris")
client.delete_endpoint_config(EndpointConfigName=endpoint.endpoint_config_name)
model.delete()
